"""visionzoo: fine-tune an image classifier, export it, and trust what you deploy.

The Python API is the names in `__all__`; docs/python.md describes them. The import is fast: each name loads what it
needs when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from zoo._version import __version__
from zoo.errors import MissingExtraError, ZooError, nearest

if TYPE_CHECKING:
    from zoo.adopting.adopt import adopt
    from zoo.artifacts.predictor import Predictor, load
    from zoo.audit.check import check
    from zoo.benchmarking.bench import bench
    from zoo.evaluation.evaluate import evaluate
    from zoo.exporting.pipeline import Artifact, export
    from zoo.models.classifier import Classifier
    from zoo.parity.verify import verify
    from zoo.registry import backbones, datasets, register
    from zoo.runs.run import Run
    from zoo.specs import PreprocessSpec
    from zoo.training.api import resume, train

_HOMES = {
    "Artifact": "zoo.exporting.pipeline",
    "Classifier": "zoo.models.classifier",
    "Predictor": "zoo.artifacts.predictor",
    "PreprocessSpec": "zoo.specs",
    "Run": "zoo.runs.run",
    "adopt": "zoo.adopting.adopt",
    "backbones": "zoo.registry",
    "bench": "zoo.benchmarking.bench",
    "check": "zoo.audit.check",
    "datasets": "zoo.registry",
    "evaluate": "zoo.evaluation.evaluate",
    "export": "zoo.exporting.pipeline",
    "load": "zoo.artifacts.predictor",
    "register": "zoo.registry",
    "resume": "zoo.training.api",
    "train": "zoo.training.api",
    "verify": "zoo.parity.verify",
}

__all__ = [
    "Artifact",
    "Classifier",
    "Predictor",
    "PreprocessSpec",
    "Run",
    "ZooError",
    "__version__",
    "adopt",
    "backbones",
    "bench",
    "check",
    "datasets",
    "evaluate",
    "export",
    "load",
    "register",
    "resume",
    "train",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        near = nearest(name, __all__, most=1)
        hint = f". Did you mean '{near[0]}'?" if near else ""
        raise AttributeError(f"module 'zoo' has no attribute '{name}'{hint}", name=name)
    try:
        return getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "zoo").partition(".")[0] == "zoo":
            raise
        raise MissingExtraError(f"zoo.{name}", "train") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

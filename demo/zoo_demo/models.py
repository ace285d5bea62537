"""Which artifacts the demo shows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.artifact import Predictor, load
from zoo.card import Card
from zoo.errors import UsageError
from zoo.registry import registry
from zoo.runs import RUNS, list_runs


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded artifact and the name that tells it from the others on the page."""

    title: str
    predictor: Predictor


def newest_artifact(runs: Path = RUNS) -> Path:
    """The artifact of the newest run that has one. Raises `UsageError` where none has.

    The ONNX file is preferred where there are several: it starts without torch.
    """
    for run in list_runs(runs):
        found = [path for path in (run.path / "export").glob("model.*") if _is_artifact(path)]
        if found:
            return max(found, key=lambda path: (path.suffix == ".onnx", path.stat().st_mtime))
    raise UsageError(
        f"There is no exported model under {runs}/.",
        "Make one with `zoo export --onnx`, or name a file: zoo demo model.onnx",
    )


def load_models(paths: Sequence[Path], device: str = "cpu") -> list[Model]:
    """Loads artifacts and runs each once: the first visitor does not wait for it. Raises as `zoo.load`."""
    models: list[Model] = []
    for path in paths:
        predictor = load(path, device)
        size = predictor.card.preprocess.image_size
        predictor.predict([np.zeros((size, size, 3), np.uint8)])
        models.append(Model(_title(predictor.card, {model.title for model in models}), predictor))
    return models


def _title(card: Card, taken: Set[str]) -> str:
    title = f"{card.name} ({card.format})"
    numbered = (f"{title}, {number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([title], numbered) if name not in taken)


def _is_artifact(path: Path) -> bool:
    try:
        registry().exporter_for(path)
    except UsageError:
        return False
    return path.is_file()

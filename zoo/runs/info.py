"""run.json: what a training chose, found and measured, typed and with a version."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from zoo.files import json_text
from zoo.registry.plugin_file import PluginFile
from zoo.specs import PreprocessSpec

if TYPE_CHECKING:
    from pydantic import TypeAdapter

VERSION = 1
RECORDED = ("visionzoo", "torch", "torchvision", "lightning-fabric", "numpy", "pillow")
Status = Literal["running", "failed", "interrupted", "trained", "finished", "adopted"]


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """A stretch of training during which the same stages train.

    Attributes:
        name: what metrics call it.
        first: index of the first stage that trains; those before it are frozen.
        epochs: its length.
        learning_rates: the peak for each stage from `first` on, stem to head.
    """

    name: str
    first: int
    epochs: int
    learning_rates: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The recipe with every None and `auto` decided.

    Attributes:
        varied: whether training pictures are augmented: by the policy `augment`, or by single options.
        views: how many augmented views of a picture are stored where features are.
        phases: what trains when.
        fixed_statistics: whether BatchNorm keeps the statistics of the pretrained weights while its weights train.
        frozen_precision: in which the stages compute that do not train.
        reasons: for choices that the user left open, a few words each.
    """

    strategy: str
    epochs: int
    preprocess: PreprocessSpec
    augment: str
    varied: bool
    views: int
    learning_rate: float
    weight_decay: float
    phases: tuple[PhasePlan, ...]
    fixed_statistics: bool
    device: str
    precision: str
    frozen_precision: str
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """What the network started from. `head` is a sentence, empty where the head started anew."""

    name: str
    pretrained: bool = False
    note: str = ""
    licence: str = ""
    head: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """The pictures. `fingerprint` is that of the training and validation splits."""

    name: str
    source: str
    licence: str = ""
    drawable: bool = False
    notes: list[str] = field(default_factory=list)
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where it was trained: what can change the last digits of a result."""

    platform: str
    threads: int
    processes: int
    device: str


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How many numbers the network has, and how many of them train at some time."""

    total: int
    trainable: int


@dataclass(kw_only=True)
class RunInfo:
    """What run.json holds. None and empty values: not known yet, or not recorded by an older version.

    Attributes:
        created: when it began, ISO 8601.
        backbone_plugin: name and version of the distribution that registers it.
        plugins: the plugin files that it was trained with.
        resumed: when it went on after interruptions.
        unreadable: one sentence for each picture that was left out.
        best_epoch: the epoch that is kept, from 1; 0 before the first one ended.
        validation: `val_loss` and `val_top1` of that epoch.
        weights_sha256: of best.safetensors, in hexadecimal.
        metrics: the final figures, on the split `metrics_split`.
        confusion: as `zoo.artifacts.card.Confusion` describes it.
    """

    version: int = VERSION
    created: str = ""
    backbone: str
    backbone_plugin: str
    plugins: list[PluginFile] = field(default_factory=list)
    weights: WeightsInfo
    dataset: DatasetInfo
    classes: list[str]
    parameters: Parameters | None = None
    plan: Plan
    machine: Machine | None = None
    versions: dict[str, str] = field(default_factory=dict)
    status: Status = "running"
    resumed: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    best_epoch: int = 0
    validation: dict[str, float] = field(default_factory=dict)
    training_seconds: float | None = None
    weights_sha256: str = ""
    metrics_split: str = ""
    metrics: dict[str, float | int] = field(default_factory=dict)
    confusion: dict[str, Any] | None = None

    @classmethod
    def parse(cls, text: str) -> RunInfo:
        """Reads run.json. Raises `ValueError` for what is not one, or one of a newer version."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise TypeError("no object")
        info = _adapter().validate_python(_upgraded(values))
        if info.version > VERSION:
            raise ValueError(f"version {info.version}")
        return info

    def facts(self) -> dict[str, Any]:
        """Plain values as JSON holds them; what is not known yet is left out."""
        values = {name: value for name, value in dataclasses.asdict(self).items() if value not in (None, "", {})}
        preprocess = values["plan"].pop("preprocess")
        values["preprocess"] = {name: value for name, value in preprocess.items() if value is not None}
        return values

    def text(self) -> str:
        """What `parse` reads."""
        return json_text(self.facts(), indent=2) + "\n"


def library_versions() -> dict[str, str]:
    """Of what can change a result, as `RunInfo.versions` holds them."""
    return {"python": platform.python_version(), **{name: version(name) for name in RECORDED}}


@cache
def _adapter() -> TypeAdapter[RunInfo]:
    from pydantic import TypeAdapter

    return TypeAdapter(RunInfo)


def _upgraded(values: Mapping[str, Any]) -> dict[str, Any]:
    """What versions before 1 wrote, in today's form."""
    plan = dict(values["plan"])
    plan["phases"] = plan.get("phases", plan.pop("steps", []))
    earlier = {"varied": plan.get("augment") != "none", "views": 1, "fixed_statistics": False}
    plan = {**earlier, "frozen_precision": plan.get("precision"), **plan, "preprocess": values["preprocess"]}
    return {**values, "plan": plan}

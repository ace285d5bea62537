"""What plugins hand to the core: small frozen descriptions with lazy factories.

Nothing here imports torch or numpy. A factory (`build`, `load`, `write`, …) imports what it needs when it
is called, so that listing a thousand backbones costs nothing.

Shapes: N pictures, H rows, W columns, K classes, S the side of the square that a network sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from zoo.data.types import Dataset

Triple = tuple[float, float, float]
Augmentation = Literal["none", "light", "digits", "photos", "strong"]
Input = Literal["pixels", "tensor"]
Precision = Literal["fp32", "fp16", "int8"]
Depth = Literal["quick", "full"]  # of a parity check
CalibrationMethod = Literal["minmax", "entropy", "percentile"]
BUDGET = 1.0  # points of accuracy that a lower precision may lose
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
# A card is data from a stranger: no reader takes more.
MAX_CARD_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessSpec:
    """How raw pixels become a network's input; `zoo.transforms.preprocess.Preprocess` executes it.

    Attributes:
        image_size: side S of the square input, in pixels.
        mean, std: per channel (red, green, blue), for pixels scaled to 0..1.
        resize: `crop` cuts a centred square before it resizes, `squash` resizes the whole picture.
        crop_fraction: side of that square relative to the shorter side, 0 < f <= 1.
        channels: `rgb`, or `grey`: the luma (ITU-R BT.601) in all three channels.
    """

    image_size: int
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    resize: Literal["crop", "squash"] = "crop"
    crop_fraction: float = 1.0
    channels: Literal["rgb", "grey"] = "rgb"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSpec:
    """Pretrained weights and the preprocessing they were trained with.

    Attributes:
        name: as the publisher calls them (`IMAGENET1K_V1`).
        load: returns the state dict for the network that `BackboneSpec.build` builds; entries of the head
            (whose number of classes differs) are ignored. Raises OSError when they cannot be had.
        ignore: prefixes of entries that the built network does not have (auxiliary heads).
        licence: one line about who made them and under which terms they may be used.
        bundled: whether they are installed with the plugin, so that `load` downloads nothing.
    """

    name: str
    load: Callable[[], Mapping[str, Tensor]]
    image_size: int
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    crop_fraction: float = 1.0
    ignore: tuple[str, ...] = ()
    licence: str = ""
    bundled: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """A named part of a network: the qualified names of its modules and parameters."""

    name: str
    members: tuple[str, ...]

    def holds(self, name: str) -> bool:
        """Whether the module, parameter or buffer of that qualified name belongs to it."""
        return any(name == member or name.startswith(f"{member}.") for member in self.members)

    def parameters(self, network: nn.Module) -> list[nn.Parameter]:
        """Its parameters in a network."""
        return [parameter for name, parameter in network.named_parameters() if self.holds(name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """A network by name.

    Attributes:
        build: takes the number of classes K; returns an `nn.Module` in training mode, randomly initialised,
            from float32 `[N, 3, S, S]` to logits `[N, K]`. It holds exactly one head for K classes.
        head: qualified name of the module whose output is the network's output: it takes the features and
            returns the logits, and contains exactly one layer with parameters, a Linear or a 1x1 Conv2d,
            with a bias.
        stages: takes a built network; returns its stages from stem to head. Every parameter and buffer
            belongs to exactly one stage; the last one is named `head` and is the module `head`.
        weights: its pretrained weights, if there are any.
        min_image_size: the smallest S it takes, in pixels.
        fixed_image_size: True where S is `min_image_size` and nothing else (vision transformers).
    """

    name: str
    build: Callable[[int], nn.Module]
    head: str
    stages: Callable[[nn.Module], Sequence[Stage]]
    weights: WeightsSpec | None = None
    min_image_size: int = 32
    fixed_image_size: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRequest:
    """What a dataset's loader is told.

    Attributes:
        root: folder that holds datasets, one sub-folder each as the publisher lays it out.
        download: whether missing files may be fetched.
    """

    root: Path
    download: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """Named, labelled pictures.

    Attributes:
        load: takes a `DatasetRequest`, returns a `zoo.data.Dataset`. Raises `DataError`.
        native_size: side in pixels where all pictures are equally large squares, None for photos.
        channels: `grey` where colour carries no meaning.
        augment: the augmentation policy that fits (`zoo.transforms.augment.policy`): digits are not mirrored.
        drawable: whether a person can draw a picture of it: white strokes on black, centred.
        licence: one line about who made it and under which terms it may be used.
        num_classes: for listings; None where only loading tells.
    """

    name: str
    load: Callable[[DatasetRequest], Dataset]
    native_size: int | None = None
    channels: Literal["rgb", "grey"] = "rgb"
    augment: Augmentation = "photos"
    drawable: bool = False
    licence: str = ""
    homepage: str = ""
    num_classes: int | None = None
    description: str = ""


class Runtime(Protocol):
    """An artifact, loaded; returns float32 logits `[N, K]`.

    One with input `pixels` takes uint8 `[N, H, W, 3]` of any size, one with input `tensor` what `Preprocess`
    makes of that: float32 `[N, 3, S, S]`. Several threads may call one at once.
    """

    def __call__(self, images: np.ndarray) -> np.ndarray: ...


@runtime_checkable
class EnterableRuntime(Runtime, Protocol):
    """A `Runtime` of pixels that can also be entered behind its resize. An exporter need not offer one.

    A large picture is then resized outside the artifact, by `zoo.transforms.preprocess_numpy.resize`, which needs
    hardly any memory. `zoo.artifacts.large_pictures` first compares both ways.
    """

    def from_resized(self, values: np.ndarray) -> np.ndarray | None:
        """Takes float32 `[N, 3, S, S]` in 0..255, as `Preprocess.resize` returns them; returns logits `[N, K]`.

        None where the program cannot be entered there, or where its resize is not known to be that of its card.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How an artifact runs.

    Attributes:
        device: `cpu` or `cuda`.
        threads: of its runtime; None leaves it to the runtime.
        optimised: whether the runtime may rewrite the program before it runs it.
        spinning: whether idle threads may wait for work in a loop, which takes a core from others.
    """

    device: str = "cpu"
    threads: int | None = None
    optimised: bool = True
    spinning: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What quantisation needs to know of the pictures to come.

    Attributes:
        pictures: uint8 `[H, W, 3]` each, from the training split.
        method: how the range of an activation follows from what these pictures cause.
        budget: accuracy that may be lost, in points (100 points are everything).
        loss: takes a file without a card; returns the points of accuracy that it loses against the classifier,
            on labelled pictures.
    """

    pictures: Sequence[np.ndarray]
    method: CalibrationMethod
    budget: float
    loss: Callable[[Path], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """What an exporter is asked for.

    Attributes:
        input: `pixels` ships the preprocessing, `tensor` the network alone.
        precision: of the network; inputs and outputs are the same in all.
        opset: version of the format's operators, None for the exporter's default.
        external_data: whether the weights go into a file of their own, `NAME.data` beside `NAME`.
        calibration: given where the precision is `int8`.
    """

    input: Input = "pixels"
    precision: Precision = "fp32"
    opset: int | None = None
    external_data: bool = False
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What an exporter says of the file it wrote.

    Attributes:
        facts: JSON values for the card: opset, layers left in float, `external_data` where it is true, …
        divergence: takes the file and pictures, in the shape that the file takes; returns a sentence that names
            the first place in the file whose value is not the classifier's, None where there is none. It finds
            what a difference of logits is too coarse for.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    divergence: Callable[[Path, np.ndarray], str | None] | None = None


def meets_all(_: WriteOptions) -> None:
    """The `check` of an exporter whose options go with each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSpec:
    """An artifact format.

    Attributes:
        suffix: of its files, with the dot; it is how a file finds its format.
        write: takes a `zoo.models.classifier.Classifier` in eval mode on the CPU, a path, and options within
            `inputs`, `precisions` and `options`; writes a file without a card.
        write_card: puts the card (JSON text) into the file, which has none yet.
        read_card: returns the card's JSON text, None where there is none; never runs the program in the file.
            Raises `ArtifactError` where the file is not of this format.
        content_hash: `sha256:…` of the content without the card: it proves integrity, not origin.
        load: takes a path and options; returns a `Runtime`.
        inputs, precisions: what `write` can be asked for.
        options: those of `opset` and `external_data` that `write` heeds.
        check: takes options within these; raises `UsageError`, before any work, where `write` cannot meet them.
        tolerance: the largest difference of logits that parity allows in fp32, relative to their spread.
    """

    name: str
    suffix: str
    write: Callable[[nn.Module, Path, WriteOptions], Written]
    write_card: Callable[[Path, str], None]
    read_card: Callable[[Path], str | None]
    content_hash: Callable[[Path], str]
    load: Callable[[Path, LoadOptions], Runtime]
    inputs: tuple[Input, ...] = ("pixels",)
    precisions: tuple[Precision, ...] = ("fp32",)
    options: tuple[str, ...] = ()
    check: Callable[[WriteOptions], None] = meets_all
    tolerance: float = 1e-4
    description: str = ""


EpochMetrics = Mapping[str, float | int | str]


class Logger(Protocol):
    """Receives one row of metrics per epoch."""

    def log(self, row: EpochMetrics) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggerSpec:
    """A destination for metrics: `create` takes the run folder."""

    name: str
    create: Callable[[Path], Logger]
    description: str = ""


Spec = BackboneSpec | DatasetSpec | ExporterSpec | LoggerSpec
T_co = TypeVar("T_co", BackboneSpec, DatasetSpec, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider(Generic[T_co]):
    """An open-ended namespace: `get` takes a name behind `prefix` and returns its spec, or None.

    Attributes:
        prefix: ends in a slash (`timm/`).
        names: the names behind the prefix that a listing shows.
    """

    prefix: str
    names: Callable[[], Iterable[str]]
    get: Callable[[str], T_co | None]

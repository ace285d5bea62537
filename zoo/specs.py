"""What plugins give to the core: small frozen descriptions with lazy factories.

Nothing here imports torch or numpy. A factory (`build`, `load`, `write`, …) imports what it needs when it is called, so
a list of a thousand backbones is fast.

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

# Of this module and `zoo.hookspecs`. The first number rises when a plugin must change, the second when it may do more.
INTERFACE = "1.2"
# Fields that the next interface will not have, as `Spec.field`, and what to use instead, as a sentence.
DEPRECATED: dict[str, str] = {}

Triple = tuple[float, float, float]
Augmentation = Literal["none", "light", "digits", "photos", "strong"]
Input = Literal["pixels", "tensor"]
ResizeMode = Literal["crop", "squash", "shorter"]
Interpolation = Literal["bilinear", "bicubic"]
Precision = Literal["fp32", "fp16", "int8"]
Depth = Literal["quick", "full"]  # of a parity check
CalibrationMethod = Literal["minmax", "entropy", "percentile"]
BUDGET = 1.0  # points of accuracy that a lower precision may lose
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
# Cards come from untrusted files, so their size is capped.
MAX_CARD_BYTES = 16 * 2**20
MAX_CLASSES = 100_000
MAX_IMAGE_SIZE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessSpec:
    """How raw pixels become a network's input. `zoo.transforms.preprocess.Preprocess` does it.

    Attributes:
        image_size: side S of the square input, in pixels.
        mean, std: per channel (red, green, blue), for pixels scaled to 0..1.
        resize: `crop` cuts a centred square before it resizes, `squash` resizes the whole picture. `shorter` resizes
            the shorter side to `zoo.transforms.preprocess_numpy.shorter_side` before it cuts the centred square S, as
            the transforms of torchvision and timm do.
        crop_fraction: side of that square relative to the shorter side, 0 < f <= 1.
        interpolation: of the antialiased resize. `bicubic` is Pillow's (a = -0.5), limited to 0..255.
        channels: `rgb`, or `grey`: the luma (ITU-R BT.601) in all three channels.
        pixel_range: the values of pictures with more than 8 bits that become 0 and 255, where the user gave them.
            Decoding applies it, before `Preprocess`. None: `zoo.images.values` has the rule.
    """

    image_size: int
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    resize: ResizeMode = "crop"
    crop_fraction: float = 1.0
    interpolation: Interpolation = "bilinear"
    channels: Literal["rgb", "grey"] = "rgb"
    pixel_range: tuple[float, float] | None = None

    @property
    def resampled(self) -> bool:
        """Whether products as in `zoo.transforms.resampling` resize, and not PyTorch's own bilinear resize."""
        return self.resize == "shorter" or self.interpolation != "bilinear"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSpec:
    """Pretrained weights and the preprocessing they were evaluated with, as in `PreprocessSpec`.

    Attributes:
        name: the publisher's name of the weights (`IMAGENET1K_V1`).
        load: returns the state dict for the network that `BackboneSpec.build` builds. Entries of the head are
            ignored, because its number of classes differs. Raises OSError where the weights are missing.
        image_size, mean, std, crop_fraction, resize, interpolation: as in `PreprocessSpec`.
        ignore: prefixes of entries that the built network does not have (auxiliary heads).
        licence: one line: who made the weights, and the terms of use.
        bundled: whether the plugin installs the weights, so that `load` downloads nothing.
    """

    name: str
    load: Callable[[], Mapping[str, Tensor]]
    image_size: int
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    crop_fraction: float = 1.0
    resize: ResizeMode = "crop"
    interpolation: Interpolation = "bilinear"
    ignore: tuple[str, ...] = ()
    licence: str = ""
    bundled: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """A named part of a network.

    Attributes:
        name: `stem`, `layer1`, …; the last stage is named `head`.
        members: the qualified names of its modules and parameters.
    """

    name: str
    members: tuple[str, ...]

    def holds(self, name: str) -> bool:
        """Whether the module, parameter or buffer with this qualified name belongs to the stage."""
        return any(name == member or name.startswith(f"{member}.") for member in self.members)

    def parameters(self, network: nn.Module) -> list[nn.Parameter]:
        """The parameters of the stage in a network."""
        return [parameter for name, parameter in network.named_parameters() if self.holds(name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """A network by name.

    Attributes:
        name: what users write. Of letters, digits, `.`, `_`, `+` and `-`.
        build: takes the number of classes K. Returns an `nn.Module` in training mode with random weights, from
            float32 `[N, 3, S, S]` to logits `[N, K]`. It has exactly one head for K classes.
        head: qualified name of the module that takes the features and returns the network's logits. It has exactly
            one layer with parameters: a Linear or a 1x1 Conv2d, with a bias.
        stages: takes a built network and returns its stages from stem to head. Every parameter and buffer belongs
            to exactly one stage. The last stage is named `head` and is the module `head`.
        weights: its pretrained weights, or None.
        min_image_size: the smallest allowed S, in pixels.
        fixed_image_size: True where `min_image_size` is the only allowed S (vision transformers).
        description: a few words for listings.
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
    """The arguments of a dataset's loader.

    Attributes:
        root: folder of datasets, with one sub-folder per dataset in the publisher's layout.
        download: whether missing files may be fetched.
    """

    root: Path
    download: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """A dataset by name.

    Attributes:
        name: what users write. Of letters, digits, `.`, `_`, `+` and `-`.
        load: takes a `DatasetRequest`, returns a `zoo.data.Dataset`. Raises `DataError`.
        native_size: side in pixels if all pictures are squares of one size, None for photos.
        channels: `grey` where colour has no meaning.
        augment: the augmentation policy that fits (`zoo.transforms.augment.policy`): digits are not mirrored.
        drawable: whether a person can draw such a picture: white strokes on black, centred.
        licence: one line: who made the dataset; behind the last semicolon or comma, the terms of use. `zoo export
            --examples` copies pictures only under free terms.
        homepage: address of the publisher's page.
        num_classes: for listings. None where it is unknown before loading.
        description: a few words for listings.
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
    """A loaded artifact. Returns float32 logits `[N, K]`.

    With input `pixels` it takes uint8 `[N, H, W, 3]` of any size. With input `tensor` it takes the result of
    `Preprocess`: float32 `[N, 3, S, S]`. Several threads may call it at once.
    """

    def __call__(self, images: np.ndarray) -> np.ndarray: ...


@runtime_checkable
class EnterableRuntime(Runtime, Protocol):
    """A `Runtime` for pixels that can also start after its resize. It is optional for an exporter.

    Large pictures are then resized outside the artifact, by `zoo.transforms.preprocess_numpy.resize`, which needs
    little memory. `zoo.artifacts.large_pictures` first compares both ways.
    """

    def from_resized(self, values: np.ndarray) -> np.ndarray | None:
        """Takes float32 `[N, 3, S, S]` in 0..255, as `Preprocess.resize` returns them. Returns logits `[N, K]`.

        None where the program cannot start there, or where its resize may differ from the one in its card.
        """
        ...


@runtime_checkable
class MappedRuntime(Runtime, Protocol):
    """A `Runtime` of a file that was written with `WriteOptions.heatmap`."""

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Float32 `[N, K, h, w]`: how much each place of a picture adds to each logit."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How an artifact runs.

    Attributes:
        device: `cpu` or `cuda`.
        threads: of its runtime. None: the runtime chooses.
        optimised: whether the runtime may rewrite the program before it runs.
        spinning: whether idle threads may wait for work in a loop. That keeps a core busy.
    """

    device: str = "cpu"
    threads: int | None = None
    optimised: bool = True
    spinning: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What quantisation needs to know about the pictures.

    Attributes:
        pictures: uint8 `[H, W, 3]` each, from the training split.
        method: how the range of an activation is computed from these pictures.
        budget: accuracy that may be lost, in percentage points.
        loss: takes a file without a card. Returns the accuracy that it loses against the classifier on labelled
            pictures, in percentage points.
    """

    pictures: Sequence[np.ndarray]
    method: CalibrationMethod
    budget: float
    loss: Callable[[Path], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """The options of an export.

    Attributes:
        input: `pixels` includes the preprocessing, `tensor` is the network alone.
        precision: of the network. Inputs and outputs are the same in all precisions.
        opset: version of the format's operators, None for the exporter's default.
        external_data: whether the weights go into a separate file, `NAME.data` beside `NAME`.
        parity: how closely the file will be compared. An exporter may leave a slow `Written.divergence` to `full`.
        calibration: given where the precision is `int8`.
        heatmap: whether the file also gives class activation maps, see `MappedRuntime`.
    """

    input: Input = "pixels"
    precision: Precision = "fp32"
    opset: int | None = None
    external_data: bool = False
    parity: Depth = "quick"
    calibration: Calibration | None = None
    heatmap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What an exporter reports about the file that it wrote.

    Attributes:
        facts: JSON values for the card: opset, layers left in float, `external_data` and `heatmap` where
            they are true, …
        divergence: takes the file and pictures, in the shape that the file takes. Returns a sentence that names the
            first place in the file whose value differs from the classifier's, or None. It finds differences that
            are too small to show in the logits.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    divergence: Callable[[Path, np.ndarray], str | None] | None = None


def meets_all(_: WriteOptions) -> None:
    """The `check` of an exporter that takes all combinations of its options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSpec:
    """A format of exported files.

    Attributes:
        name: what users write: `zoo export --format NAME`.
        suffix: of its files, with the dot. It tells the format of a file.
        write: takes a `zoo.Classifier` in eval mode on the CPU (with its `preprocess`, `network` and `spec`), a path,
            and options within `inputs`, `precisions` and `options`. Writes a file without a card.
        write_card: adds the card (JSON text) to a file without a card.
        read_card: returns the card's JSON text, or None. It never runs the program in the file. Raises
            `ArtifactError` where the file has another format.
        content_hash: `sha256:…` of the content without the card. It proves integrity, not origin.
        load: takes a path and options. Returns a `Runtime`.
        inputs, precisions: the values that `write` supports. With input `tensor` the file holds the network alone, and
            its `Runtime` takes float32 `[N, 3, S, S]`. `load` is not told which: the file itself must say.
        options: which of `opset`, `external_data` and `heatmap` `write` supports.
        check: takes supported options. Raises `UsageError` before any work if `write` cannot combine them.
        tolerance: the largest difference of logits that parity allows in fp32, relative to their spread.
        description: a few words for listings.
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
    """A destination for metrics.

    Attributes:
        name: what users write: `zoo train --loggers NAME`.
        create: takes the run folder before the training. Returns a `Logger`, or raises if it cannot work.
        description: a few words for listings.
    """

    name: str
    create: Callable[[Path], Logger]
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherSpec:
    """A way to show exported files to other people: a folder that is made of them.

    Attributes:
        name: what users write: `zoo export --publish NAME=FOLDER`; `web` and `space` have options of their own.
        write: takes exported files and an empty folder, and fills the folder. Returns lines of text for the user: what
            to do with the folder, whose final name stands in for `{folder}`. Raises `ZooError` for files that it cannot
            show.
        format: the name of the exporter whose files it takes.
        description: a few words for listings.
    """

    name: str
    write: Callable[[Sequence[Path], Path], Sequence[str]]
    format: str = "onnx"
    description: str = ""


Spec = BackboneSpec | DatasetSpec | ExporterSpec | LoggerSpec | PublisherSpec
T_co = TypeVar("T_co", BackboneSpec, DatasetSpec, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider(Generic[T_co]):
    """Many names with one prefix, whose specs are made on demand.

    Attributes:
        prefix: ends in a slash (`timm/`).
        names: the names after the prefix that a listing shows, in its order. `zoo plugins check` takes the first three.
        get: takes a name after the prefix. Returns its spec, whose `name` is that with or without the prefix, or None
            for an unknown one.
    """

    prefix: str
    names: Callable[[], Iterable[str]]
    get: Callable[[str], T_co | None]

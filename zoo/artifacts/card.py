"""The card: the description of an artifact, as JSON inside the file.

Cards come from untrusted files. Every part of a card is limited in size and checked here, and escaped wherever it is
shown.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    WrapSerializer,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from zoo.artifacts.card_json import MAX_NAME, MAX_TEXT, bounded, hash_of, malformed, read_strictly
from zoo.artifacts.examples import MAX_EXAMPLES, Example
from zoo.errors import ArtifactError
from zoo.specs import MAX_CARD_BYTES, MAX_CLASSES, MAX_IMAGE_SIZE, Input, Precision, PreprocessSpec

SCHEMA_VERSION = 2  # of most cards: older versions of visionzoo read them
NEWEST_VERSION = 3

MAX_REFERENCE_CLASSES = 4096
MAX_MISTAKES = 2000
MAX_CURVE_ROWS = 1000

# Also line separators, and surrogates, which UTF-8 cannot hold.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FOREIGN = "Export the model again with this version of visionzoo."
_AGAIN = "Copy the file again from its source, or export it again."


def _distinct(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(classes)) < len(classes):
        raise malformed("a class is named twice", code="card-class-twice")
    if any(map(_CONTROL.search, classes)):
        raise malformed("a class has control characters in its name", code="card-control-characters")
    return classes


def _executable(spec: PreprocessSpec) -> PreprocessSpec:
    if not 1 <= spec.image_size <= MAX_IMAGE_SIZE:
        raise malformed(f"the image size must be from 1 to {MAX_IMAGE_SIZE}", code="card-image-size")
    if not 0 < spec.crop_fraction <= 1:
        raise malformed("the crop fraction must be above 0 and at most 1", code="card-crop-fraction")
    if not all(map(math.isfinite, (*spec.mean, *spec.std))) or min(spec.std) <= 0:
        raise malformed("mean and std must be finite, and std above 0", code="card-mean-std")
    if spec.pixel_range is not None:
        low, high = spec.pixel_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise malformed("the pixel range must be two finite numbers, the smaller first", code="card-pixel-range")
    return spec


def _as_before(spec: PreprocessSpec, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
    """Leaves out what older versions do not have, where it has its default: their files keep their bytes."""
    fields: dict[str, Any] = write(spec)
    if spec.interpolation == "bilinear":
        del fields["interpolation"]
    return {name: value for name, value in fields.items() if value is not None}


def version_for(spec: PreprocessSpec) -> int:
    """The schema version of a card: older versions of visionzoo refuse one that they would misunderstand."""
    return NEWEST_VERSION if spec.resampled else SCHEMA_VERSION


ShortText = Annotated[str, Field(max_length=MAX_TEXT)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Facts = Annotated[dict[str, Any], AfterValidator(bounded)]
Record = Annotated[dict[str, Any], Field(max_length=50), AfterValidator(bounded)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class DatasetCard(_Part):
    """Where the pictures came from."""

    name: ShortText
    source: ShortText = ""
    licence: ShortText = ""
    drawable: bool = False
    notes: Annotated[tuple[ShortText, ...], Field(max_length=100)] = ()


class PluginVersion(_Part):
    """The package that registered a name, and its version."""

    distribution: ShortText
    version: ShortText = ""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()

    @classmethod
    def of(cls, value: Any) -> Any:
        """From one string, as in run.json and in cards of schema version 1."""
        if isinstance(value, str):
            distribution, _, version = value.rpartition(" ")
            if not distribution or not any(map(str.isdigit, version)):  # "this process" has no version
                return cls(distribution=value)
            return cls(distribution=distribution, version=version)
        return value


class Confusion(_Part):
    """Counts of the final evaluation.

    Attributes:
        right: correctly classified pictures of each class, `[K]`.
        support: pictures of each class, `[K]`.
        answers: pictures that were classified as each class, `[K]`.
        mistakes: true class, predicted class and number of pictures, most frequent first. At most `MAX_MISTAKES`,
            enough for all mistakes of up to 45 classes.
    """

    right: Annotated[tuple[Count, ...], Field(max_length=MAX_CLASSES)]
    support: Annotated[tuple[Count, ...], Field(max_length=MAX_CLASSES)]
    answers: Annotated[tuple[Count, ...], Field(max_length=MAX_CLASSES)]
    mistakes: Annotated[tuple[tuple[Count, Count, Count], ...], Field(max_length=MAX_MISTAKES)]

    def fits(self, num_classes: int) -> bool:
        """Whether all counts belong to K classes."""
        lengths = {len(self.right), len(self.support), len(self.answers)}
        return (
            lengths == {num_classes}
            and all(right <= min(both) for right, *both in zip(self.right, self.support, self.answers, strict=True))
            and all(true != guess and max(true, guess) < num_classes for true, guess, _ in self.mistakes)
        )


class ReferenceOutputs(_Part):
    """The artifact's answers to the pictures of `zoo.parity.synthetic`, at its export.

    Attributes:
        pictures: their version.
        logits: one row per picture, with the 9 significant digits that float32 needs. The columns are the classes of
            `zoo.parity.self_check.listed_classes`, at most `MAX_REFERENCE_CLASSES`.
        spread: of the logits over the real pictures of the parity check.
        tolerance: allowed difference on another machine, relative to the spread.
    """

    pictures: Annotated[int, Field(ge=1)]
    logits: Annotated[
        tuple[Annotated[tuple[Finite, ...], Field(max_length=MAX_REFERENCE_CLASSES)], ...],
        Field(min_length=1, max_length=16),
    ]
    spread: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    tolerance: Annotated[float, Field(gt=0, le=1)]


class Card(_Part):
    """Everything that a user needs to use an artifact and to judge it.

    Attributes:
        schema_version: version 1 had no `exported`, `curves`, `confusion` and `reference`, version 2 no `shorter` and
            no `bicubic`: see `version_for`.
        input: `pixels`: uint8 `[N, H, W, 3]` of any size, preprocessing inside the file; `tensor`: what
            `preprocess` makes of that, float32 `[N, 3, S, S]`.
        exported: facts from the exporter, such as the opset.
        metrics: the run's final figures on the split that `metrics_split` names.
        curves: the run's rows by epoch; of more than `MAX_CURVE_ROWS`, so many evenly spaced ones.
        confusion: counts behind `metrics`.
        parity: the report of the parity check at its export.
        reference: its answers to synthetic pictures, for `zoo verify`.
        examples: pictures of the split that `metrics_split` names. Older versions of visionzoo ignore them.
        content_hash: hash of the file without the card. It shows damage, not where the file comes from.
        card_hash: hash of the rest of the card; empty if `sealed` did not write the card.
    """

    schema_version: Annotated[int, Field(ge=1, le=NEWEST_VERSION)] = SCHEMA_VERSION
    name: ShortText
    format: ShortText
    created: ShortText
    input: Input = "pixels"
    precision: Precision = "fp32"
    exported: Facts = {}
    classes: Annotated[tuple[ShortText, ...], Field(min_length=2, max_length=MAX_CLASSES), AfterValidator(_distinct)]
    preprocess: Annotated[PreprocessSpec, AfterValidator(_executable), WrapSerializer(_as_before)]
    backbone: ShortText
    backbone_plugin: Annotated[PluginVersion, BeforeValidator(PluginVersion.of)]
    weights: ShortText
    weights_licence: ShortText = ""
    dataset: DatasetCard
    recipe: Facts
    metrics: Facts
    metrics_split: ShortText
    curves: Annotated[tuple[Record, ...], Field(max_length=MAX_CURVE_ROWS)] = ()
    confusion: Confusion | None = None
    parity: Facts
    reference: ReferenceOutputs | None = None
    examples: Annotated[tuple[Example, ...], Field(max_length=MAX_EXAMPLES)] = ()
    versions: Annotated[dict[str, ShortText], Field(max_length=200)]
    content_hash: ShortText
    card_hash: ShortText = ""

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        count = len(self.classes)
        if self.confusion is not None and not self.confusion.fits(count):
            raise malformed("the confusion matrix does not fit the classes", code="card-confusion-classes")
        rows = () if self.reference is None else self.reference.logits
        if any(len(row) != min(count, MAX_REFERENCE_CLASSES) for row in rows):
            raise malformed("the reference outputs do not fit the classes", code="card-reference-classes")
        if not {example.label for example in self.examples} <= set(self.classes):
            raise malformed("an example picture has a class that the card does not name", code="card-example-class")
        return self

    @model_serializer(mode="wrap")
    def _without_nothing(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A card without examples keeps the bytes that it had before there were any."""
        fields: dict[str, Any] = write(self)
        return fields if self.examples else {name: value for name, value in fields.items() if name != "examples"}

    def sealed(self) -> str:
        """The card as JSON with its own hash, as an artifact holds it."""
        fields = json.loads(self.model_dump_json(exclude={"card_hash"}))
        return json.dumps(fields | {"card_hash": hash_of(fields)}, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Card:
        """Validates untrusted JSON. Raises `ArtifactError`."""
        if len(text) > MAX_CARD_BYTES:
            cause = f"The card is larger than {MAX_CARD_BYTES // 2**20} MiB."
            raise ArtifactError(cause, _FOREIGN, code="card-too-large")
        try:
            fields = read_strictly(text)
        except ValueError as error:
            raise ArtifactError(
                f"The card is not valid JSON: {error}.",
                _FOREIGN,
                code=error.type if isinstance(error, PydanticCustomError) else "card-json",
            ) from None
        version, seal = fields.get("schema_version"), fields.pop("card_hash", "")
        if type(version) is int and version > NEWEST_VERSION:
            shown = version if version < 10**6 else "far above that"
            raise ArtifactError(
                f"The card has schema version {shown}, but this visionzoo reads only up to {NEWEST_VERSION}.",
                "Update with: pip install -U visionzoo",
                code="card-newer",
            )
        if version is None:
            cause = "The card is not valid at schema_version: Field required."
            raise ArtifactError(cause, _FOREIGN, code="card-invalid")
        try:
            card = cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            cause = f"The card is not valid at {first_problem(error)}."
            raise ArtifactError(cause, _FOREIGN, code=code_of(error)) from None
        if seal and seal != hash_of(fields):
            raise ArtifactError(
                "The card is damaged or was changed after the export: it does not match its hash.",
                _AGAIN,
                code="card-changed",
            )
        return card


def first_problem(error: ValidationError) -> str:
    """Where a card is wrong, and why, as a clause."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part)[:MAX_NAME] for part in first["loc"]) or "its top level"
    reason = first["msg"].removeprefix("Value error, ")
    return "".join(character if character.isprintable() else "\ufffd" for character in f"{place}: {reason}")


def code_of(error: ValidationError) -> str:
    """The error code of the first problem of a card: its own, or `card-invalid` for what pydantic checks."""
    kind: str = error.errors(include_input=False, include_url=False)[0]["type"]
    return kind if kind.startswith("card-") else "card-invalid"

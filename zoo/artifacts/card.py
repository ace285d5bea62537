"""The card: what an artifact says of itself, as JSON inside the file.

A card is data from a stranger: every part of it is bounded and checked here, and escaped wherever it is shown.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from zoo.artifacts.card_json import MAX_NAME, MAX_TEXT, bounded, hash_of, read_strictly
from zoo.errors import ArtifactError
from zoo.specs import MAX_CARD_BYTES, Input, Precision, PreprocessSpec

SCHEMA_VERSION = 2

MAX_IMAGE_SIZE = 4096
MAX_CLASSES = 100_000
MAX_REFERENCE_CLASSES = 4096
MAX_MISTAKES = 2000
MAX_CURVE_ROWS = 1000

# Also what separates lines, and halves of characters, which UTF-8 cannot hold.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FOREIGN = "Export the model again with this version of visionzoo."
_AGAIN = "Copy the file again from where it came, or export it again."


def _distinct(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(classes)) < len(classes):
        raise ValueError("a class is named twice")
    if any(map(_CONTROL.search, classes)):
        raise ValueError("a class has control characters in its name")
    return classes


def _executable(spec: PreprocessSpec) -> PreprocessSpec:
    if not 1 <= spec.image_size <= MAX_IMAGE_SIZE:
        raise ValueError(f"the image size is not within 1 and {MAX_IMAGE_SIZE}")
    if not 0 < spec.crop_fraction <= 1:
        raise ValueError("the crop fraction is not above 0 and at most 1")
    if not all(map(math.isfinite, (*spec.mean, *spec.std))) or min(spec.std) <= 0:
        raise ValueError("mean and std are not finite, or a std is not above 0")
    return spec


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
    """Who registered a name: a distribution and its version."""

    distribution: ShortText
    version: ShortText = ""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()

    @classmethod
    def of(cls, value: Any) -> Any:
        """From one text, as run.json and cards of schema version 1 have it."""
        if isinstance(value, str):
            distribution, _, version = value.rpartition(" ")
            return cls(distribution=distribution or value, version=version if distribution else "")
        return value


class Confusion(_Part):
    """Counts of the final evaluation.

    Attributes:
        right: pictures of each class that were classified as it, `[K]`.
        support: pictures of each class, `[K]`.
        answers: pictures that were classified as each class, `[K]`.
        mistakes: true class, predicted class and number of pictures, the most frequent first, at most `MAX_MISTAKES`:
            all there are up to 45 classes.
    """

    right: Annotated[tuple[Count, ...], Field(max_length=MAX_CLASSES)]
    support: Annotated[tuple[Count, ...], Field(max_length=MAX_CLASSES)]
    answers: Annotated[tuple[Count, ...], Field(max_length=MAX_CLASSES)]
    mistakes: Annotated[tuple[tuple[Count, Count, Count], ...], Field(max_length=MAX_MISTAKES)]

    def fits(self, num_classes: int) -> bool:
        """Whether all of it counts in K classes."""
        lengths = {len(self.right), len(self.support), len(self.answers)}
        return (
            lengths == {num_classes}
            and all(right <= min(both) for right, *both in zip(self.right, self.support, self.answers, strict=True))
            and all(true != guess and max(true, guess) < num_classes for true, guess, _ in self.mistakes)
        )


class ReferenceOutputs(_Part):
    """What the artifact answered to `zoo.parity.synthetic`'s pictures when it was exported.

    Attributes:
        pictures: their version.
        logits: a row for each picture, 9 significant digits: what float32 needs. Of the classes that
            `zoo.parity.self_check.listed_classes` names: all of them up to `MAX_REFERENCE_CLASSES`.
        spread: of the logits over the real pictures of the parity check.
        tolerance: the difference that another machine may make, relative to the spread.
    """

    pictures: Annotated[int, Field(ge=1)]
    logits: Annotated[
        tuple[Annotated[tuple[Finite, ...], Field(max_length=MAX_REFERENCE_CLASSES)], ...],
        Field(min_length=1, max_length=16),
    ]
    spread: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    tolerance: Annotated[float, Field(gt=0, le=1)]


class Card(_Part):
    """Everything a stranger needs to use an artifact and to judge it.

    Attributes:
        schema_version: 1 had neither `exported` nor `curves`, `confusion`, `reference`.
        input: `pixels`: uint8 `[N, H, W, 3]` of any size, preprocessing inside the file; `tensor`: what
            `preprocess` makes of that, float32 `[N, 3, S, S]`.
        exported: what the exporter says of the file: opset, …
        metrics: the run's final figures on the split that `metrics_split` names.
        curves: the run's rows by epoch, thinned out to at most `MAX_CURVE_ROWS`.
        confusion: counts behind `metrics`.
        parity: the report of the check that let the file ship.
        reference: its answers to synthetic pictures, by which it proves itself.
        content_hash: of the file without the card: it proves integrity, not origin.
        card_hash: of everything else in the card, empty in cards that `sealed` did not write.
    """

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    name: ShortText
    format: ShortText
    created: ShortText
    input: Input = "pixels"
    precision: Precision = "fp32"
    exported: Facts = {}
    classes: Annotated[tuple[ShortText, ...], Field(min_length=2, max_length=MAX_CLASSES), AfterValidator(_distinct)]
    preprocess: Annotated[PreprocessSpec, AfterValidator(_executable)]
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
    versions: Annotated[dict[str, ShortText], Field(max_length=200)]
    content_hash: ShortText
    card_hash: ShortText = ""

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        count = len(self.classes)
        if self.confusion is not None and not self.confusion.fits(count):
            raise ValueError("the confusion matrix is not of these classes")
        rows = () if self.reference is None else self.reference.logits
        if any(len(row) != min(count, MAX_REFERENCE_CLASSES) for row in rows):
            raise ValueError("the reference outputs are not of these classes")
        return self

    def sealed(self) -> str:
        """As JSON, with its own hash: what an artifact holds."""
        fields = json.loads(self.model_dump_json(exclude={"card_hash"}))
        return json.dumps(fields | {"card_hash": hash_of(fields)}, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Card:
        """Validates a stranger's JSON. Raises `ArtifactError`."""
        if len(text) > MAX_CARD_BYTES:
            raise ArtifactError(f"The card is larger than {MAX_CARD_BYTES // 2**20} MiB.", _FOREIGN)
        try:
            fields = read_strictly(text)
        except ValueError as error:
            raise ArtifactError(f"The card is no valid JSON: {error}.", _FOREIGN) from None
        version, seal = fields.get("schema_version"), fields.pop("card_hash", "")
        if type(version) is int and version > SCHEMA_VERSION:
            shown = version if version < 10**6 else "far above that"
            raise ArtifactError(
                f"The card has schema version {shown}; this version reads up to {SCHEMA_VERSION}.",
                "Update with: pip install -U visionzoo",
            )
        if version is None:
            raise ArtifactError("The card is not valid at schema_version: Field required.", _FOREIGN)
        try:
            card = cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            raise ArtifactError(f"The card is not valid at {first_problem(error)}.", _FOREIGN) from None
        if seal and seal != hash_of(fields):
            raise ArtifactError(
                "The card is damaged or was changed after the export: it does not match its hash.", _AGAIN
            )
        return card


def first_problem(error: ValidationError) -> str:
    """Where a card is wrong, and why."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part)[:MAX_NAME] for part in first["loc"]) or "the whole"
    reason = first["msg"].removeprefix("Value error, ")
    return "".join(character if character.isprintable() else "\ufffd" for character in f"{place}: {reason}")

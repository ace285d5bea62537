"""The card: what an artifact says of itself, as JSON inside the file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.errors import ArtifactError
from zoo.specs import MAX_CARD_BYTES, Input, Precision, PreprocessSpec

SCHEMA_VERSION = 1

ShortText = Annotated[str, Field(max_length=10_000)]


class DatasetCard(BaseModel):
    """Where the pictures came from."""

    model_config = ConfigDict(frozen=True)
    name: ShortText
    source: ShortText = ""
    licence: ShortText = ""
    drawable: bool = False
    notes: tuple[ShortText, ...] = ()


class Card(BaseModel):
    """Everything a stranger needs to use an artifact and to judge it.

    Attributes:
        input: `pixels`: uint8 `[N, H, W, 3]` of any size, preprocessing inside the file; `tensor`: what
            `preprocess` makes of that, float32 `[N, 3, S, S]`.
        metrics: the run's final figures on the split that `metrics_split` names.
        parity: the report of the check that let the file ship.
        content_hash: of the file without the card: it proves integrity, not origin.
    """

    model_config = ConfigDict(frozen=True)
    schema_version: int = SCHEMA_VERSION
    name: ShortText
    format: ShortText
    created: ShortText
    input: Input = "pixels"
    precision: Precision = "fp32"
    classes: Annotated[tuple[ShortText, ...], Field(min_length=2, max_length=100_000)]
    preprocess: PreprocessSpec
    backbone: ShortText
    backbone_plugin: ShortText
    weights: ShortText
    weights_licence: ShortText = ""
    dataset: DatasetCard
    recipe: dict[str, Any]
    metrics: dict[str, Any]
    metrics_split: ShortText
    parity: dict[str, Any]
    versions: dict[str, ShortText]
    content_hash: ShortText

    @classmethod
    def parse(cls, text: str) -> Card:
        """Validates a stranger's JSON. Raises `ArtifactError`."""
        foreign = "Export the model again with this version of visionzoo."
        if len(text) > MAX_CARD_BYTES:
            raise ArtifactError(f"The card is larger than {MAX_CARD_BYTES // 2**20} MiB.", foreign)
        try:
            version = _Versioned.model_validate_json(text).schema_version
            if version > SCHEMA_VERSION:
                raise ArtifactError(
                    f"The card has schema version {version}; this version reads up to {SCHEMA_VERSION}.",
                    "Update with: pip install -U visionzoo",
                )
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise ArtifactError(f"The card is not valid at {place}: {first['msg']}.", foreign) from None


class _Versioned(BaseModel):
    schema_version: int

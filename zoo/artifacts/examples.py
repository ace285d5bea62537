"""Example pictures inside a card: the schema and its limits.

A card is untrusted. The schema looks only at the first bytes of a picture. `Example.pixels` decodes it within the
limits of `zoo.images`.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from zoo.artifacts.card_json import MAX_TEXT, malformed

if TYPE_CHECKING:
    import numpy as np

MAX_EXAMPLES = 24
MAX_EXAMPLE_SIDE = 512  # pixels
MAX_EXAMPLE_BYTES = 128 * 2**10  # of all of them 3 MiB, as base64 4 MiB: a quarter of a card
FORMATS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def _file(value: Any) -> Any:
    """The bytes of a picture file, from base64 as in JSON."""
    if isinstance(value, str):
        if len(value) > 4 * -(-MAX_EXAMPLE_BYTES // 3):
            raise malformed(f"a picture has more than {MAX_EXAMPLE_BYTES // 2**10} KiB", code="card-example-file")
        try:
            value = base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error):
            raise malformed("a picture is not base64", code="card-example-file") from None
    if isinstance(value, bytes) and not value.startswith(tuple(FORMATS)):
        raise malformed("a picture is neither PNG nor JPEG", code="card-example-file")
    return value


def _base64(file: bytes) -> str:
    return base64.b64encode(file).decode()


class Example(BaseModel):
    """A picture of the split on which the model was tested.

    Attributes:
        label: its true class.
        file: a PNG or JPEG file, at most `MAX_EXAMPLE_BYTES`.
    """

    model_config = ConfigDict(frozen=True)

    label: Annotated[str, Field(max_length=MAX_TEXT)]
    file: Annotated[
        bytes,
        Field(max_length=MAX_EXAMPLE_BYTES),
        BeforeValidator(_file),
        PlainSerializer(_base64, str, when_used="json"),
    ]

    @property
    def media_type(self) -> str:
        """`image/png` or `image/jpeg`."""
        return next(name for start, name in FORMATS.items() if self.file.startswith(start))

    def pixels(self) -> np.ndarray:
        """Decodes the picture, uint8 `[H, W, 3]`, of at most 512 x 512 pixels. Raises `UnreadablePictureError`."""
        from zoo.images import read_picture

        return read_picture(self.file, max_pixels=MAX_EXAMPLE_SIDE**2)

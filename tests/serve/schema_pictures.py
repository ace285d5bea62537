"""For schemathesis (SCHEMATHESIS_HOOKS): a body is a picture. Any other bytes would fit the description as well."""

from __future__ import annotations

import io

import schemathesis
from hypothesis import strategies
from PIL import Image

KINDS = ("PNG", "JPEG", "GIF", "WEBP")


def picture(kind: str, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, kind)
    return file.getvalue()


PICTURES = strategies.sampled_from([picture(kind, size) for kind in KINDS for size in ((1, 1), (40, 30))])

for media_type in ("application/octet-stream", "image/*"):
    schemathesis.openapi.media_type(media_type, PICTURES)

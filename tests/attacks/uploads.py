"""Hostile picture files, all built here: each with what must come back, and what it may cost."""

from __future__ import annotations

from .attack import Upload
from .uploads_foreign import FOREIGN
from .uploads_jpeg import JPEG
from .uploads_others import OTHERS
from .uploads_png import PNG
from .uploads_tiff import TIFF

UPLOADS: dict[str, Upload] = {upload.name: upload for upload in (*PNG, *JPEG, *TIFF, *OTHERS, *FOREIGN)}

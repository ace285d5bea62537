"""The limits that `zoo serve` and `zoo demo` share.

Each limit is checked before the work starts.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_PIXELS = 40_000_000  # of a picture, as of a full-frame camera; decoding takes 7 bytes per pixel
MAX_UPLOAD_BYTES = 64_000_000
PICTURE_SECONDS = 30.0  # for decoding one picture and one answer to it
MAX_SECONDS = 3600.0  # that an operator may set instead: the service also takes so long to end

BODY_SECONDS = 120.0  # for a request to arrive
GRACE_SECONDS = 10.0  # before a slow request counts as too slow
BODY_RATE = 6_400  # bytes per second at least, after that
SILENT_SECONDS = 20.0  # for a connection without a request
MAX_CONNECTIONS = 512

MAX_WAITING = 200  # pictures that wait for a model or run
MAX_STORED_BYTES = 512 * 2**20  # of all uploads together

MAX_FILES = 64  # of one request
MAX_FORM_BYTES = 4 * MAX_UPLOAD_BYTES  # of one request with several files
BATCH_SIZE = 32  # pictures in one run of a model
MAX_DECODED_PIXELS = 64_000_000  # of all pictures that are decoded and wait: 192 MB
MAX_PARAMETER = 200  # characters


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service accepts.

    Attributes:
        seconds: from the arrival of a request to its answer.
        waiting: pictures that wait or run, of all requests together.
        file_bytes: of one picture's file.
        pixels: of one picture.
        batch: pictures in one run of a model.
    """

    seconds: float = PICTURE_SECONDS
    waiting: int = MAX_WAITING
    file_bytes: int = MAX_UPLOAD_BYTES
    pixels: int = MAX_PIXELS
    batch: int = BATCH_SIZE

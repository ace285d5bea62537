"""Many pictures, one after the other: each waits for its turn like the pictures of other visitors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Literal

from PIL import Image

from zoo.artifacts.predictor import Prediction
from zoo.artifacts.rows import CsvRows, JsonRows
from zoo.errors import UsageError, ZooError
from zoo_demo.answers import asked
from zoo_demo.given import Given, Picture
from zoo_demo.limits import BATCH_SECONDS
from zoo_demo.models import Answering
from zoo_demo.service import Answer
from zoo_demo.texts import Language, say

TOP_K = 3  # as `zoo predict`
STEP_SECONDS = 1.0  # between two reports: screen readers read each of them
THUMBNAIL_SIDE = 72
_SMALL_BYTES = 2500  # a smaller view is its own thumbnail


@dataclass(frozen=True, slots=True)
class Row:
    """The answers to a picture.

    Attributes:
        predictions: of each model.
        latencies_ms: of each model.
        thumbnail: of what the first model saw, as a PNG or JPEG file.
    """

    file: str
    predictions: tuple[Prediction, ...]
    latencies_ms: tuple[float, ...]
    thumbnail: bytes


@dataclass(slots=True)
class Batch:
    """What a batch has found so far.

    Attributes:
        total: pictures.
        skipped: files in zips that are no pictures.
        unread: pictures without an answer, and why.
        ended: why it ended before its last picture.
    """

    total: int
    skipped: int = 0
    rows: list[Row] = field(default_factory=list)
    unread: list[tuple[str, ZooError]] = field(default_factory=list)
    ended: Literal["", "stopped", "late"] = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """Pictures with an answer or an error."""
        return len(self.rows) + len(self.unread)

    @property
    def seconds_left(self) -> float:
        """As long as the pictures so far took, for each of the others."""
        return (time.monotonic() - self.began) / max(self.done, 1) * (self.total - self.done)

    def csv(self, top_k: int) -> str:
        """What `zoo predict --csv` prints for these pictures."""
        rows = CsvRows(top_k)
        return rows.head + "".join(rows.row(row.file, row.predictions[0]) for row in self.rows)

    def json(self) -> str:
        """What `zoo predict --json` prints for these pictures."""
        rows = JsonRows()
        return "".join([*(rows.row(row.file, row.predictions[0]) for row in self.rows), rows.end()])


def run(
    given: Given, services: Sequence[Answering], classes: int, stopped: threading.Event, language: Language
) -> Iterator[Batch]:
    """Asks each model for each picture. Yields the same batch from time to time, and at the end.

    Args:
        classes: of the model with the fewest.
    """
    batch = Batch(len(given.pictures), given.skipped)
    shown = batch.began
    yield batch
    for picture in given.pictures:
        while True:
            if stopped.is_set() or time.monotonic() - batch.began > BATCH_SECONDS:
                batch.ended = "stopped" if stopped.is_set() else "late"
                yield batch
                return
            try:
                batch.rows.append(_row(picture, services, min(TOP_K, classes), language))
            except ZooError as error:
                if error.code == "deadline":  # others came first
                    continue
                batch.unread.append((picture.name, error))
            break
        if time.monotonic() - shown > STEP_SECONDS:
            shown = time.monotonic()
            yield batch
    yield batch


def _row(picture: Picture, services: Sequence[Answering], top_k: int, language: Language) -> Row:
    body = picture.read()

    def answers() -> list[Answer]:
        return [service.ask("file", body, top_k, first=False) for service in services]

    found = asked(answers, language)
    predictions = tuple(Prediction(*answer.top[0], tuple(answer.top)) for answer in found)
    return Row(picture.name, predictions, tuple(answer.latency_ms for answer in found), thumbnail(found[0].view))


def thumbnail(view: bytes) -> bytes:
    """A picture's file in the size of a table's row."""
    if len(view) < _SMALL_BYTES:
        return view
    with Image.open(BytesIO(view)) as image:
        small = image.convert("RGB")
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    file = BytesIO()
    small.save(file, "JPEG", quality=80)
    return file.getvalue()


def nothing(language: Language) -> UsageError:
    """The error for a batch without pictures."""
    return UsageError(say("batch.empty", language), say("batch.empty-remedy", language), code="no-picture")

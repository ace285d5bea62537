"""Artifacts in use: pictures in, labels and probabilities out, whatever the format."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from zoo.artifacts.card import Card
from zoo.artifacts.large_pictures import BehindResize
from zoo.data.batches import batches_by_size
from zoo.data.prefetch import BATCHES_BUDGET, as_they_come, count_cores, decode_ahead
from zoo.errors import (
    ArtifactError,
    TooLittleMemoryError,
    UnreadablePictureError,
    UsageError,
    ZooError,
    is_out_of_memory,
    reason_of,
)
from zoo.images import as_picture, read_picture
from zoo.images.read import Admit
from zoo.metrics import log_softmax
from zoo.processes.threads import Threads, aside
from zoo.specs import Input, LoadOptions, PreprocessSpec, Runtime

if TYPE_CHECKING:
    from zoo.specs import ExporterSpec

BATCH_SIZE = 32
Picture = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray
_FILE = (str, os.PathLike, bytes)
_File = str | os.PathLike[str] | bytes
_Batch = tuple[list[int], np.ndarray]  # numbers and pictures, uint8 [n, H, W, 3]
_Answer = tuple[list[int], np.ndarray | TooLittleMemoryError]  # numbers and logits, float32 [n, K]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an artifact says of one picture.

    Attributes:
        label: the most probable class.
        probability: 0 to 1.
        top: the most probable classes with their probabilities, best first.
    """

    label: str
    probability: float
    top: tuple[tuple[str, float], ...]


class Predictor:
    """A loaded artifact; `zoo.load` makes it. Several threads may use one at once.

    Attributes:
        card: what the artifact says of itself.
        runtime: uint8 `[N, H, W, 3]` in, logits `[N, K]` out.
        workers: how many batches run at once.
    """

    def __init__(self, card: Card, runtime: Runtime, workers: int = 1) -> None:
        self.card = card
        self.runtime = runtime
        self.workers = workers
        self._behind_resize = BehindResize(runtime, card.preprocess, card.precision)

    @property
    def classes(self) -> tuple[str, ...]:
        """The K names, in the order of the logits."""
        return self.card.classes

    def predict(self, pictures: Iterable[Picture], top_k: int = 5) -> list[Prediction]:
        """Classifies pictures, in batches underneath.

        Args:
            pictures: any iterable, an array `[N, H, W, 3]` among them. Each is a path, the bytes of a file, an open
                file, a PIL picture, or an array that `zoo.images.as_picture` takes. They are decoded as they are
                needed, files ahead of the one that is classified.
            top_k: how many classes `Prediction.top` lists, at least 1.

        Returns:
            One prediction a picture, in their order.

        Raises:
            UnreadablePictureError: one of them is no picture.
            UsageError: a single picture instead of several, or `top_k` is less than 1.
            ArtifactError: the runtime fails.
        """
        found: dict[int, Prediction] = {}
        for indices, logits in self.stream(_numbered(pictures)):
            found.update(zip(indices, self.predictions(logits, top_k), strict=True))
        return [found[index] for index in range(len(found))]

    def logits(self, pictures: Iterable[Picture]) -> np.ndarray:
        """Takes what `predict` takes; returns float32 `[N, K]`. Raises as `predict`."""
        found: dict[int, np.ndarray] = {}
        for indices, logits in self.stream(_numbered(pictures)):
            found.update(zip(indices, logits, strict=True))
        rows = [found[index] for index in range(len(found))]
        return np.stack(rows) if rows else np.empty((0, len(self.classes)), np.float32)

    def stream(
        self,
        pictures: Iterable[tuple[int, np.ndarray]],
        batch_size: int = BATCH_SIZE,
        *,
        failed: Callable[[int, TooLittleMemoryError], None] | None = None,
    ) -> Generator[tuple[list[int], np.ndarray], None, None]:
        """Classifies pictures while they come, in bounded memory, those of one size together.

        Args:
            pictures: numbers and pictures, uint8 `[H, W, 3]`.
            failed: called with the number of a picture for which the runtime finds too little memory, even alone;
                unless given, the error is raised.

        Yields:
            Numbers, and the logits float32 `[n, K]` of their pictures; not in the order of the pictures.

        Raises:
            ArtifactError: the runtime fails.
        """
        for answers in self._answers(batches_by_size(pictures, batch_size)):
            for indices, answer in answers:
                if isinstance(answer, np.ndarray):
                    yield indices, answer
                elif failed is None:
                    raise answer
                else:
                    failed(indices[0], answer)

    def _answers(self, batches: Iterable[_Batch]) -> Iterator[list[_Answer]]:
        if self.workers == 1:
            yield from (aside(self._answer_in_memory, batch) for batch in batches)
            return
        with Threads(self.workers) as pool:
            yield from as_they_come(
                pool, self._answer_in_memory, batches, ahead=2 * self.workers, weigh=_num_bytes, most=BATCHES_BUDGET
            )

    def _answer_in_memory(self, batch: _Batch) -> list[_Answer]:
        """The answer to a batch; to each of its pictures where there is too little memory for all at once."""
        try:
            return [self._answer(batch)]
        except TooLittleMemoryError as error:
            indices, pixels = batch
            if len(indices) == 1:
                return [(indices, error)]
        parts = zip(indices, pixels, strict=True)
        return [answer for index, one in parts for answer in self._answer_in_memory(([index], one[None]))]

    def _answer(self, batch: tuple[list[int], np.ndarray]) -> tuple[list[int], np.ndarray]:
        indices, pixels = batch
        try:
            entered = self._behind_resize.logits(pixels)
            logits = np.asarray(self.runtime(pixels) if entered is None else entered)
        except ZooError:
            raise
        except Exception as error:  # runtimes raise classes of their own
            if is_out_of_memory(error):
                raise TooLittleMemoryError(f"A picture of {pixels.shape[2]} x {pixels.shape[1]}") from None
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ArtifactError(
                f"The artifact fails on pictures of {pixels.shape[2]} x {pixels.shape[1]}: {reason}",
                "Try smaller pictures, or export it again.",
            ) from None
        if logits.shape != (len(pixels), len(self.classes)):
            raise ArtifactError(
                f"The artifact answers with {list(logits.shape)} logits to {len(pixels)} pictures and "
                f"{len(self.classes)} classes.",
                "Export it again.",
            )
        if logits.dtype.kind != "f" or not np.isfinite(logits).all():
            raise ArtifactError(
                "The artifact answers with something other than finite numbers.", "Export it again, in fp32."
            )
        return indices, logits

    def predictions(self, logits: np.ndarray, top_k: int = 5) -> list[Prediction]:
        """Takes logits `[N, K]`; probabilities are their softmax, computed in float64."""
        if top_k < 1:
            raise UsageError("top_k is less than 1.", "Ask for at least one class.")
        probabilities = np.exp(log_softmax(logits))
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
        tops = [
            tuple((self.classes[i], float(row[i])) for i in best)
            for row, best in zip(probabilities, order, strict=True)
        ]
        return [Prediction(*top[0], top) for top in tops]


def _num_bytes(batch: _Batch) -> int:
    return batch[1].nbytes


def _numbered(pictures: Iterable[Picture]) -> Iterator[tuple[int, np.ndarray]]:
    """Pictures uint8 `[H, W, 3]` with their numbers; threads decode files ahead."""
    batch = isinstance(pictures, np.ndarray) and pictures.ndim == 4  # noqa: PLR2004
    if isinstance(pictures, str | bytes | os.PathLike | np.ndarray | Image.Image) and not batch:
        raise UsageError("predict takes several pictures.", "Put the one in a list: predict([picture]).")

    # Two threads must not read one open file or one PIL picture.
    tasks = (
        [partial(_read_file, picture) if isinstance(picture, _FILE) else as_picture(picture)] for picture in pictures
    )
    with closing(decode_ahead(tasks)) as found:
        for index, picture in enumerate(found):
            if isinstance(picture, UnreadablePictureError):
                raise picture
            yield index, picture


def _read_file(file: _File, admit: Admit) -> np.ndarray:
    return read_picture(file if isinstance(file, bytes) else Path(file), admit=admit)


def load(path: Path | str, device: str = "cpu", *, workers: int = 1) -> Predictor:
    """Opens an artifact and verifies that its content is what its card describes.

    Args:
        device: `cpu` or `cuda`.
        workers: how many batches run at once on a CPU, each on its share of the cores: the fastest way through many
            pictures, and the slowest through one.

    Raises:
        ArtifactError: the file is damaged or foreign, or the device is not there.
        UsageError: there is no such file, or its suffix belongs to no format.
        MissingExtraError: its runtime is not installed.
    """
    # Threads that wait for work in a loop would take the cores from those that decode.
    alone = workers == 1
    options = LoadOptions(device=device, threads=None if alone else max(1, count_cores() // workers), spinning=alone)
    return Predictor(*aside(open_artifact, Path(path), options), workers)


def open_artifact(path: Path, options: LoadOptions) -> tuple[Card, Runtime]:
    """The verified card, and a runtime that takes pixels, uint8 `[N, H, W, 3]`. Raises as `load`."""
    exporter, card = _read(path)
    if exporter.content_hash(path) != card.content_hash:
        raise ArtifactError(
            f"'{path}' is damaged or was changed after its export: its content does not match its card.",
            "Copy it again from where it came, or export it again.",
        )
    return card, open_runtime(exporter, path, card.input, card.preprocess, options)


def open_runtime(
    exporter: ExporterSpec, path: Path, takes: Input, spec: PreprocessSpec, options: LoadOptions
) -> Runtime:
    """A runtime that takes pixels, uint8 `[N, H, W, 3]`, whatever the file takes. Raises as `ExporterSpec.load`."""
    runtime = exporter.load(path, options)
    if takes == "pixels":
        return runtime
    from zoo.transforms.preprocess_numpy import Preprocessed

    return Preprocessed(runtime, spec)


def read_card(path: Path | str) -> Card:
    """What an artifact says of itself, without loading its program. Raises as `load`."""
    return _read(Path(path))[1]


def _read(path: Path) -> tuple[ExporterSpec, Card]:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, ValueError):  # ValueError: a zero byte in the name
        raise UsageError(f"'{path}' does not exist.", "Name a file that `zoo export` wrote.") from None
    except OSError as error:
        raise ArtifactError(f"'{path}' cannot be read: {reason_of(error)}.", "Check the path.") from None
    if not stat.S_ISREG(mode):
        what = "is a folder" if stat.S_ISDIR(mode) else "is no file"  # a pipe would be waited for
        raise UsageError(f"'{path}' {what}.", "Name a file that `zoo export` wrote.")
    from zoo.registry import registry

    exporter = registry().exporter_for(path).spec
    text = exporter.read_card(path)
    if text is None:
        raise ArtifactError(f"'{path}' is not an artifact of zoo export: it has no card.", "Make one with: zoo export")
    return exporter, Card.parse(text)

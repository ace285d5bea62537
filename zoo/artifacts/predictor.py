"""Uses artifacts of any format: pictures in, labels and probabilities out."""

from __future__ import annotations

import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args, overload

import numpy as np

from zoo.artifacts.card import Card
from zoo.artifacts.heat_maps import HeatMap, heat_map
from zoo.artifacts.large_pictures import BehindResize
from zoo.artifacts.pictures import Picture, numbered_pictures, raise_with_index
from zoo.artifacts.shown import prediction_html, prediction_line, predictor_html, predictor_line
from zoo.data.batches import batches_by_size
from zoo.data.prefetch import BATCHES_BUDGET, as_they_come, count_cores
from zoo.errors import (
    ArtifactError,
    TooLittleMemoryError,
    UnreadablePictureError,
    UsageError,
    ZooError,
    is_out_of_memory,
    reason_of,
)
from zoo.metrics import log_softmax
from zoo.processes.threads import Threads, aside
from zoo.specs import Input, LoadOptions, MappedRuntime, PreprocessSpec, Runtime

if TYPE_CHECKING:
    from zoo.specs import ExporterSpec

BATCH_SIZE = 32
_GIVE = "Give a file that `zoo export` wrote."
OnError = Literal["raise", "skip"]
_Batch = tuple[list[int], np.ndarray]  # numbers and pictures, uint8 [n, H, W, 3]
_Answer = tuple[list[int], np.ndarray | TooLittleMemoryError]  # numbers and logits, float32 [n, K]


@dataclass(frozen=True, slots=True)
class Prediction:
    """An artifact's answer to one picture.

    Attributes:
        label: the most probable class.
        probability: 0 to 1.
        top: the most probable classes with their probabilities, best first.
    """

    label: str
    probability: float
    top: tuple[tuple[str, float], ...]

    __repr__, _repr_html_ = prediction_line, prediction_html


class Predictor:
    """A loaded artifact; `zoo.load` makes it. Several threads may use one at once.

    Attributes:
        card: the description of the artifact.
        runtime: uint8 `[N, H, W, 3]` in, logits `[N, K]` out.
        workers: how many batches run at once.
    """

    def __init__(self, card: Card, runtime: Runtime, workers: int = 1) -> None:
        self.card = card
        self.runtime = runtime
        self.workers = workers
        self._behind_resize = BehindResize(runtime, card.preprocess, card.precision)

    __repr__, _repr_html_ = predictor_line, predictor_html

    @property
    def classes(self) -> tuple[str, ...]:
        """The K names, in the order of the logits."""
        return self.card.classes

    @overload
    def predict(
        self, pictures: Iterable[Picture], top_k: int = 5, *, on_error: Literal["raise"] = "raise"
    ) -> list[Prediction]: ...
    @overload
    def predict(self, pictures: Iterable[Picture], top_k: int = 5, *, on_error: OnError) -> list[Prediction | None]: ...
    def predict(
        self, pictures: Iterable[Picture], top_k: int = 5, *, on_error: OnError = "raise"
    ) -> list[Prediction] | list[Prediction | None]:
        """Classifies pictures, in batches.

        Args:
            pictures: any iterable, also an array `[N, H, W, 3]`. Each picture is a path, the bytes of a file, an open
                file, a PIL picture, or an array that `zoo.images.as_picture` takes. Pictures are decoded when they are
                needed; threads decode files ahead.
            top_k: how many classes `Prediction.top` lists, at least 1.
            on_error: `skip` returns None for a picture that cannot be decoded, and predictions for the others.

        Returns:
            One prediction per picture, in the same order.

        Raises:
            UnreadablePictureError: a picture cannot be decoded. `index` is its place among the pictures.
            UsageError: a single picture instead of several, `top_k` is less than 1, or `on_error` has another value.
            ArtifactError: the runtime fails.
        """
        if on_error not in get_args(OnError):
            remedy = "It takes 'raise' or 'skip'."
            raise UsageError(f"The option on_error cannot be {on_error!r}.", remedy, code="impossible-option")
        found: dict[int, Prediction | None] = {}

        def failed(index: int, error: UnreadablePictureError) -> None:
            if on_error == "raise":
                raise_with_index(index, error)
            found[index] = None

        numbered = numbered_pictures(pictures, self.card.preprocess.pixel_range, failed)
        for indices, logits in self.stream(numbered, failed=failed):
            found.update(zip(indices, self.predictions(logits, top_k), strict=True))
        return [found[index] for index in range(len(found))]

    def logits(self, pictures: Iterable[Picture]) -> np.ndarray:
        """Takes the pictures that `predict` takes; returns float32 `[N, K]`. Raises the same errors."""
        found: dict[int, np.ndarray] = {}
        numbered = numbered_pictures(pictures, self.card.preprocess.pixel_range, raise_with_index)
        for indices, logits in self.stream(numbered, failed=raise_with_index):
            found.update(zip(indices, logits, strict=True))
        rows = [found[index] for index in range(len(found))]
        return np.stack(rows) if rows else np.empty((0, len(self.classes)), np.float32)

    def heat_map(self, picture: Picture, label: str | None = None) -> HeatMap:
        """See `zoo.artifacts.heat_maps.heat_map`."""
        return heat_map(self, picture, label)

    def stream(
        self,
        pictures: Iterable[tuple[int, np.ndarray]],
        batch_size: int = BATCH_SIZE,
        *,
        failed: Callable[[int, TooLittleMemoryError], None] | None = None,
    ) -> Generator[tuple[list[int], np.ndarray], None, None]:
        """Classifies a stream of pictures in bounded memory. Pictures of one size share a batch.

        Args:
            pictures: numbers and pictures, uint8 `[H, W, 3]`.
            failed: called with the number of a picture that needs too much memory even alone. Without it, the error
                is raised.

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
                pool,
                self._answer_in_memory,
                batches,
                ahead=2 * self.workers,
                weigh=lambda batch: batch[1].nbytes,
                most=BATCHES_BUDGET,
            )

    def _answer_in_memory(self, batch: _Batch) -> list[_Answer]:
        """The answer to a batch, or to each of its pictures if there is too little memory for all at once."""
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
                code="runtime-failed",
            ) from None
        if logits.shape != (len(pixels), len(self.classes)):
            wanted = [len(pixels), len(self.classes)]
            cause = f"The artifact's logits have shape {list(logits.shape)} instead of {wanted}."
            raise ArtifactError(cause, "Export it again.", code="logits-shape")
        if logits.dtype.kind != "f" or not np.isfinite(logits).all():
            cause = "The artifact's logits are not finite floating-point numbers."
            raise ArtifactError(cause, "Export it again with --precision fp32.", code="logits-not-finite")
        return indices, logits

    def predictions(self, logits: np.ndarray, top_k: int = 5) -> list[Prediction]:
        """Takes logits `[N, K]`; probabilities are their softmax, computed in float64."""
        if top_k < 1:
            raise UsageError(f"top_k is {top_k}, but the minimum is 1.", "Give 1 or more.", code="top-k")
        probabilities = np.exp(log_softmax(logits))
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
        tops = [
            tuple((self.classes[i], float(row[i])) for i in best)
            for row, best in zip(probabilities, order, strict=True)
        ]
        return [Prediction(*top[0], top) for top in tops]


def load(path: Path | str, device: str = "cpu", *, workers: int = 1, threads: int | None = None) -> Predictor:
    """Opens an artifact and checks its content against the hash in its card.

    Args:
        device: `cpu` or `cuda`.
        workers: how many batches run at once on a CPU, each on its share of the cores. More workers are faster for many
            pictures and slower for one.
        threads: of the runtime, for one batch on a CPU. Given a number, they do not keep cores busy while they wait:
            for a server. By default they share the cores.

    Raises:
        ArtifactError: the file is damaged or was not written by `zoo export`, or the device is missing.
        UsageError: the file does not exist, or its suffix belongs to no format.
        MissingExtraError: its runtime is not installed.
    """
    # Threads that spin while they wait would take cores from those that decode.
    alone = workers == 1 and threads is None
    shared = None if alone else threads or max(1, count_cores() // workers)
    options = LoadOptions(device=device, threads=shared, spinning=alone)
    return Predictor(*aside(open_artifact, Path(path), options), workers)


def open_artifact(path: Path, options: LoadOptions) -> tuple[Card, Runtime]:
    """The checked card, and a runtime that takes pixels, uint8 `[N, H, W, 3]`. Raises like `load`."""
    exporter, card = _read(path)
    if exporter.content_hash(path) != card.content_hash:
        raise ArtifactError(
            f"'{path}' is damaged or was changed after its export: its content does not match its card.",
            "Copy it again from its source, or export it again.",
            code="hash-changed",
        )
    return card, open_runtime(exporter, path, card.input, card.preprocess, options)


def open_runtime(
    exporter: ExporterSpec, path: Path, takes: Input, spec: PreprocessSpec, options: LoadOptions
) -> Runtime:
    """A runtime that takes pixels, uint8 `[N, H, W, 3]`, for any input of the file. Raises like `ExporterSpec.load`."""
    runtime = exporter.load(path, options)
    if takes == "pixels":
        return runtime
    from zoo.transforms.preprocess_numpy import MappedPreprocessed, Preprocessed

    return MappedPreprocessed(runtime, spec) if isinstance(runtime, MappedRuntime) else Preprocessed(runtime, spec)


def read_card(path: Path | str) -> Card:
    """The card of an artifact. Does not load its program. Raises like `load`."""
    return _read(Path(path))[1]


def _read(path: Path) -> tuple[ExporterSpec, Card]:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, ValueError):  # ValueError: a zero byte in the name
        raise UsageError(f"'{path}' does not exist.", _GIVE, code="missing-file") from None
    except OSError as error:
        cause = f"'{path}' cannot be read: {reason_of(error)}."
        raise ArtifactError(cause, "Check the path.", code="unreadable-file") from None
    if stat.S_ISDIR(mode):
        raise UsageError(f"'{path}' is a folder.", _GIVE, code="is-folder")
    if not stat.S_ISREG(mode):  # reading a pipe would wait
        raise UsageError(f"'{path}' is not a regular file.", _GIVE, code="not-a-file")
    from zoo.registry import registry
    from zoo.registry.formats import guarded

    exporter = guarded(registry().exporter_for(path), ArtifactError)
    text = exporter.read_card(path)
    if text is None:
        cause = f"'{path}' was not written by zoo export: it has no card."
        raise ArtifactError(cause, "Make a file with: zoo export", code="missing-card")
    return exporter, Card.parse(text)

"""Artifacts in use: pictures in, labels and probabilities out, whatever the format."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.card import Card
from zoo.data.stream import batches_by_size
from zoo.errors import ArtifactError, UsageError, ZooError, reason_of
from zoo.images import as_picture
from zoo.metrics import log_softmax
from zoo.specs import Input, LoadOptions, PreprocessSpec, Runtime

if TYPE_CHECKING:
    from zoo.specs import ExporterSpec

BATCH_SIZE = 32


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
    """A loaded artifact; `zoo.load` makes it.

    Attributes:
        card: what the artifact says of itself.
        runtime: uint8 `[N, H, W, 3]` in, logits `[N, K]` out.
    """

    def __init__(self, card: Card, runtime: Runtime) -> None:
        self.card = card
        self.runtime = runtime

    @property
    def classes(self) -> tuple[str, ...]:
        """The K names, in the order of the logits."""
        return self.card.classes

    def logits(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Takes pictures uint8 `[H, W, 3]` of any sizes; returns float32 `[N, K]`."""
        rows = np.empty((len(pictures), len(self.classes)), np.float32)
        for indices, logits in self.stream(enumerate(pictures)):
            rows[indices] = logits
        return rows

    def stream(self, pictures: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[list[int], np.ndarray]]:
        """Classifies pictures while they come, in bounded memory, those of one size together.

        Args:
            pictures: numbers and pictures, uint8 `[H, W, 3]`.

        Yields:
            Numbers, and the logits float32 `[n, K]` of their pictures; not in the order of the pictures.

        Raises:
            ArtifactError: the runtime fails.
        """
        for indices, batch in batches_by_size(pictures, BATCH_SIZE):
            try:
                logits = self.runtime(batch)
            except ZooError:
                raise
            except Exception as error:  # runtimes raise classes of their own
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ArtifactError(
                    f"The artifact fails on pictures of {batch.shape[2]} x {batch.shape[1]}: {reason}",
                    "Try smaller pictures, or export it again.",
                ) from None
            if logits.shape != (len(batch), len(self.classes)):
                raise ArtifactError(
                    f"The artifact answers with {list(logits.shape)} logits to {len(batch)} pictures and "
                    f"{len(self.classes)} classes.",
                    "Export it again.",
                )
            yield indices, logits

    def predict(self, pictures: Iterable[Any], top_k: int = 5) -> list[Prediction]:
        """Classifies pictures.

        Args:
            pictures: each a path, the bytes of a file, an open file, a PIL picture, or an array that
                `zoo.images.as_picture` takes. They are decoded as they are needed.
            top_k: how many classes `Prediction.top` lists, at least 1.

        Raises:
            UnreadablePictureError: one of them is no picture.
        """
        batch = isinstance(pictures, np.ndarray) and pictures.ndim == 4  # noqa: PLR2004
        if isinstance(pictures, str | bytes | os.PathLike | np.ndarray) and not batch:
            raise UsageError("predict takes several pictures.", "Put the one in a list: predict([picture]).")
        found: dict[int, Prediction] = {}
        numbered = ((index, as_picture(picture)) for index, picture in enumerate(pictures))
        for indices, logits in self.stream(numbered):
            found.update(zip(indices, self.predictions(logits, top_k), strict=True))
        return [found[index] for index in range(len(found))]

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


def load(path: Path | str, device: str = "cpu") -> Predictor:
    """Opens an artifact and verifies that its content is what its card describes.

    Args:
        device: `cpu` or `cuda`.

    Raises:
        ArtifactError: the file is missing, damaged or foreign, or the device is not there.
        UsageError: its suffix belongs to no format.
        MissingExtraError: its runtime is not installed.
    """
    exporter, card = _read(Path(path))
    if exporter.content_hash(Path(path)) != card.content_hash:
        raise ArtifactError(
            f"'{path}' is damaged or was changed after its export: its content does not match its card.",
            "Copy it again from where it came, or export it again.",
        )
    return Predictor(card, open_runtime(exporter, Path(path), card.input, card.preprocess, LoadOptions(device=device)))


def open_runtime(
    exporter: ExporterSpec, path: Path, takes: Input, spec: PreprocessSpec, options: LoadOptions
) -> Runtime:
    """A runtime that takes pixels, uint8 `[N, H, W, 3]`, whatever the file takes. Raises as `ExporterSpec.load`."""
    runtime = exporter.load(path, options)
    if takes == "pixels":
        return runtime
    from zoo.preprocess_numpy import Preprocessed

    return Preprocessed(runtime, spec)


def read_card(path: Path | str) -> Card:
    """What an artifact says of itself, without loading its program. Raises as `load`."""
    return _read(Path(path))[1]


def _read(path: Path) -> tuple[ExporterSpec, Card]:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, ValueError):  # ValueError: a zero byte in the name
        raise ArtifactError(f"'{path}' does not exist.", "Name a file that `zoo export` wrote.") from None
    except OSError as error:
        raise ArtifactError(f"'{path}' cannot be read: {reason_of(error)}.", "Check the path.") from None
    if not stat.S_ISREG(mode):
        what = "is a folder" if stat.S_ISDIR(mode) else "is no file"  # a pipe would be waited for
        raise ArtifactError(f"'{path}' {what}.", "Name a file that `zoo export` wrote.")
    from zoo.registry import registry

    exporter = registry().exporter_for(path).spec
    text = exporter.read_card(path)
    if text is None:
        raise ArtifactError(f"'{path}' is not an artifact of zoo export: it has no card.", "Make one with: zoo export")
    return exporter, Card.parse(text)

"""Heat maps: which parts of a picture an answer depends on.

Occlusion works with every model: a square of the mean colour moves over what the network sees, and the answer is
asked for again. Where it drops, the network looked. Zeiler and Fergus, "Visualizing and Understanding Convolutional
Networks", 2014, section 4.2: https://arxiv.org/abs/1311.2901
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from zoo.artifacts.pictures import Picture, numbered_pictures, raise_with_index
from zoo.errors import ArtifactError, UsageError, nearest, raised
from zoo.specs import MappedRuntime
from zoo.transforms.view import framed, model_view

if TYPE_CHECKING:
    from zoo.artifacts.predictor import Predictor
    from zoo.specs import PreprocessSpec

CELLS = 8  # along each side
_COVERED = 2  # cells along each side of the square: a sixteenth of the area
OCCLUSION_RUNS = (CELLS + _COVERED - 1) ** 2 + 1  # of the network, for one map
_BATCH = 27  # pictures: a third of all
_BATCH_PIXELS = 2**18  # up to which a batch has more, where nobody follows the work

_Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """Where an artifact found a class in a picture.

    Attributes:
        label: the class.
        values: float32 `[h, w]`, of equal cells of `view`, in units of the logits. A cell above 0 speaks for the class,
            below 0 against it.
        view: what the network sees of the picture, uint8 `[S, S, 3]`.
        method: how it was made. `occlusion`: how far the log-odds of the class drop when the cell is covered. `maps`:
            how much more the cell adds to the logit of the class than to the others on average.
    """

    label: str
    values: np.ndarray
    view: np.ndarray
    method: Literal["occlusion", "maps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """What heat maps need of a model.

    Attributes:
        classes: its K classes.
        preprocess: of the model.
        logits: takes uint8 `[N, H, W, 3]`, returns float32 `[N, K]`.
        maps: takes one picture, uint8 `[1, H, W, 3]`, returns its class activation maps, float32 `[K, h, w]`. None
            where the model has none.
    """

    classes: tuple[str, ...]
    preprocess: PreprocessSpec
    logits: Callable[[np.ndarray], np.ndarray]
    maps: Callable[[np.ndarray], np.ndarray] | None = None

    def heat_map(self, picture: np.ndarray, chosen: int | None = None, progress: _Progress | None = None) -> HeatMap:
        """Where the model finds a class in a picture, uint8 `[H, W, 3]`; by default the most probable class."""
        view = model_view(picture, self.preprocess)
        seen = framed(view[None], self.preprocess)
        whole = self.logits(seen) if chosen is None or self.maps is None else None
        if chosen is None:
            assert whole is not None
            chosen = int(whole.argmax())
        if self.maps is not None:
            maps = self.maps(seen)
            return HeatMap(self.classes[chosen], maps[chosen] - maps.mean(0), view, "maps")
        assert whole is not None
        return HeatMap(self.classes[chosen], _occlusion(self, view, whole, chosen, progress), view, "occlusion")


def looking_of(predictor: Predictor) -> Looking:
    """An artifact, with the maps of its own if it has some."""
    runtime, classes = predictor.runtime, predictor.classes
    maps = None
    if predictor.card.exported.get("heatmap") is True and isinstance(runtime, MappedRuntime):
        maps = partial(_maps, runtime, len(classes))
    return Looking(classes=classes, preprocess=predictor.card.preprocess, logits=predictor.logits, maps=maps)


def heat_map(
    predictor: Predictor, picture: Picture, label: str | None = None, progress: _Progress | None = None
) -> HeatMap:
    """Where an artifact finds a class in a picture.

    Args:
        picture: one of those that `Predictor.predict` takes.
        label: the class; by default the most probable one.
        progress: called with the number of answers and how many there will be. What it raises ends the work.

    Raises:
        UsageError: the file does not have this class.
        UnreadablePictureError: the picture cannot be decoded.
        ArtifactError: the runtime fails.
    """
    spec, classes = predictor.card.preprocess, predictor.classes
    if label is not None and label not in classes:
        near = nearest(label, classes, most=1)
        remedy = f"Did you mean '{near[0]}'?" if near else "`zoo info FILE` lists the classes."
        raise UsageError(f"This file has no class '{label}'.", remedy, code="unknown-class")
    ((_, pixels),) = numbered_pictures([picture], spec.pixel_range, raise_with_index)
    return looking_of(predictor).heat_map(pixels, None if label is None else classes.index(label), progress)


def _maps(runtime: MappedRuntime, classes: int, picture: np.ndarray) -> np.ndarray:
    """The class activation maps of one picture, float32 `[K, h, w]`. The file and its card are untrusted."""
    try:
        maps = np.asarray(runtime.maps(picture))
    except Exception as error:  # runtimes raise classes of their own
        cause = f"The artifact's own heat map fails: {raised(error)}."
        raise ArtifactError(cause, "Export it again.", code="runtime-failed") from None
    if maps.ndim != 4 or maps.shape[:2] != (1, classes) or maps.dtype.kind != "f" or not np.isfinite(maps).all():  # noqa: PLR2004
        cause = f"The artifact's own heat maps are not finite numbers of shape [1, {classes}, h, w]."
        raise ArtifactError(cause, "Export it again.", code="heatmap-shape")
    return np.asarray(maps[0], np.float32)


def _occlusion(
    looking: Looking, view: np.ndarray, whole: np.ndarray, chosen: int, progress: _Progress | None
) -> np.ndarray:
    """Float32 `[CELLS, CELLS]`: the mean of the drops under the squares that cover a cell.

    Args:
        whole: the logits of the view, `[1, K]`.
    """
    spec = looking.preprocess
    cells = min(CELLS, len(view))
    edges = np.linspace(0, len(view), cells + 1).round().astype(int)
    # Squares also reach over the border, so that each cell is covered equally often.
    places = [(row, column) for row in range(1 - _COVERED, cells) for column in range(1 - _COVERED, cells)]
    masks = np.zeros((len(places), cells, cells), bool)
    for mask, (row, column) in zip(masks, places, strict=True):
        mask[max(0, row) : row + _COVERED, max(0, column) : column + _COVERED] = True
    odds = np.empty(len(places))
    size = _BATCH if progress is not None else max(_BATCH, _BATCH_PIXELS // view[..., 0].size)
    for start in range(0, len(places), size):
        batch = masks[start : start + size]
        covered = np.repeat(np.repeat(batch, np.diff(edges), axis=1), np.diff(edges), axis=2)
        views = np.where(covered[..., None], _mean_colour(spec), view)
        odds[start : start + len(batch)] = _log_odds(looking.logits(framed(views, spec)), chosen)
        if progress is not None:
            progress(start + len(batch), len(places))
    drops = (_log_odds(whole, chosen)[0] - odds)[:, None, None] * masks
    return np.asarray(drops.sum(0) / masks.sum(0), np.float32)


def _mean_colour(spec: PreprocessSpec) -> np.ndarray:
    """The pixel that becomes 0 in a network's input, uint8 `[3]`."""
    return np.asarray(np.rint(255 * np.array(spec.mean)).clip(0, 255), np.uint8)


def _log_odds(logits: np.ndarray, chosen: int) -> np.ndarray:
    """Of a class, float64 `[N]`. Unlike a probability, they do not come to rest near 1."""
    others = np.delete(logits.astype(np.float64), chosen, axis=1)
    top = others.max(1, keepdims=True)
    return np.asarray(logits[:, chosen] - top[:, 0] - np.log(np.exp(others - top).sum(1)))

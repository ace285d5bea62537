"""A contact sheet of what a training's network will see."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zoo.data.decoded_split import make_stores
from zoo.data.decoding import Budgets
from zoo.data.seen import crop_advice, seen_in_words
from zoo.errors import DataError
from zoo.progress import Reporter
from zoo.recipes.recipe import Recipe
from zoo.report.contact_sheet import FONT_SIZE, contact_sheet
from zoo.training.batches import Views
from zoo.training.setup import Setup, prepare, resolve
from zoo.training.summary import resize_with_reasons
from zoo.transforms.augment import describe
from zoo.transforms.preprocess import Preprocess

if TYPE_CHECKING:
    from PIL import Image

LEAST_SIDE, MOST_SIDE = 112, 320  # of a picture on the sheet, in pixels
FONT_SHARE = 1 / 14  # of the side: 16 pixels at 224
PLAIN_COLUMNS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A sheet and what it shows.

    Attributes:
        sheet: a row for each picture, without variation on the left; rows of pictures where nothing varies.
        lines: the sheet's title, one fact a line.
        labels: of the pictures, from above.
    """

    sheet: Image.Image
    lines: tuple[str, ...]
    setup: Setup
    labels: tuple[str, ...]


def make_preview(recipe: Recipe, reporter: Reporter, *, count: int, views: int) -> Preview:
    """Prepares what a training of the recipe prepares, and sends a few of its pictures the same way.

    Args:
        count: pictures, of as many classes as there are.
        views: varied ones of each picture.

    Raises:
        ZooError: as a training would; `DataError` where none of the chosen pictures can be read.
    """
    setup = prepare(resolve(recipe), reporter)
    plan, train, policy = setup.plan, setup.splits[0], setup.policy
    advice = crop_advice(plan.preprocess, setup.median_size)
    if advice:
        reporter.warn(advice)
    split = train.subset(choose(train.labels, count, recipe.seed))
    in_memory, quiet = Budgets(memory=sys.maxsize, disk=0), Reporter(quiet=True)
    (store,) = make_stores(
        (split,), plan.preprocess, augmented=plan.varied, budgets=in_memory, origin="", reporter=quiet
    )
    for sentence in (*store.value_warnings, *(f"Left out: {cause}" for cause in store.unreadable)):
        reporter.warn(sentence)
    if not len(store):
        raise DataError("None of the chosen pictures can be read.", "Fix them, or choose others with --seed.")
    augment_rng = torch.Generator().manual_seed(recipe.seed + 1)
    seen = Views(store, store, policy, augment_rng, torch.device(plan.device))
    everyone = torch.arange(len(store))
    columns = [seen.plain(store, everyone), *(seen.varied(everyone) for _ in range(views if policy else 0))]
    labels = tuple(setup.dataset.classes[label] for label in store.labels)
    lines = _lines(setup)
    sheet = _sheet([displayed(each, seen.preprocess) for each in columns], labels, lines)
    return Preview(sheet=sheet, lines=lines, setup=setup, labels=labels)


def choose(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of `count` pictures, int64, in the order of their labels; each class gives one before any gives another.

    Args:
        labels: int64 `[N]`.
        seed: of the choice.
    """
    seen: Counter[int] = Counter()
    turns = []
    for index in np.random.default_rng(seed).permutation(len(labels)).tolist():
        label = int(labels[index])
        turns.append((seen[label], index))
        seen[label] += 1
    chosen = sorted(turns, key=itemgetter(0))[:count]
    return np.array(sorted((index for _, index in chosen), key=lambda index: labels[index]))


def displayed(inputs: Tensor, preprocess: Preprocess) -> np.ndarray:
    """A network's input, float32 `[N, 3, S, S]`, as pixels again: uint8 `[N, S, S, 3]`."""
    pixels = inputs * preprocess.std + preprocess.mean
    shown: np.ndarray = pixels.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return shown


def _sheet(columns: list[np.ndarray], labels: tuple[str, ...], lines: tuple[str, ...]) -> Image.Image:
    size = columns[0].shape[1]
    side = min(size, MOST_SIDE) if size >= LEAST_SIDE else size * (-(-LEAST_SIDE // size))
    pictures = [column[row] for row in range(len(labels)) for column in columns]
    captions = [text for label in labels for text in (label, *[""] * (len(columns) - 1))]
    across = len(columns) if len(columns) > 1 else min(PLAIN_COLUMNS, len(labels))
    font = max(FONT_SIZE, round(side * FONT_SHARE))
    return contact_sheet(pictures, captions, columns=across, side=side, title="\n".join(lines), font_size=font)


def _lines(setup: Setup) -> tuple[str, ...]:
    recipe, plan, spec = setup.recipe, setup.plan, setup.plan.preprocess
    mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (spec.mean, spec.std))
    why = f" ({plan.reasons['image size']})" if "image size" in plan.reasons else ""
    seen = seen_in_words(spec, setup.median_size)
    values = f"values {spec.pixel_range[0]:g}..{spec.pixel_range[1]:g}; " if spec.pixel_range else ""
    grey = ", grey" if spec.channels == "grey" else ""
    name = "" if plan.augment == "none" else f"{plan.augment}: "
    mixing = [f"{kind} {alpha:g}" for kind, alpha in (("MixUp", recipe.mixup), ("CutMix", recipe.cutmix)) if alpha]
    return (
        f"{setup.data.name} as {recipe.backbone} (weights: {setup.weights.name}) sees it, seed {recipe.seed}",
        f"input: {spec.image_size} pixels{why}{grey}; {values}mean {mean}, std {std} (undone here)",
        f"resize: {resize_with_reasons(plan)}",
        *([seen] if seen else []),
        f"augmentation: {name}{describe(setup.policy)}",
        *(["left column: without augmentation"] if setup.policy else []),
        *([f"not shown: {' and '.join(mixing)}, which blend pictures of a batch"] if mixing else []),
    )

"""How much of a picture the network sees: a centre crop hides what lies at the ends."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from zoo.data.pictures import Pictures
from zoo.errors import UnreadablePictureError
from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess_numpy import shorter_side

# Of the shorter side, by default; all of it for pictures of up to 96 pixels.
PHOTO_CROP = 0.875
SMALL_PIXELS = 96
# Photos of 3:2 and 16:9 show 51% and 43% of themselves with the default crop, which networks are used to.
LITTLE = 0.4
# Headers that are read to find the median, evenly over the split: about 0.1 s.
MOST_HEADERS = 200

Size = tuple[int, int]  # width and height in pixels


def default_crop(native_size: int | None) -> float:
    """The crop fraction that a training takes, unless pretrained weights bring their own.

    Args:
        native_size: as in `zoo.specs.DatasetSpec`.
    """
    return 1.0 if native_size is not None and native_size <= SMALL_PIXELS else PHOTO_CROP


def share_seen(size: Size, crop_fraction: float) -> float:
    """The share of a picture's area that its centre crop shows, above 0 to 1."""
    side = max(1, int(min(size) * crop_fraction))
    return side**2 / (size[0] * size[1])


def median_of(sizes: Iterable[Size]) -> Size | None:
    """The one in the middle by area, of an even number the smaller."""
    in_order = sorted(sizes, key=lambda size: size[0] * size[1])
    return in_order[(len(in_order) - 1) // 2] if in_order else None


def median_size(pictures: Pictures) -> Size | None:
    """Of a split, or of `MOST_HEADERS` pictures of it; None where none can be read. It decodes nothing."""
    return median_of(_sizes(pictures))


def _sizes(pictures: Pictures) -> Iterable[Size]:
    count = min(MOST_HEADERS, len(pictures))
    for index in np.linspace(0, len(pictures) - 1, count).round().astype(int).tolist():
        try:
            yield pictures.source(index).dimensions()
        except UnreadablePictureError:  # said when it is decoded
            continue


def resize_in_words(spec: PreprocessSpec) -> str:
    """How a picture is resized, for people."""
    how = f"({spec.interpolation})"
    if spec.resize == "shorter":
        return f"shorter side resized to {shorter_side(spec)} pixels {how}, then the centre cut out"
    if spec.resize == "squash":
        return f"whole picture squashed {how}"
    return f"{'whole square' if spec.crop_fraction == 1 else 'centre'} cut out, then resized {how}"


def seen_in_words(spec: PreprocessSpec, size: Size | None) -> str:
    """The share, for people. Empty where everything is seen, or nothing is known."""
    if size is None or spec.resize == "squash":
        return ""
    share = share_seen(size, spec.crop_fraction)
    return f"sees {share:.0%} of the median picture ({size[0]} x {size[1]})"


def crop_advice(spec: PreprocessSpec, size: Size | None) -> str:
    """What to do where the crop shows less than `LITTLE` of the median picture. Else empty."""
    if size is None or spec.resize == "squash" or share_seen(size, spec.crop_fraction) >= LITTLE:
        return ""
    return (
        f"The network {seen_in_words(spec, size)}: the rest is cut off. "
        "If what decides may lie there, give --resize squash."
    )

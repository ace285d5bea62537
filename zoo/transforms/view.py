"""The part of a picture that a network sees, as a picture of its own."""

from __future__ import annotations

import numpy as np
from PIL import Image

from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess_numpy import resize, shorter_side, shown


def model_view(picture: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """Crops and resizes like a network, without a copy of the picture, which may be large.

    Args:
        picture: uint8 `[H, W, 3]`.

    Returns:
        uint8 `[S, S, 3]` with S = `spec.image_size`; grey if the network sees grey. It differs from the network's input
        by at most one level.
    """
    view = np.rint(resize(picture[None], spec)[0].transpose(1, 2, 0)).astype(np.uint8)
    return np.asarray(Image.fromarray(view).convert("L").convert("RGB")) if spec.channels == "grey" else view


def framed(views: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """Pictures of which a network sees exactly these views, pixel by pixel.

    Args:
        views: uint8 `[N, S, S, 3]`.

    Returns:
        uint8 `[N, P, P, 3]`: the views, with a black frame where the preprocessing cuts one off.
    """
    size = spec.image_size
    if spec.resize == "squash":
        return views
    if spec.resize == "shorter":
        side = shorter_side(spec)
        start = round((side - size) / 2)  # the half to an even number, as in the crop
    else:
        fraction, _ = shown(spec)
        side = -(-size * fraction.denominator // fraction.numerator)
        start = (side - size) // 2
    pictures = np.zeros((len(views), side, side, 3), np.uint8)
    pictures[:, start : start + size, start : start + size] = views
    return pictures

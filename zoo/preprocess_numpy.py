"""`zoo.preprocess.Preprocess` without torch, for artifacts whose input is a tensor.

Pillow's bilinear resize of 32-bit floats widens its triangle filter where it shrinks, as torch's antialiased one
does: both follow the same resampling, so that results agree to rounding.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from PIL import Image

from zoo.specs import PreprocessSpec, Runtime

# ITU-R BT.601, the luma that Pillow's mode "L" computes.
LUMA = np.array((0.299, 0.587, 0.114), np.float32)


class Preprocessed:
    """A `Runtime` that takes pixels, around one that takes tensors."""

    def __init__(self, runtime: Runtime, spec: PreprocessSpec) -> None:
        self._runtime = runtime
        self._spec = spec

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self._runtime(preprocess(images, self._spec))


def preprocess(images: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """Takes uint8 `[N, H, W, 3]` with any H and W from 1; returns float32 `[N, 3, S, S]`, normalised."""
    pixels = images if spec.resize == "squash" else _centre(images, spec)
    side = (spec.image_size, spec.image_size)
    planes = [
        Image.fromarray(np.ascontiguousarray(picture[..., channel], np.float32)).resize(side, Image.Resampling.BILINEAR)
        for picture in pixels
        for channel in range(3)
    ]
    resized = np.stack([np.asarray(plane) for plane in planes]).reshape(len(images), 3, *side)
    if spec.channels == "grey":
        grey = (resized * LUMA[:, None, None]).sum(1, keepdims=True)
        resized = np.broadcast_to(grey, resized.shape)
    mean, std = (255 * np.array(values, np.float32)[:, None, None] for values in (spec.mean, spec.std))
    result: np.ndarray = np.ascontiguousarray((resized - mean) / std, np.float32)
    return result


def _centre(images: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    fraction = Fraction(spec.crop_fraction).limit_denominator(4096)
    height, width = images.shape[1:3]
    side = max(1, min(height, width) * fraction.numerator // fraction.denominator)
    top, left = (height - side) // 2, (width - side) // 2
    return images[:, top : top + side, left : left + side]

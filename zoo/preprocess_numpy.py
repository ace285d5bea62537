"""`zoo.preprocess.Preprocess` without torch, for artifacts whose input is a tensor.

The resize follows torch's antialiased bilinear one step by step in float32 (`compute_index_ranges_weights` in
aten/src/ATen/native/cpu/UpSampleKernel.cpp): with exact weights instead, results differ by up to 6.5e-5, since
torch rounds where a pixel of the result lies.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from zoo.specs import PreprocessSpec, Runtime

# ITU-R BT.601, the luma that Pillow's mode "L" computes.
LUMA = (0.299, 0.587, 0.114)


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
    # Rows first: torch begins with columns, but whole rows lie in one piece.
    resized = _resized(_resized(pixels, 1, spec.image_size), 2, spec.image_size).transpose(0, 3, 1, 2)
    if spec.channels == "grey":
        grey = (resized * np.array(LUMA, np.float32)[:, None, None]).sum(1, keepdims=True)
        resized = np.broadcast_to(grey, resized.shape)
    mean, std = (255 * np.array(values, np.float32)[:, None, None] for values in (spec.mean, spec.std))
    return np.ascontiguousarray((resized - mean) / std)


def _centre(images: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    fraction = Fraction(spec.crop_fraction).limit_denominator(4096)
    height, width = images.shape[1:3]
    side = max(1, min(height, width) * fraction.numerator // fraction.denominator)
    top, left = (height - side) // 2, (width - side) // 2
    return images[:, top : top + side, left : left + side]


def _resized(images: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Takes `[N, H, W, 3]`; returns float32, `axis` (1 or 2) resampled to `size` pixels."""
    length = images.shape[axis]
    first, weights = _taps(length, size)
    shape = (-1, 1, 1) if axis == 1 else (-1, 1)
    result = np.zeros((*images.shape[:axis], size, *images.shape[axis + 1 :]), np.float32)
    for tap in range(weights.shape[1]):
        pixels = images.take(np.minimum(first + tap, length - 1), axis)
        result += pixels * weights[:, tap].reshape(shape)
    return result


def _taps(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Per pixel of the result, the first pixel that it sees `[size]` and the weights float32 `[size, taps]`."""
    half, one = np.float32(0.5), np.float32(1)
    scale = np.float32(length) / np.float32(size)
    support = max(scale, one)
    centres = scale * (np.arange(size, dtype=np.float32) + half)
    first = np.maximum((centres - support + half).astype(np.int64), 0)
    last = np.minimum((centres + support + half).astype(np.int64), length)
    taps = np.arange((last - first).max())
    distances = np.abs(((taps + first[:, None]).astype(np.float32) - centres[:, None] + half) * (one / support))
    weights = np.where((distances < 1) & (taps < (last - first)[:, None]), one - distances, np.float32(0))
    return first, weights / weights.sum(1, keepdims=True)

"""`zoo.transforms.preprocess.Preprocess` without torch: for artifacts whose input is a tensor, and for large pictures.

The resize reads a picture tile by tile, so that it never copies a whole picture. It is linear: each tile adds one
matrix product along the rows and one along the columns, and each pixel is read about once. The weights are computed
like those of torch's antialiased bilinear resize, step by step in float32 (`compute_index_ranges_weights` in
aten/src/ATen/native/cpu/UpSampleKernel.cpp). With exact weights, results would differ by up to 6.5e-5, because torch
rounds the position of a pixel. Where `spec.resampled`, the steps are those of `zoo.transforms.resampling`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise

import numpy as np

from zoo.specs import MappedRuntime, PreprocessSpec, Runtime

# ITU-R BT.601, the luma that Pillow's mode "L" computes.
LUMA = (0.299, 0.587, 0.114)
# For pictures of at least this size, `resize` is as fast as the Resize of onnxruntime with two threads.
LARGE_PIXELS = 4_000_000

_TILE = 2**16  # pixels: as float32 and with their results, they fit into the cache of a core
_COLUMNS = 1024  # of a tile, at most
_ROWS = 8192  # of a tile, at most
_TARGETS = 64  # rows or columns of the result per product: with more, most factors would be zeros
# numpy's OpenBLAS computes larger products with its own threads, which wait for each other in a loop. When other
# programs used the same cores, a picture took 2 s instead of 20 ms.
_PRODUCT = 2**18
# Larger squashed towers are summed along the columns first: a minute less, other limits.
_TALL_PIXELS = 2**20
_LEAST_FRACTION = 1 / 4096  # a card may ask for a centre crop of nothing
_ELONGATED = 16  # wider than this many times the height: tiles go along the columns


class Preprocessed:
    """An `EnterableRuntime` that takes pixels, around a runtime that takes tensors."""

    def __init__(self, runtime: Runtime, spec: PreprocessSpec) -> None:
        self._runtime = runtime
        self._spec = spec

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.from_resized(resize(images, self._spec))

    def from_resized(self, values: np.ndarray) -> np.ndarray:
        """See `zoo.specs.EnterableRuntime`."""
        return self._runtime(normalise(values, self._spec))


class MappedPreprocessed(Preprocessed):
    """A `Preprocessed` that is a `MappedRuntime` too."""

    def __init__(self, runtime: MappedRuntime, spec: PreprocessSpec) -> None:
        super().__init__(runtime, spec)
        self._mapped = runtime

    def maps(self, images: np.ndarray) -> np.ndarray:
        """See `zoo.specs.MappedRuntime`."""
        return self._mapped.maps(preprocess(images, self._spec))


def preprocess(images: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """Takes uint8 `[N, H, W, 3]` with any H and W from 1; returns float32 `[N, 3, S, S]`, normalised."""
    return normalise(resize(images, spec), spec)


def resize(images: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """Like `Preprocess.resize` with a difference of at most 3e-6 of the range. It needs less than 10 MB and the result.

    For sides of a million pixels, torch's own sums are less exact than that.

    Args:
        images: uint8 `[N, H, W, 3]` with any H and W from 1. It may be a view.

    Returns:
        Float32 `[N, 3, S, S]` in 0..255, neither grey nor normalised.
    """
    pixels = _centre(images, spec) if spec.resize == "crop" else images
    height, width = pixels.shape[1:3]
    if height == width == spec.image_size and (spec.resize != "shorter" or shorter_side(spec) == spec.image_size):
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)
    result = np.zeros((len(images), 3, spec.image_size, spec.image_size), np.float32)
    rows, columns = (_grid(length, min(height, width), spec) for length in (height, width))
    pixels = pixels[:, rows.first :, columns.first :]
    if spec.interpolation == "bicubic" and height * width > _TALL_PIXELS and height > _ELONGATED * width:
        _add_cubic(pixels.swapaxes(1, 2), result.swapaxes(2, 3), columns, rows)
    elif spec.interpolation == "bicubic":
        _add_cubic(pixels, result, rows, columns)
    elif width > _ELONGATED * height:
        _add(pixels.swapaxes(1, 2), result.swapaxes(2, 3), columns, rows)
    else:
        _add(pixels, result, rows, columns)
    return result


def shorter_side(spec: PreprocessSpec) -> int:
    """What the shorter side is resized to, in pixels: S, or with `resize="shorter"` S / `crop_fraction`, rounded down.

    timm rounds down too. A fraction of two whole sides gives the larger one back.
    """
    if spec.resize != "shorter":
        return spec.image_size
    return int(spec.image_size / max(spec.crop_fraction, _LEAST_FRACTION) + 1e-6)


def normalise(resized: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """Takes float32 `[N, 3, S, S]` in 0..255; returns the same shape, normalised, and grey if the spec says so."""
    if spec.channels == "grey":
        grey = (resized * np.array(LUMA, np.float32)[:, None, None]).sum(1, keepdims=True)
        resized = np.broadcast_to(grey, resized.shape)
    mean, std = (255 * np.array(values, np.float32)[:, None, None] for values in (spec.mean, spec.std))
    normalised = resized - mean
    normalised /= std
    return normalised


def shown(spec: PreprocessSpec) -> tuple[Fraction, int]:
    """The share of the shorter side, and a number of pixels more, that are the centred square which a network sees.

    With `shorter`, this square has more than the filter's pixels at each end, and some for rounding.
    """
    if spec.resize != "shorter":
        return Fraction(spec.crop_fraction).limit_denominator(4096), 0
    ends = 8 if spec.interpolation == "bicubic" else 6  # in pixels of the result
    return Fraction(spec.image_size + ends, shorter_side(spec)), ends + 5


def _centre(images: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    fraction, _ = shown(spec)
    height, width = images.shape[1:3]
    side = max(1, min(height, width) * fraction.numerator // fraction.denominator)
    top, left = (height - side) // 2, (width - side) // 2
    return images[:, top : top + side, left : left + side]


def _add(pixels: np.ndarray, result: np.ndarray, along: _Grid, across: _Grid) -> None:
    """Adds `[N, H, W, 3]`, resampled on the grids of its rows and columns, to zeros, float32 `[N, 3, S, S]`."""
    wide = min(across.length, _COLUMNS)
    columns = list(_blocks(across, wide))
    totals = np.zeros((2, result.shape[2]), np.float32)  # of the weights, by which torch divides them
    for column in columns:
        totals[1, column.target] += column.weights.sum(1)
    for row in _blocks(along, min(_TILE // wide, _ROWS)):
        totals[0, row.target] += row.weights.sum(1)
        for column in columns:
            step = max(1, _TILE // (max(row.weights.shape) * column.weights.shape[1]))
            for at in range(0, len(pixels), step):
                tile = pixels[at : at + step, row.source, column.source]
                result[at : at + step, :, row.target, column.target] += _resampled(tile, row.weights, column.weights)
    result /= totals[0, :, None]
    result /= totals[1]


def _add_cubic(pixels: np.ndarray, result: np.ndarray, along: _Grid, across: _Grid) -> None:
    """Like `_add`, with values limited to 0..255 after the sums along the rows, and at the end."""
    wide = min(across.length, _COLUMNS)
    totals = np.zeros((2, result.shape[2]), np.float32)
    most = min(_TILE // wide, _ROWS, max(1, 2 * _TILE // totals.shape[1]))
    kept = list(_blocks(across, wide)) if across.length <= _TILE else []
    for column in kept or _blocks(across, wide):
        totals[1, column.target] += column.weights.sum(1)
    for _, group in groupby(_blocks(along, most), lambda row: row.source.start // most):
        rows = list(group)
        begin, end = min(row.source.start for row in rows), max(row.source.stop for row in rows)
        for row in rows:
            totals[0, row.target] += row.weights.sum(1)
        for one, made in zip(pixels, result, strict=True):
            lines = np.zeros((3, end - begin, len(totals[1])), np.float32)
            for column in kept or _blocks(across, wide):
                planes = one[begin:end, column.source].transpose(2, 0, 1).astype(np.float32, order="C")  # [3, h, w]
                sums = _product(planes.reshape(-1, planes.shape[2]), column.weights.T)
                lines[:, :, column.target] += sums.reshape(*planes.shape[:2], -1)
            lines /= totals[1]
            np.clip(lines, 0, 255, out=lines)
            for row in rows:
                inside = lines[:, row.source.start - begin : row.source.stop - begin]
                made[:, row.target] += np.stack([_product(row.weights, plane) for plane in inside])
    result /= totals[0, :, None]
    np.clip(result, 0, 255, out=result)


def _resampled(tile: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Takes `[n, h, w, 3]` and weights `[s, h]` and `[t, w]`; returns float32 `[n, 3, s, t]`."""
    n, height, width, _ = tile.shape
    values = tile.astype(np.float32, order="C").reshape(n, height, -1)  # [n, h, w * 3]
    made = np.stack([_product(rows, one) for one in values])  # [n, s, w * 3]
    made = np.ascontiguousarray(made.reshape(n, -1, width, 3).transpose(0, 3, 1, 2))  # [n, 3, s, w]
    return _product(made.reshape(-1, width), columns.T).reshape(n, 3, len(rows), len(columns))


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The matrix product of float32, in pieces that OpenBLAS computes in the calling thread."""
    rows, columns = len(left), right.shape[1]
    longest = max(rows, columns)
    # A piece of a single row would be another routine of OpenBLAS, which takes threads sooner.
    step = _PRODUCT // (left.size * columns // longest)
    pieces = max(1, min(-(-longest // max(1, step)), longest // 2))
    result = np.empty((rows, columns), np.float32)
    edges = [longest * piece // pieces for piece in range(pieces + 1)]
    for start, end in pairwise(edges):
        if rows > columns:
            np.matmul(left[start:end], right, out=result[start:end])
        else:
            np.matmul(left, right[:, start:end], out=result[:, start:end])
    return result


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows (or columns) of the result, some of the picture's that they see, and the weights float32 `[s, h]`."""

    target: slice
    source: slice
    weights: np.ndarray


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the pixels of the result lie on one axis of a picture.

    Attributes:
        first, length: the picture's pixels that count.
        centres: of the result's pixels, float32 `[S]`, in pixels from the first.
        scale: pixels of the picture per pixel of the result.
        cubic: whether the filter is Pillow's bicubic one, and not a triangle.
    """

    first: int
    length: int
    centres: np.ndarray
    scale: np.float32
    cubic: bool


def _grid(length: int, shortest: int, spec: PreprocessSpec) -> _Grid:
    """The grid on an axis of `length` pixels of a picture whose shorter side has `shortest`."""
    size, half, cubic = spec.image_size, np.float32(0.5), spec.interpolation == "bicubic"
    if not spec.resampled:
        scale = np.float32(length) / np.float32(size)
        return _Grid(0, length, scale * (np.arange(size, dtype=np.float32) + half), scale, cubic)
    target, first, count = size, 0, length
    if spec.resize == "shorter":
        target = shorter_side(spec) * length // shortest
        fraction, more = shown(spec)
        count = min(length, shortest * fraction.numerator // fraction.denominator + more)
        first = (length - count) // 2
    margin = (target - size + (target - size) // 2 % 2) // 2  # the half, rounded to an even number as torchvision does
    start = (2 * margin + 1) * length - 2 * target * first
    centres = (np.arange(size) * (2 * length) + start).astype(np.float32) / np.float32(2 * target)
    return _Grid(first, count, centres, np.float32(length) / np.float32(target), cubic)


def _blocks(axis: _Grid, most: int) -> Iterator[_Block]:
    """From the picture's pixels to the result's: each weight other than 0 once, for at most `most` pixels at a time."""
    half, one = np.float32(0.5), np.float32(1)
    length, size, centres = axis.length, len(axis.centres), axis.centres
    stretch = max(axis.scale, one)
    support = 2 * stretch if axis.cubic else stretch
    first = np.maximum((centres - support + half).astype(np.int64), 0)
    last = np.minimum((centres + support + half).astype(np.int64), length)
    for start in range(int(first[0]) // most * most, int(last[-1]), most):
        end = min(start + most, length)
        low, high = int(np.searchsorted(last, start, "right")), int(np.searchsorted(first, end))
        # Two at least, for `_product`'s sake: a neighbour's weights are 0.
        low = max(0, min(low, size - 2))
        high = min(size, max(high, low + 2))
        pieces = -(-(high - low) // _TARGETS)
        for begin, after in pairwise(low + (high - low) * piece // pieces for piece in range(pieces + 1)):
            source = np.arange(max(start, first[begin]), min(end, last[after - 1]))
            if not len(source):
                continue
            target = slice(begin, after)
            distances = np.abs((source.astype(np.float32) - centres[target, None] + half) * (one / stretch))
            seen = (source >= first[target, None]) & (source < last[target, None])
            weights = np.where(seen, _cubic(distances) if axis.cubic else np.maximum(one - distances, 0), np.float32(0))
            yield _Block(target, slice(int(source[0]), int(source[-1]) + 1), weights)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -0.5, of distances from 0."""
    near = (np.float32(1.5) * x - np.float32(2.5)) * x * x + np.float32(1)
    far = ((np.float32(-0.5) * x + np.float32(2.5)) * x - np.float32(4)) * x + np.float32(2)
    return np.where(x < 1, near, np.where(x < 2, far, np.float32(0)))  # noqa: PLR2004

"""Synthetic pictures, the same on every machine: they check an artifact without any data.

They are computed with integers only, below 2^63 or modulo 2^64. So rounding and library versions cannot change them.
A change to any picture needs a new `VERSION`, because cards hold the answers to the pictures of one version.
"""

from __future__ import annotations

import numpy as np

VERSION = 2
VERSIONS = range(1, VERSION + 1)  # 1 had no half-toned picture

# Larger pictures would only take time and memory.
MAX_SIDE = 640


def synthetic_pictures(image_size: int, version: int = VERSION) -> list[np.ndarray]:
    """Seven pictures, uint8 `[H, W, 3]`: six around the side S of the square that a network sees, one far larger.

    Each shows another kind of mistake. Smooth pictures show wrong colours and normalisation, sharp ones a wrong
    resize, wide and tall ones a wrong crop. The one of the network's own size shows mistakes of the network alone. The
    half-toned one is shrunk more than fourfold: without antialiasing, grey becomes noise.

    Args:
        version: of `VERSIONS`.
    """
    side = min(image_size, MAX_SIDE)
    pictures = [
        _noise(side, side, 1),
        _ramps(side, side + side // 2),
        _checker(side + side // 3 + 1, side),
        _noise(side + 1, 2 * side + 1, max(2, side // 8)),
        _disc(side + side // 4, side),
        _waves(side // 2 + 3, side // 2 + 1),
    ]
    return pictures if version == 1 else [*pictures, _half_tones(4 * side + side // 4 + 1, 5 * side)]


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices((height, width), dtype=np.int64)
    return rows, columns


def _stacked(*planes: np.ndarray) -> np.ndarray:
    return np.stack([plane.astype(np.uint8) for plane in planes], axis=-1)


def _ramps(height: int, width: int) -> np.ndarray:
    y, x = _grid(height, width)
    return _stacked(255 * x // max(1, width - 1), 255 * y // max(1, height - 1), 255 * (x + y) // (width + height - 1))


def _checker(height: int, width: int) -> np.ndarray:
    y, x = _grid(height, width)
    field = max(1, width // 7)
    light = (y // field + x // field) % 2
    return _stacked(230 * light + 10, 40 + 150 * light, 200 - 180 * light)


def _disc(height: int, width: int) -> np.ndarray:
    """A bright ring on black, off the centre, like a digit on its background."""
    y, x = _grid(height, width)
    distance = (x - 2 * width // 5) ** 2 + (y - 3 * height // 5) ** 2
    shorter = min(height, width) ** 2
    inside = (8 * distance < shorter) & (20 * distance > shorter)
    return _stacked(255 * inside, 225 * inside, 170 * inside)


def _half_tones(height: int, width: int) -> np.ndarray:
    """Ramps of black and white dots."""
    dots = _noise(height, width, 1) < _ramps(height, width)
    return dots.astype(np.uint8) * np.uint8(255)


def _waves(height: int, width: int) -> np.ndarray:
    y, x = _grid(height, width)
    return _stacked(*(abs((a * x + b * y) % 510 - 255) for a, b in ((17, 5), (-7, 19), (11, -13))))


def _noise(height: int, width: int, block: int) -> np.ndarray:
    """Squares of `block` pixels, each colour of each a hash of its place: the last step of SplitMix64.

    https://doi.org/10.1145/2714064.2660195, figure 16
    """
    y, x = _grid(height, width)
    places = ((y // block) * 65_537 + x // block).astype(np.uint64)
    planes = []
    for channel in range(3):
        z = (places * np.uint64(3) + np.uint64(channel + 1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        planes.append((z ^ (z >> np.uint64(31))) >> np.uint64(56))
    return _stacked(*planes)

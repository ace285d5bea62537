"""Heat maps as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from zoo.artifacts.heat_maps import HeatMap

_MIN_SIDE = 224
_OPACITY = 0.75  # of the hottest cell
_LEGEND = 24  # share of the side that is its height, and of its distance from the picture
# viridis, at equal steps: its lightness rises evenly, so that it can be read without seeing colours.
# https://bids.github.io/colormap/
_COLOURS = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float32)


def heat_colours(heat: np.ndarray) -> np.ndarray:
    """Takes heat from 0 to 1, any shape; returns uint8 of that shape and 3."""
    steps = np.linspace(0, 1, len(_COLOURS))
    return np.stack([np.interp(heat, steps, channel) for channel in _COLOURS.T], -1).round().astype(np.uint8)


def relative_heat(heat_map: HeatMap, side: int) -> np.ndarray:
    """Float32 `[side, side]` from 0 to 1: what speaks for the class, relative to the hottest cell, interpolated."""
    hottest = float(heat_map.values.max())
    if hottest <= 0:
        return np.zeros((side, side), np.float32)
    cells = Image.fromarray(heat_map.values.clip(0) / np.float32(hottest))
    return np.asarray(cells.resize((side, side), Image.Resampling.BILINEAR))


def under_heat(heat_map: HeatMap) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees, and the same under its heat.

    Returns:
        Two of uint8 `[H, H, 3]`, where H is the side of the view, or a multiple that has at least 224 pixels.
    """
    view = heat_map.view
    side = len(view) * -(-_MIN_SIDE // len(view))
    large = np.asarray(Image.fromarray(view).resize((side, side), Image.Resampling.NEAREST))
    heat = relative_heat(heat_map, side)
    opacity = _OPACITY * heat[..., None]
    return large, ((1 - opacity) * large + opacity * heat_colours(heat)).round().astype(np.uint8)


def heat_picture(heat_map: HeatMap) -> np.ndarray:
    """Both pictures of `under_heat`, and a strip of the colours from cold to hot below: uint8 `[H, W, 3]`."""
    large, under = under_heat(heat_map)
    side = len(large)
    thin = side // _LEGEND
    strip = np.broadcast_to(heat_colours(np.linspace(0, 1, side)), (thin, side, 3))
    canvas = np.full((side + 2 * thin, 2 * side + thin, 3), 255, np.uint8)
    canvas[:side, :side] = large
    canvas[:side, side + thin :] = under
    canvas[side + thin :, side + thin :] = strip
    return canvas

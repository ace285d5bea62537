"""Sixty digits as a person would draw them: ten digits in two hands, narrow and wide, small and large, slanted."""

from __future__ import annotations

import math
from collections.abc import Iterator

Point = tuple[float, float]
Stroke = list[Point]


def arc(x: float, y: float, wide: float, high: float, *angles: float) -> Stroke:
    """A part of an ellipse around a point, between two angles in degrees: 0 is to the right, 90 below."""
    start, end = angles
    steps = max(4, round(abs(end - start) / 12))
    turns = (math.radians(start + (end - start) * step / steps) for step in range(steps + 1))
    return [(x + wide * math.cos(angle), y + high * math.sin(angle)) for angle in turns]


# Draws strokes on the canvas of a page that a selector names: `page.evaluate(DRAW, [selector, strokes])`.
DRAW = """
([selector, strokes]) => {
  const canvas = document.querySelector(selector);
  const box = canvas.getBoundingClientRect();
  const send = (kind, [x, y]) => canvas.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, bubbles: true, clientX: box.left + x * box.width, clientY: box.top + y * box.height}));
  canvas.setPointerCapture = () => {};
  for (const stroke of strokes) {
    send('pointerdown', stroke[0]);
    for (const point of stroke.slice(1)) send('pointermove', point);
    send('pointerup', stroke.at(-1));
  }
}
"""

# In a box of 1 by 1, x to the right and y down.
HANDS: dict[int, tuple[list[Stroke], list[Stroke]]] = {
    0: ([arc(0.5, 0.5, 0.3, 0.48, -90, 270)], [arc(0.5, 0.5, 0.36, 0.46, -60, -425)]),
    1: ([[(0.5, 0.03), (0.5, 0.97)]], [[(0.32, 0.25), (0.54, 0.03), (0.54, 0.97)]]),
    2: (
        [[*arc(0.48, 0.3, 0.3, 0.27, -170, 40), (0.18, 0.95), (0.82, 0.95)]],
        [[*arc(0.5, 0.28, 0.27, 0.25, -200, 50), (0.45, 0.72), (0.2, 0.93), (0.5, 0.9), (0.85, 0.96)]],
    ),
    3: (
        [[*arc(0.45, 0.27, 0.3, 0.24, -150, 90), *arc(0.45, 0.73, 0.33, 0.24, -90, 150)]],
        [[(0.2, 0.05), (0.75, 0.05), (0.45, 0.4), *arc(0.45, 0.68, 0.32, 0.28, -80, 140)]],
    ),
    4: (
        [[(0.3, 0.05), (0.2, 0.55), (0.85, 0.55)], [(0.68, 0.1), (0.66, 0.97)]],
        [[(0.62, 0.03), (0.12, 0.66), (0.88, 0.66)], [(0.64, 0.35), (0.62, 0.98)]],
    ),
    5: (
        [[(0.78, 0.05), (0.3, 0.05), (0.26, 0.45), *arc(0.45, 0.68, 0.33, 0.27, -110, 150)]],
        [[(0.3, 0.06), (0.27, 0.44), *arc(0.46, 0.69, 0.3, 0.27, -100, 140)], [(0.3, 0.06), (0.8, 0.05)]],
    ),
    6: (
        [[(0.68, 0.04), (0.4, 0.3), (0.24, 0.62), *arc(0.5, 0.72, 0.27, 0.23, 180, -180)]],
        [[(0.6, 0.03), (0.36, 0.35), (0.27, 0.7), *arc(0.5, 0.74, 0.24, 0.22, 170, -170)]],
    ),
    7: (
        [[(0.15, 0.06), (0.82, 0.06), (0.42, 0.97)]],
        [[(0.17, 0.08), (0.8, 0.05), (0.6, 0.45), (0.48, 0.97)], [(0.35, 0.5), (0.75, 0.48)]],
    ),
    8: (
        [[*arc(0.5, 0.27, 0.25, 0.23, 90, 450), *arc(0.5, 0.74, 0.29, 0.24, -90, 270)]],
        [
            [
                *arc(0.5, 0.27, 0.24, 0.23, -40, -270),
                *arc(0.5, 0.75, 0.28, 0.25, -90, 270),
                *arc(0.5, 0.27, 0.24, 0.23, 90, -40),
            ]
        ],
    ),
    9: (
        [[*arc(0.5, 0.28, 0.27, 0.24, 0, -360), (0.74, 0.6), (0.68, 0.97)]],
        [[*arc(0.48, 0.3, 0.26, 0.25, -20, -350), (0.72, 0.3), (0.72, 0.97)]],
    ),
}

# Of the pad: width and height of the digit, its upper left corner, and the slant to the right.
PLACES = [(0.5, 0.7, 0.25, 0.15, 0.0), (0.36, 0.62, 0.08, 0.06, 0.2), (0.3, 0.4, 0.6, 0.5, -0.2)]


def sixty() -> Iterator[tuple[int, list[Stroke]]]:
    """Each digit with its strokes on a pad of 1 by 1."""
    for digit, hands in HANDS.items():
        for strokes in hands:
            for wide, high, left, upper, slant in PLACES:

                def placed(point: Point, size=(wide, high), corner=(left, upper), slant=slant) -> Point:
                    x, y = point
                    return corner[0] + size[0] * (x + slant * (0.5 - y)), corner[1] + size[1] * y

                yield digit, [[placed(point) for point in stroke] for stroke in strokes]

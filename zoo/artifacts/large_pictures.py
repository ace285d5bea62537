"""Resizes large pictures outside an artifact, if a test has shown that the answers stay the same."""

from __future__ import annotations

from threading import Lock

import numpy as np

from zoo.errors import is_out_of_memory
from zoo.specs import EnterableRuntime, Precision, PreprocessSpec, Runtime
from zoo.transforms import preprocess_numpy

# How far logits may differ, relative to their spread. Both ways give float32 pixels that differ in their last bits.
# Lower precisions round such pixels to neighbouring values.
BOUNDS: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "int8": 5e-2}


class BehindResize:
    """Runs the part of a runtime behind its resize. Several threads may use one at once.

    Args:
        spec: the preprocessing in the artifact's card.
        precision: of the artifact.
    """

    def __init__(self, runtime: Runtime, spec: PreprocessSpec, precision: Precision) -> None:
        self._runtime = runtime
        self._spec = spec
        self._bound = BOUNDS[precision]
        self._proved: bool | None = None
        self._lock = Lock()

    def logits(self, images: np.ndarray) -> np.ndarray | None:
        """Takes uint8 `[N, H, W, 3]`; returns logits `[N, K]`, or None if the runtime itself must resize.

        It must if the pictures have no more than `LARGE_PIXELS` each, if the runtime has no entry behind its resize,
        or if that entry gives other logits than the whole runtime.
        """
        if images.shape[1] * images.shape[2] <= preprocess_numpy.LARGE_PIXELS:
            return None
        if not isinstance(self._runtime, EnterableRuntime) or not self._is_proved(self._runtime):
            return None
        return self._runtime.from_resized(preprocess_numpy.resize(images, self._spec))

    def _is_proved(self, runtime: EnterableRuntime) -> bool:
        with self._lock:
            if self._proved is None:
                try:
                    self._proved = self._agrees(runtime)
                except Exception as error:  # runtimes raise classes of their own
                    if is_out_of_memory(error):
                        raise
                    self._proved = False
            return self._proved

    def _agrees(self, runtime: EnterableRuntime) -> bool:
        """Whether both ways give the same logits for pictures that are larger, smaller, wide and high."""
        whole, behind = [], []
        for height, width in _sizes(self._spec.image_size):
            images = _pattern(height, width)[None]
            entered = runtime.from_resized(preprocess_numpy.resize(images, self._spec))
            if entered is None:
                return False
            behind.append(entered)
            whole.append(runtime(images))
        expected, found = np.concatenate(whole), np.concatenate(behind)
        if found.shape != expected.shape or not np.isfinite(expected).all():
            return False
        allowed = self._bound * float(expected.std()) + 1e-6 * float(np.abs(expected).max())
        return bool(np.abs(found - expected).max() <= allowed)


def _sizes(size: int) -> tuple[tuple[int, int], ...]:
    return (2 * size + 7, 3 * size), (size + 41, max(1, size // 2)), (max(1, size // 3), max(1, size // 2) + 1)


def _pattern(height: int, width: int) -> np.ndarray:
    """Uint8 `[H, W, 3]`: waves of all lengths. Noise has logits that the last bit of a pixel moves far."""
    y, x = np.ogrid[: 1.0 : height * 1j, : 1.0 : width * 1j]
    channels = [np.sin(40 * x**2 + shift * y) + np.cos(30 * y**2 - shift * x) for shift in (3, 5, 9)]
    return np.rint(63.75 * (np.stack(channels, -1) + 2)).astype(np.uint8)

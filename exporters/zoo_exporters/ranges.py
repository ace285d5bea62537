"""Measures the ranges of activations on pictures, for onnxruntime's static quantisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.data.batches import batches_by_size
from zoo.transforms.preprocess_numpy import preprocess

if TYPE_CHECKING:
    import numpy as np

    from zoo.specs import PreprocessSpec

BATCH_SIZE = 4  # pictures whose activations are in memory at once
BINS = {"entropy": 512, "percentile": 2048}  # of the histogram of an activation
LEVELS = 128
PERCENTILE = 99.99


class Feeds:
    """Inputs of the file: small batches of pictures of one size, decoded one batch at a time."""

    def __init__(self, pictures: Sequence[np.ndarray], spec: PreprocessSpec | None, most: int | None = None) -> None:
        self._pictures = pictures
        self._spec = spec
        self._count = min(len(pictures), most or len(pictures))

    def first(self, count: int) -> Feeds:
        return Feeds(self._pictures, self._spec, count)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        shown = ((index, self._pictures[index]) for index in range(self._count))
        for _, batch in batches_by_size(shown, BATCH_SIZE):
            yield {"image": preprocess(batch, self._spec) if self._spec else batch}


class _Reader:
    """Gives onnxruntime its inputs."""

    def __init__(self, feeds: Iterator[dict[str, np.ndarray]]) -> None:
        self._feeds = feeds

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def save_ranges(folder: Path, kinds: Sequence[str], feeds: Feeds, method: str) -> None:
    """Writes the ranges of `float.onnx` to `ranges.json` in the same folder.

    Args:
        kinds: types of the nodes whose values are measured.
        method: see `zoo.specs.CalibrationMethod`.
    """
    from onnxruntime.quantization import CalibrationMethod, create_calibrator, save_tensors_data
    from onnxruntime.quantization.calibrate import HistogramCollector

    def calibrator(kind: CalibrationMethod) -> Any:
        return create_calibrator(folder / "float.onnx", kinds, str(folder / "augmented.onnx"), calibrate_method=kind)

    extremes = calibrator(CalibrationMethod.MinMax)
    extremes.collect_data(_Reader(iter(feeds)))
    ranges = extremes.compute_data()
    if method != "minmax":
        own = calibrator({"entropy": CalibrationMethod.Entropy, "percentile": CalibrationMethod.Percentile}[method])
        own.collector = HistogramCollector(method, False, BINS[method], LEVELS, PERCENTILE, "same")
        own.collector.histogram_dict = {name: _empty(ranges[name], BINS[method]) for name in ranges}
        for feed in feeds:  # one call each: a call keeps all activations in memory
            own.collect_data(_Reader(iter([feed])))
        ranges = own.compute_data()
    save_tensors_data(ranges, folder / "ranges.json")


def _empty(extremes: Any, bins: int) -> tuple[Any, ...]:
    """A histogram of the final width; onnxruntime would widen one by adding bins without limit."""
    import numpy as np

    low, high = (np.float32(np.min(value)) for value in extremes.range_value)
    threshold = max(abs(low), abs(high), np.finfo(np.float32).tiny)
    edges = np.linspace(-threshold, threshold, bins + 1, dtype=np.float32)
    return np.zeros(bins, np.int64), edges, low, high, threshold

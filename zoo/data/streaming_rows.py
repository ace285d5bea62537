"""Pictures that are decoded each time they are taken, for datasets too large for memory and disk."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Executor, Future

import numpy as np

from zoo.data.prefetch import count_workers
from zoo.data.sources import Source
from zoo.data.stamps import Stamp
from zoo.data.workers import Resize, read_resized
from zoo.errors import DataError, TooLittleMemoryError, UnreadablePictureError
from zoo.specs import PreprocessSpec

AHEAD_BYTES = 128 * 2**20  # of decoded pictures that wait to be taken
AHEAD_PICTURES = 1024  # of small ones a future weighs more than the pixels


class StreamedRows:
    """Rows that worker threads decode in the announced order, a limited number ahead.

    Args:
        sources: of M readable pictures.
        stamps: of each of them, from the time when it was readable.
        spec: has the size of the rows.
        pool: from `zoo.data.workers.start_workers`.
    """

    def __init__(self, sources: list[Source], stamps: list[Stamp | None], spec: PreprocessSpec, pool: Executor) -> None:
        self.sources, self.stamps, self.pool = sources, stamps, pool
        self.resize = Resize(spec)
        self.most = max(2 * count_workers(), min(AHEAD_PICTURES, AHEAD_BYTES // (3 * spec.image_size**2)))
        self.coming: deque[int] = deque()
        self.ahead: deque[tuple[int, Future[np.ndarray]]] = deque()

    def announce(self, indices: np.ndarray) -> None:
        """Starts to decode these pictures in this order, int64 `[n]`."""
        for _, future in self.ahead:
            future.cancel()
        self.ahead.clear()
        self.coming = deque(indices.tolist())
        self._fill()

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Takes int64 `[n]`, announced or not; returns uint8 `[n, R, R, 3]`.

        Raises:
            DataError: a picture changed or was removed.
        """
        futures = [self._claim(index) for index in indices.tolist()]
        self._fill()
        return np.stack([future.result() for future in futures])

    def _claim(self, index: int) -> Future[np.ndarray]:
        self._fill()
        if self.ahead and self.ahead[0][0] == index:
            return self.ahead.popleft()[1]
        return self.pool.submit(self._read, index)

    def _fill(self) -> None:
        while self.coming and len(self.ahead) < self.most:
            index = self.coming.popleft()
            self.ahead.append((index, self.pool.submit(self._read, index)))

    def _read(self, index: int) -> np.ndarray:
        source = self.sources[index]
        try:
            (row,) = read_resized(source, (self.resize,), pixel_range=self.resize.spec.pixel_range)
            before, now = self.stamps[index], source.stamp()  # checked last: it may change while it is decoded
            if not source.lasting or (before and before.same_content(now)):
                return row
        except TooLittleMemoryError:
            raise
        except UnreadablePictureError:
            pass
        exists = source.path is None or source.path.exists()
        raise DataError(
            f"'{source.name}' {'changed' if exists else 'was removed'} during the training.",
            "Restore it, then continue with: zoo train --resume RUN",
            code="changed-picture" if exists else "removed-picture",
        )

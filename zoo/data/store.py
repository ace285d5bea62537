"""Pictures as training wants them: one uint8 array per split, decoded once."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import platformdirs
import torch
from torch import Tensor

from zoo.data.stream import decode
from zoo.data.types import ArrayPictures, Split
from zoo.errors import DataError, UnreadablePictureError
from zoo.preprocess import Preprocess
from zoo.specs import PreprocessSpec

RAM_BUDGET_BYTES = 4 * 2**30
# Augmented crops are cut from a store this much larger than the network's input (256 for 224).
MARGIN = 8 / 7


@dataclass(frozen=True, slots=True)
class Store:
    """One split, decoded.

    Attributes:
        pixels: uint8 `[N, R, R]` or `[N, R, R, 3]`: what validation and features see.
        wide: the same pictures with more detail, for augmented crops; the same array where there is no more.
        labels: int64 `[N]`.
        preprocess: what remains to be done to `pixels`.
        unreadable: the pictures that were left out, each with the reason.
    """

    pixels: np.ndarray
    wide: np.ndarray
    labels: np.ndarray
    preprocess: PreprocessSpec
    unreadable: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


def build_store(
    split: Split,
    spec: PreprocessSpec,
    *,
    augmented: bool,
    advance: Callable[[], None],
) -> Store:
    """Decodes every picture of a split once.

    Args:
        spec: the classifier's preprocessing. Pictures in files are stored as its resized output, rounded to
            uint8, at the network's size.
        augmented: whether the split needs the wider store too.
        advance: called after each picture.
    """
    if isinstance(split.pictures, ArrayPictures):
        array = split.pictures.array
        return Store(array, array, split.labels, spec)
    side = spec.image_size
    wide_spec = replace(spec, image_size=round(side * MARGIN), crop_fraction=1.0)
    narrow, wide = Preprocess(spec), Preprocess(wide_spec)
    pixels = _allocate((len(split), side, side, 3))
    more = _allocate((len(split), wide_spec.image_size, wide_spec.image_size, 3)) if augmented else pixels
    kept: list[int] = []
    unreadable: list[str] = []
    for index, picture in decode(split.pictures):
        if isinstance(picture, UnreadablePictureError):
            unreadable.append(picture.cause)
        else:
            row = len(kept)
            pixels[row] = _resized(narrow, picture)
            if augmented:
                more[row] = _resized(wide, picture)
            kept.append(index)
        advance()
    count = len(kept)
    remaining = replace(spec, crop_fraction=1.0)
    return Store(pixels[:count], more[:count], split.labels[kept], remaining, tuple(unreadable))


def check_unreadable(unreadable: Sequence[str], total: int, share: float) -> None:
    """Raises `DataError` where more than `share` of `total` pictures are unreadable."""
    if len(unreadable) > share * total:
        enough = math.ceil(100 * len(unreadable) / total) / 100
        raise DataError(
            f"{len(unreadable)} of {total} pictures cannot be read, the first: {unreadable[0]}",
            f"Mend or remove them, or allow more with --max-unreadable {enough:.2f}",
        )


def gather(pixels: np.ndarray, indices: Tensor, device: torch.device) -> Tensor:
    """The pictures at `indices` as uint8 `[n, R, R, 3]` on the device."""
    batch = torch.from_numpy(pixels[indices.numpy()]).to(device)
    return batch if batch.ndim == 4 else batch[..., None].expand(-1, -1, -1, 3)  # noqa: PLR2004


def _resized(preprocess: Preprocess, picture: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        resized = preprocess.resize(torch.from_numpy(picture)[None])[0]  # [3, S, S]
        result: np.ndarray = resized.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return result


def _allocate(shape: tuple[int, ...]) -> np.ndarray:
    if int(np.prod(shape)) <= RAM_BUDGET_BYTES:
        return np.empty(shape, dtype=np.uint8)
    mapped = map_file(shape, np.uint8)
    if mapped is None:
        cache = platformdirs.user_cache_path("visionzoo")
        raise DataError(
            f"The decoded pictures need {np.prod(shape) / 2**30:.1f} GiB, more than is free at {cache}.",
            "Give a smaller --image-size, or move the cache with XDG_CACHE_HOME.",
        )
    return mapped


def map_file(shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray | None:
    """An array in a file of the cache folder, None where there is no room for it."""
    cache = platformdirs.user_cache_path("visionzoo", ensure_exists=True)
    if shutil.disk_usage(cache).free < int(np.prod(shape)) * np.dtype(dtype).itemsize:
        return None
    # An unlinked file: its pages go back to the disk under memory pressure and vanish with the process.
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        return np.memmap(Path(folder) / "array", dtype=dtype, mode="w+", shape=shape)

"""Pictures for training: decoded once, in the sizes that training needs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from zoo.data.decoding import Budgets, decode_wanted
from zoo.data.pictures import Pictures
from zoo.data.pixels import Decoded, DecodeRequest, Rows, StoredRows, stamps
from zoo.data.sources import Source
from zoo.data.streaming_rows import StreamedRows
from zoo.data.types import Split
from zoo.data.workers import start_workers
from zoo.images.values import ValueLog
from zoo.progress import Reporter
from zoo.specs import PreprocessSpec
from zoo.transforms.augment.policy import MARGIN


@dataclass(frozen=True, slots=True)
class DecodedSplit:
    """A decoded split.

    Attributes:
        pixels: uint8 `[N, R, R]` or `[N, R, R, 3]`, for validation and features.
        wide: the same pictures with more detail, for augmented crops. Equal to `pixels` without augmentation.
        labels: int64 `[N]`.
        preprocess: the remaining preprocessing of `pixels`.
        unreadable: one sentence for each picture that was left out.
        value_warnings: about the pictures of more than 8 bits in all splits together.
    """

    pixels: Rows
    wide: Rows
    labels: np.ndarray
    preprocess: PreprocessSpec
    unreadable: tuple[str, ...] = ()
    value_warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


def make_stores(
    splits: Sequence[Split],
    spec: PreprocessSpec,
    *,
    augmented: bool,
    budgets: Budgets,
    origin: str,
    reporter: Reporter,
) -> list[DecodedSplit]:
    """Decodes the pictures of all splits together, because another seed splits the same pictures differently.

    Args:
        spec: the classifier's preprocessing. Pictures in files are stored as its resized output, rounded to uint8, in
            the network's size.
        augmented: whether a larger size is needed too.
        origin: where the pictures come from, for `zoo cache`.
    """
    wanted = [_sources(split.pictures) for split in splits]
    sources = tuple(sorted({source.key: source for part in wanted for source in part}.values(), key=lambda s: s.key))
    wide = replace(spec, image_size=round(spec.image_size * MARGIN), crop_fraction=1.0)
    request = DecodeRequest(sources, stamps(sources), (spec, wide) if augmented else (spec,), origin)
    decoded = decode_wanted(request, budgets, reporter) if sources else Decoded((), {}, ValueLog())
    pool = start_workers() if sources and not decoded.arrays else None
    places = {source.key: index for index, source in enumerate(sources)}
    warnings = tuple(decoded.values.warnings(spec.pixel_range))
    stores = []
    for split, own in zip(splits, wanted, strict=True):
        if split.pictures.array is not None:
            rows: Rows = StoredRows(split.pictures.array)
            stores.append(DecodedSplit(rows, rows, split.labels, spec, value_warnings=warnings))
            continue
        wishes = np.array([places[source.key] for source in own], dtype=np.int64)
        readable = np.array([index not in decoded.unreadable for index in wishes], dtype=np.bool_)
        sizes = _rows(request, decoded, wishes[readable], pool)
        unreadable = tuple(decoded.unreadable[index] for index in wishes[~readable])
        stores.append(DecodedSplit(sizes[0], sizes[-1], split.labels[readable], _remaining(spec), unreadable, warnings))
    return stores


def _remaining(spec: PreprocessSpec) -> PreprocessSpec:
    """The preprocessing of pictures in the network's size, without products that change nothing."""
    if spec.resampled:
        return replace(spec, resize="crop", interpolation="bilinear", crop_fraction=1.0)
    return replace(spec, crop_fraction=1.0)


def _sources(pictures: Pictures) -> list[Source]:
    """Of those that must be decoded."""
    return [] if pictures.array is not None else [pictures.source(index) for index in range(len(pictures))]


def _rows(request: DecodeRequest, decoded: Decoded, indices: np.ndarray, pool: Executor | None) -> list[Rows]:
    """The pictures at `indices`, which must be readable, in each size."""
    if pool:
        sources, marks = [request.sources[index] for index in indices], [request.stamps[index] for index in indices]
        return [StreamedRows(sources, marks, spec, pool) for spec in request.specs]
    gone = np.array(sorted(decoded.unreadable), dtype=np.int64)
    numbers = indices - np.searchsorted(gone, indices)  # arrays have no row for an unreadable picture
    return [StoredRows(array, numbers) for array in decoded.arrays]


def gather(rows: Rows, indices: Tensor, device: torch.device) -> Tensor:
    """The pictures at `indices` as uint8 `[n, R, R, 3]` on the device."""
    batch = torch.from_numpy(rows.take(indices.numpy())).to(device)
    return batch if batch.ndim == 4 else batch[..., None].expand(-1, -1, -1, 3)  # noqa: PLR2004

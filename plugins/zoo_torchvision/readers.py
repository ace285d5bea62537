"""Reads the publishers' files, in torchvision's layout, into arrays with checked labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data import ArrayPictures, Dataset, Split
from zoo.errors import DataError
from zoo_torchvision import names
from zoo_torchvision.fetch import torchvision_class

_IDX_TYPES: dict[int, np.dtype[Any]] = {8: np.dtype("u1"), 12: np.dtype(">i4")}
_STL10_SIDE = 96


def damaged(path: Path, reason: str, code: str = "damaged-file") -> DataError:
    """The error for a file that was downloaded incompletely or changed later."""
    remedy = "Delete it, then run the command again to download it again."
    return DataError(f"'{path}' is damaged: {reason}.", remedy, code=code)


def read_idx(path: Path) -> np.ndarray:
    """Reads an array in the idx format of MNIST: 2 zero bytes, type, rank, big-endian sizes, data.

    Raises:
        DataError: the file has another format, or is shorter or longer than its header says.
    """
    data = path.read_bytes()
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES:  # noqa: PLR2004
        raise damaged(path, "it does not begin like an idx file", "not-an-idx-file")
    dtype, rank = _IDX_TYPES[data[2]], data[3]
    start = 4 + 4 * rank
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    size = start + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(data) != size:
        raise damaged(path, f"it has {len(data)} bytes, but its header says {size}", "idx-file-of-wrong-size")
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


def idx(root: Path, files: Sequence[str], classes: Sequence[str], transposed: bool = False) -> Dataset:
    """Reads the MNIST family.

    Args:
        files: training pictures and labels, test pictures and labels. Only the first column of labels is used.
        transposed: whether rows and columns of the pictures are swapped, as in EMNIST.
    """

    def read(images_file: str, labels_file: str) -> Split:
        images, labels = read_idx(root / images_file), read_idx(root / labels_file)
        if images.ndim != 3 or images.dtype != np.uint8:  # noqa: PLR2004
            raise damaged(root / images_file, "it contains no pictures", "idx-file-without-pictures")
        if transposed:
            images = images.transpose(0, 2, 1)
        return _split(images, labels if labels.ndim == 1 else labels[:, 0], len(classes), root / labels_file)

    train, test = read(files[0], files[1]), read(files[2], files[3])
    return Dataset(classes=tuple(classes), train=train, test=test, source=str((root / files[0]).parent))


def stl10(root: Path) -> Dataset:
    folder = root / "stl10_binary"

    def read(part: str) -> Split:
        # torchvision's reader first computes the checksum of 2.7 GB of unlabelled pictures.
        data = np.fromfile(folder / f"{part}_X.bin", np.uint8)
        if data.size % (3 * _STL10_SIDE**2):
            raise damaged(folder / f"{part}_X.bin", "its size is not a whole number of pictures")
        images = data.reshape(-1, 3, _STL10_SIDE, _STL10_SIDE).transpose(0, 3, 2, 1)
        labels = np.fromfile(folder / f"{part}_y.bin", np.uint8)
        return _split(images, labels.astype(np.int64) - 1, len(names.STL10), folder / f"{part}_y.bin")

    return Dataset(classes=names.STL10, train=read("train"), test=read("test"), source=str(folder))


def usps(root: Path) -> Dataset:
    def read(part: str) -> Split:
        file = root / torchvision_class("USPS").split_list[part][1]
        try:
            loaded = torchvision_class("USPS")(root, train=part == "train")
        except (OSError, EOFError, ValueError, IndexError) as error:
            raise damaged(file, str(error)) from None
        return _split(loaded.data, np.array(loaded.targets), len(names.DIGITS), file)

    return Dataset(classes=names.DIGITS, train=read("train"), test=read("test"), source=str(root))


def svhn(root: Path) -> Dataset:
    def read(part: str) -> Split:
        _, file, md5 = torchvision_class("SVHN").split_list[part]
        verify(root, [(file, md5)])
        loaded = torchvision_class("SVHN")(root, split=part)
        return _split(loaded.data.transpose(0, 2, 3, 1), loaded.labels, len(names.DIGITS), root / file)

    return Dataset(classes=names.DIGITS, train=read("train"), test=read("test"), source=str(root))


def cifar(root: Path, class_name: str) -> Dataset:
    """Reads CIFAR-10 or CIFAR-100. The checksums are checked before the pickles are opened."""
    dataset = torchvision_class(class_name)
    folder = root / dataset.base_folder
    meta = (dataset.meta["filename"], dataset.meta["md5"])
    verify(folder, [*dataset.train_list, *dataset.test_list, meta])
    train, test = dataset(root, train=True), dataset(root, train=False)
    classes = tuple(name.replace("_", " ") for name in train.classes)
    splits = [_split(part.data, np.array(part.targets), len(classes), folder) for part in (train, test)]
    return Dataset(classes=classes, train=splits[0], test=splits[1], source=str(folder))


def verify(folder: Path, files: Iterable[Sequence[str]]) -> None:
    """Checks the md5 of files, given as pairs of name and md5. Raises `DataError`."""
    from torchvision.datasets.utils import check_integrity

    for name, md5 in files:
        if not check_integrity(folder / name, md5):
            raise damaged(folder / name, "its checksum differs from the published one")


def _split(images: np.ndarray, labels: np.ndarray, num_classes: int, file: Path) -> Split:
    if len(images) != len(labels):
        raise damaged(file, f"it has {len(labels)} labels for {len(images)} pictures", "labels-and-pictures-differ")
    if not len(labels) or labels.min() < 0 or labels.max() >= num_classes:
        reason = f"it has labels outside 0 to {num_classes - 1}" if len(labels) else "it is empty"
        raise damaged(file, reason, "labels-out-of-range" if len(labels) else "damaged-file")
    return Split(ArrayPictures(np.array(images, order="C")), labels.astype(np.int64))

"""Loads datasets: downloads missing files, then reads all files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.data import Dataset
from zoo.errors import MissingExtraError, ZooError
from zoo.specs import DatasetRequest
from zoo_torchvision import fetch, readers, sample


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a dataset's files, and their reader.

    Attributes:
        class_name: the class of `torchvision.datasets` that downloads the files.
        urls: the servers. One that answers is enough.
        files: the required files and folders, relative to the root.
        read: takes the root and returns the dataset.
        parts: the arguments of the class for each part of the download.
    """

    class_name: str
    urls: Sequence[str]
    files: Sequence[str]
    read: Callable[[Path], Dataset]
    parts: Sequence[Mapping[str, object]]


def load(name: str, source: Source, request: DatasetRequest) -> Dataset:
    """Reads a dataset after it downloads missing files.

    Raises:
        UnavailableError: files are missing and cannot be downloaded.
        DataError: a file is damaged, or the root cannot be written.
        MissingExtraError: torchvision or scipy is not installed.
    """
    root = request.root.expanduser()
    missing = [file for file in source.files if not (root / file).exists()]
    if missing and not request.download:
        raise fetch.unavailable(name, f"is not complete in '{root}': '{missing[0]}' is missing", "incomplete-dataset")
    if missing:
        fetch.download(name, source.class_name, source.parts, source.urls, root)
    try:
        return source.read(root)
    except ZooError:
        raise
    except ImportError:
        raise MissingExtraError(f"Reading {name}", "train") from None
    except Exception as error:  # torchvision's readers raise any exception for damaged files
        file = getattr(error, "filename", None) or root / source.files[0].split("/")[0]
        raise readers.damaged(Path(file), str(getattr(error, "strerror", None) or error)) from None


def load_mnist(name: str, source: Source, request: DatasetRequest) -> Dataset:
    """Like `load`, but returns the bundled sample if no file exists and the download failed."""
    try:
        return load(name, source, request)
    except fetch.UnavailableError as error:
        if any((request.root.expanduser() / file).exists() for file in source.files):
            raise
        return sample.load(error.cause)

"""From a named source to a loaded dataset: complete files are read, missing ones fetched first."""

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
    """Where a dataset's files come from and who reads them.

    Attributes:
        class_name: the class of `torchvision.datasets` that downloads it.
        urls: servers that it downloads from; one that answers suffices.
        files: the files and folders without which it is not complete, relative to the root.
        read: takes the root; returns the dataset.
        parts: the arguments of the class, once for each part that it downloads.
    """

    class_name: str
    urls: Sequence[str]
    files: Sequence[str]
    read: Callable[[Path], Dataset]
    parts: Sequence[Mapping[str, object]]


def load(name: str, source: Source, request: DatasetRequest) -> Dataset:
    """Reads a dataset, after a download of what is missing.

    Raises:
        UnavailableError: files are missing and cannot be fetched.
        DataError: a file is damaged, or the root cannot be written.
        MissingExtraError: torchvision or scipy is not installed.
    """
    root = request.root.expanduser()
    missing = [file for file in source.files if not (root / file).exists()]
    if missing and not request.download:
        raise fetch.unavailable(name, f"is not complete in '{root}': there is no '{missing[0]}'")
    if missing:
        fetch.download(name, source.class_name, source.parts, source.urls, root)
    try:
        return source.read(root)
    except ZooError:
        raise
    except ImportError:
        raise MissingExtraError(f"Reading {name}", "train") from None
    except Exception as error:  # torchvision's readers raise whatever a damaged file leads them to
        file = getattr(error, "filename", None) or root / source.files[0].split("/")[0]
        raise readers.damaged(Path(file), str(getattr(error, "strerror", None) or error)) from None


def load_mnist(name: str, source: Source, request: DatasetRequest) -> Dataset:
    """As `load`; the bundled sample where there is neither a file of the real ones nor a network."""
    try:
        return load(name, source, request)
    except fetch.UnavailableError as error:
        if any((request.root.expanduser() / file).exists() for file in source.files):
            raise
        return sample.load(error.cause)

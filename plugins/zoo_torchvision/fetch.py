"""Downloads through torchvision. A download that fails leaves no files."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.errors import DataError, MissingExtraError

CONNECT_TIMEOUT_S = 4.0
READ_TIMEOUT_S = 30.0


class UnavailableError(DataError):
    """Files are missing and cannot be downloaded."""


def torchvision_class(name: str) -> Any:
    """The class of `torchvision.datasets` with this name. Raises `MissingExtraError`."""
    try:
        from torchvision import datasets
    except ImportError:
        raise MissingExtraError(f"Reading {name} through torchvision", "train") from None
    return getattr(datasets, name)


def download(
    name: str, class_name: str, parts: Sequence[Mapping[str, object]], urls: Sequence[str], root: Path
) -> None:
    """Downloads a dataset into a temporary folder, and moves it to `root` when it is complete.

    Args:
        name: of the dataset, for messages.
        class_name: the class of `torchvision.datasets` that downloads it.
        parts: the arguments of that class for each part.
        urls: the servers. One that answers is enough.
        root: the folder of all datasets.

    Raises:
        UnavailableError: the internet connection, the server or the downloaded file is faulty.
        DataError: `root` cannot be written.
    """
    dataset = torchvision_class(class_name)
    reasons = [unreachable(url) for url in urls]
    if all(reasons):
        raise unavailable(name, f"could not be downloaded: {'; '.join(filter(None, reasons))}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as staging, read_timeout():
            for part in parts:
                _fetch(name, dataset, part, staging)
            _move(Path(staging), root)
    except OSError as error:
        raise DataError(
            f"The dataset '{name}' cannot be stored in '{root}': {error.strerror or error}.",
            "Choose another folder with --data-root FOLDER.",
            code="dataset-not-stored",
        ) from None


def unavailable(name: str, reason: str, code: str = "download-failed") -> UnavailableError:
    """The error for a dataset whose files are missing. The reason continues `The dataset 'usps' …`."""
    return UnavailableError(
        f"The dataset '{name}' {reason}.",
        "Check the internet connection and retry, or give a folder with torchvision's layout: --data-root FOLDER",
        code=code,
    )


def _fetch(name: str, dataset: Any, part: Mapping[str, object], staging: str) -> None:
    try:
        dataset(staging, download=True, **part)
    except (
        urllib.error.URLError,
        ConnectionError,
        TimeoutError,
        ssl.SSLError,
        http.client.HTTPException,
    ) as error:
        raise unavailable(name, f"could not be downloaded: {error}") from None
    except OSError:
        raise
    except Exception as error:  # a wrong checksum, a damaged archive, a missing package: torchvision raises many types
        text = " ".join(str(error).split())
        raise unavailable(name, f"could not be downloaded: {text.rstrip('.')}") from None


def unreachable(url: str) -> str | None:
    """The reason why a server does not answer, or None if it answers or a proxy is set.

    This check is first, because torchvision's own attempts have no timeout and try all addresses, mirrors and schemes.
    """
    if urllib.request.getproxies():
        return None
    parts = urllib.parse.urlsplit(url)
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    reason = "no address"
    try:
        addresses = {entry[0]: entry for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        return f"{host} cannot be reached ({error.strerror or error})"
    for family, kind, protocol, _, address in addresses.values():
        try:
            with socket.socket(family, kind, protocol) as connection:
                connection.settimeout(CONNECT_TIMEOUT_S)
                connection.connect(address)
                return None
        except OSError as error:
            reason = str(error.strerror or error)
    return f"{host} cannot be reached ({reason})"


@contextmanager
def read_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(READ_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _move(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir()):
        place = target / path.name
        if path.is_dir() and place.is_dir():
            _move(path, place)
        else:
            shutil.move(path, place)

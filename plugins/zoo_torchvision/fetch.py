"""Downloads through torchvision, completely or not at all."""

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
    """The files are not there and cannot be fetched."""


def torchvision_class(name: str) -> Any:
    """The class of `torchvision.datasets` by that name. Raises `MissingExtraError`."""
    try:
        from torchvision import datasets
    except ImportError:
        raise MissingExtraError(f"Reading {name} through torchvision", "train") from None
    return getattr(datasets, name)


def download(
    name: str, class_name: str, parts: Sequence[Mapping[str, object]], urls: Sequence[str], root: Path
) -> None:
    """Fetches a dataset into a folder of its own and moves it into place when all of it is there.

    Args:
        name: what the user calls the dataset.
        class_name: the class of `torchvision.datasets` that downloads it.
        parts: the arguments of that class, once for each part.
        urls: servers that it downloads from; one that answers suffices.
        root: the folder of all datasets.

    Raises:
        UnavailableError: the network, the server or what it sent is at fault.
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
            f"{name} cannot be stored in '{root}': {error.strerror or error}.",
            "Name another folder with --data-root.",
        ) from None


def unavailable(name: str, reason: str) -> UnavailableError:
    return UnavailableError(
        f"{name} {reason}.",
        "Try again with a network, or name a folder that holds its files as torchvision lays them out "
        "with --data-root FOLDER.",
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
    except Exception as error:  # a checksum, an archive, a missing helper package: torchvision raises many types
        text = " ".join(str(error).split())
        raise unavailable(name, f"could not be downloaded: {text.rstrip('.')}") from None


def unreachable(url: str) -> str | None:
    """Why a server does not answer, None where it does (or where a proxy would).

    Checked before torchvision's own attempts, which know no timeout and try every address, mirror and scheme.
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

"""TorchScript: `Preprocess` scripted (sizes stay free), the network traced, the card as a file in the zip."""

from __future__ import annotations

import hashlib
import io
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ArtifactError, ExportError, MissingExtraError
from zoo.specs import MAX_CARD_BYTES

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from zoo.specs import Runtime

MAX_ENTRIES = 100_000
_AGAIN = "Export it again with: zoo export --torchscript"


def write(classifier: nn.Module, path: Path) -> None:
    """See `zoo.specs.ExporterSpec`. Raises `ExportError` where the network cannot be traced."""
    if sys.version_info >= (3, 14):
        raise ExportError(
            "PyTorch does not support TorchScript on Python 3.14 and later.",
            "Use ONNX instead: zoo export --onnx",
        )
    try:
        import torch

        from zoo_exporters.program import EXAMPLE_SHAPE, Program, program, quiet
    except ImportError:
        raise MissingExtraError("Writing TorchScript files", "train") from None
    shipped = program(classifier)
    jit: Any = torch.jit  # it has no types
    try:
        with quiet(), torch.no_grad():
            scripted = Program(jit.script(shipped.preprocess), shipped.network)
            # Parity compares the file with the classifier; the tracer's own check would run it twice more.
            traced = jit.trace(scripted, torch.zeros(EXAMPLE_SHAPE, dtype=torch.uint8), check_trace=False)
            buffer = io.BytesIO()
            jit.save(traced, buffer)
        _repack(buffer, path)
    except OSError:
        raise
    except Exception as error:  # tracing runs the network's own code
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ExportError(
            f"The network cannot be written as TorchScript: {reason}", "Try another format: zoo export --onnx"
        ) from error


def write_card(path: Path, text: str) -> None:
    """Adds the card. Raises `ArtifactError` where the file has one, or is no TorchScript."""
    value = text.encode()
    if len(value) > MAX_CARD_BYTES:
        raise ExportError(f"The card has more than {MAX_CARD_BYTES // 2**20} MiB.", "Shorten the recipe.")
    with _opened(path) as archive:
        root, card = _checked(path, archive)
    if card is not None:
        raise ArtifactError(f"'{path}' has a card already.", _AGAIN)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(f"{root}/extra/card.json"), value)


def read_card(path: Path) -> str | None:
    """See `zoo.specs.ExporterSpec`; reads the zip's directory and one entry."""
    with _opened(path) as archive:
        card = _checked(path, archive)[1]
        try:
            return None if card is None else archive.read(card).decode()
        except (UnicodeDecodeError, zipfile.BadZipFile):
            raise ArtifactError(f"The card of '{path}' is damaged.", _AGAIN) from None


def content_hash(path: Path) -> str:
    """See `zoo.specs.ExporterSpec`: SHA-256 over name, size and bytes of each entry but the card."""
    digest = hashlib.sha256()
    with _opened(path) as archive:
        card = _checked(path, archive)[1]
        try:
            for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
                if entry is card:
                    continue
                digest.update(f"{entry.filename}\0{entry.file_size}\0".encode())
                with archive.open(entry) as file:
                    while block := file.read(2**20):
                        digest.update(block)
        except (zipfile.BadZipFile, EOFError):
            raise ArtifactError(f"'{path}' is damaged.", _AGAIN) from None
    return f"sha256:{digest.hexdigest()}"


def load(path: Path, device: str) -> Runtime:
    """See `zoo.specs.ExporterSpec`."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("Reading TorchScript files", "train") from None
    jit: Any = torch.jit  # it has no types
    try:
        with warnings.catch_warnings(action="ignore"):
            module = jit.load(path, map_location=device)
    except Exception as error:  # a damaged program raises whatever its parser met
        reason = str(error).strip().splitlines()[0]
        raise ArtifactError(f"PyTorch cannot load '{path}': {reason}", _AGAIN) from None
    return _Module(module.eval(), device)


class _Module:
    def __init__(self, module: Any, device: str) -> None:
        self._module = module
        self._device = device

    def __call__(self, images: np.ndarray) -> np.ndarray:
        import numpy as np
        import torch

        pixels = torch.from_numpy(np.require(images, np.uint8, ["C", "W"])).to(self._device)
        with torch.inference_mode():
            logits: np.ndarray = self._module(pixels)[0].float().cpu().numpy()
        return logits


def _repack(buffer: io.BytesIO, path: Path) -> None:
    """Writes what PyTorch saved, uncompressed and without the maker's source lines and their paths."""
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            if not name.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(name), source.read(name))


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except zipfile.BadZipFile:
        raise ArtifactError(f"'{path}' is no TorchScript file, or a damaged one.", _AGAIN) from None
    except OSError as error:
        reason = (error.strerror or "it is not readable").lower()
        raise ArtifactError(f"'{path}' cannot be read: {reason}.", "Check the path.") from None


def _checked(path: Path, archive: zipfile.ZipFile) -> tuple[str, zipfile.ZipInfo | None]:
    """The name of the archive's only folder, and the card's entry."""
    entries = archive.infolist()
    names = {entry.filename for entry in entries}
    roots = {name.split("/", 1)[0] for name in names}
    root = next(iter(roots), "")
    if len(roots) != 1 or not {f"{root}/data.pkl", f"{root}/constants.pkl"} <= names:
        raise ArtifactError(f"'{path}' is no TorchScript file.", _AGAIN)
    # What is compressed may unpack to any size.
    if len(entries) > MAX_ENTRIES or any(e.compress_type != zipfile.ZIP_STORED for e in entries):
        raise ArtifactError(f"'{path}' is no TorchScript file that zoo wrote.", _AGAIN)
    if len(names) != len(entries):
        raise ArtifactError(f"'{path}' has several entries of one name.", _AGAIN)
    card = next((entry for entry in entries if entry.filename == f"{root}/extra/card.json"), None)
    if card is not None and card.file_size > MAX_CARD_BYTES:
        raise ArtifactError(f"The card of '{path}' has more than {MAX_CARD_BYTES // 2**20} MiB.", _AGAIN)
    return root, card

"""TorchScript: `Preprocess` scripted (sizes stay free), the network traced, the card as a file in the zip."""

from __future__ import annotations

import io
import sys
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ArtifactError, ExportError, MissingExtraError
from zoo.specs import LoadOptions, WriteOptions, Written
from zoo_exporters.archive import Archive

if TYPE_CHECKING:
    from torch import nn

    from zoo.specs import Runtime

ARCHIVE = Archive("TorchScript", ("data.pkl", "constants.pkl"), "Export it again with: zoo export --torchscript")


def write(classifier: nn.Module, path: Path, options: WriteOptions) -> Written:
    """See `zoo.specs.ExporterSpec`. Raises `ExportError` where the network cannot be traced."""
    if sys.version_info >= (3, 14):
        raise ExportError(
            "PyTorch does not support TorchScript on Python 3.14 and later.",
            "Use ONNX instead: zoo export --onnx",
        )
    try:
        import torch

        from zoo_exporters.program import program, quiet
    except ImportError:
        raise MissingExtraError("Writing TorchScript files", "train") from None
    shipped = program(classifier, options.input)
    jit: Any = torch.jit  # it has no types
    try:
        with quiet(), torch.no_grad():
            shipped.preprocess = jit.script(shipped.preprocess)
            # Parity compares the file with the classifier; the tracer's own check would run it twice more.
            traced = jit.trace(shipped, shipped.example(), check_trace=False)
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
    return Written()


def load(path: Path, options: LoadOptions) -> Runtime:
    """See `zoo.specs.ExporterSpec`."""
    try:
        import torch

        from zoo_exporters.program import TorchRuntime
    except ImportError:
        raise MissingExtraError("Reading TorchScript files", "train") from None
    jit: Any = torch.jit  # it has no types
    try:
        with warnings.catch_warnings(action="ignore"):
            module = jit.load(path, map_location=options.device)
    except Exception as error:  # a damaged program raises whatever its parser met
        reason = str(error).strip().splitlines()[0]
        raise ArtifactError(f"PyTorch cannot load '{path}': {reason}", ARCHIVE.again) from None
    return TorchRuntime(module.eval(), options)


def _repack(buffer: io.BytesIO, path: Path) -> None:
    """Writes what PyTorch saved, uncompressed and without the maker's source lines and their paths."""
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            if not name.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(name), source.read(name))

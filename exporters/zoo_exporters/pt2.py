"""pt2: a program of torch.export, any batch, height and width."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ArtifactError, ExportError, MissingExtraError
from zoo.specs import LoadOptions, WriteOptions, Written
from zoo_exporters.archive import Archive

if TYPE_CHECKING:
    from torch import nn

    from zoo.specs import Runtime

ARCHIVE = Archive("pt2", ("models/model.json", "archive_format"), "Export it again with: zoo export --pt2")


def write(classifier: nn.Module, path: Path, options: WriteOptions) -> Written:
    """See `zoo.specs.ExporterSpec`. Raises `ExportError` where the network cannot be exported."""
    try:
        import torch

        from zoo_exporters.program import any_size, program, quiet
    except ImportError:
        raise MissingExtraError("Writing pt2 files", "train") from None
    shipped = program(classifier, options.input)
    free = dict.fromkeys(range(3) if options.input == "pixels" else range(1), torch.export.Dim.DYNAMIC)
    try:
        with quiet(), any_size(shipped):
            exported = torch.export.export(shipped, (shipped.example(),), dynamic_shapes=(free,), strict=False)
            buffer = io.BytesIO()
            torch.export.save(exported, buffer)
        with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
            for name in source.namelist():
                target.writestr(zipfile.ZipInfo(name), source.read(name))
    except OSError:
        raise
    except Exception as error:  # tracing runs the network's own code
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ExportError(
            f"The network cannot be written as pt2: {reason}", "Try another format: zoo export --onnx"
        ) from error
    return Written()


def load(path: Path, options: LoadOptions) -> Runtime:
    """See `zoo.specs.ExporterSpec`."""
    try:
        import torch

        from zoo_exporters.program import TorchRuntime, quiet
    except ImportError:
        raise MissingExtraError("Reading pt2 files", "train") from None
    try:
        with quiet():
            module: Any = torch.export.load(path).module()
    except Exception as error:  # a damaged program raises whatever its parser met
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArtifactError(f"PyTorch cannot load '{path}': {reason}", ARCHIVE.again) from None
    return TorchRuntime(module.to(options.device), options)

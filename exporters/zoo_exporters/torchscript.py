"""TorchScript: `Preprocess` scripted (sizes stay free), the network traced, the card as a file in the zip."""

from __future__ import annotations

import io
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ExportError, MissingExtraError
from zoo.specs import LoadOptions, WriteOptions, Written
from zoo_exporters import torchscript_check
from zoo_exporters.archive import Archive, repack

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from zoo.specs import Runtime

ARCHIVE = Archive(
    "TorchScript",
    ("data.pkl", "constants.pkl"),
    torchscript_check.NAMES,
    "Export it again with: zoo export --torchscript",
)


def write(classifier: nn.Module, path: Path, options: WriteOptions) -> Written:
    """See `zoo.specs.ExporterSpec`. Raises `ExportError` where the network cannot be traced."""
    if sys.version_info >= (3, 14):
        raise ExportError(
            "PyTorch does not support TorchScript on Python 3.14 and later.",
            "Use ONNX instead: zoo export --onnx",
            code="torchscript-python",
        )
    try:
        import torch

        from zoo_exporters.program import program, quiet
    except ImportError:
        raise MissingExtraError("Writing TorchScript files", "train") from None
    shipped = program(classifier, options)
    jit: Any = torch.jit  # it has no types
    with ARCHIVE.written():
        with quiet(), torch.no_grad():
            shipped.preprocess = jit.script(shipped.preprocess)
            # Parity compares the file with the classifier; the tracer's own check would only run it twice more.
            traced = jit.trace(shipped, shipped.example(), check_trace=False)
            buffer = io.BytesIO()
            jit.save(traced, buffer)
        # Leave out the maker's source lines and their paths.
        repack(buffer, path, lambda name, value: None if name.endswith(".debug_pkl") else value)
        _check(path)
    return Written(facts={"heatmap": True} if options.heatmap else {}, divergence=partial(_divergence, classifier))


def load(path: Path, options: LoadOptions) -> Runtime:
    """See `zoo.specs.ExporterSpec`."""
    try:
        import torch  # noqa: F401  (the next lines need it)

        from zoo_exporters.program import TorchRuntime, require_device
        from zoo_exporters.torchscript_behind_resize import behind_resize
    except ImportError:
        raise MissingExtraError("Reading TorchScript files", "train") from None
    require_device(options.device)
    module = _opened(path, options.device).eval()
    return TorchRuntime(module, options, partial(behind_resize, module, path, ARCHIVE))


def _opened(path: Path, device: str = "cpu") -> Any:
    import torch

    jit: Any = torch.jit
    with ARCHIVE.loaded(path), warnings.catch_warnings(action="ignore"):
        _check(path)
        return jit.load(path, map_location=device)


def _check(path: Path) -> None:
    """Raises `ForeignError`."""
    torchscript_check.check(ARCHIVE.texts(path, torchscript_check.TEXTS, torchscript_check.MAX_PROGRAM_BYTES))


def _divergence(classifier: nn.Module, path: Path, _: np.ndarray) -> str | None:
    from zoo_exporters.program import difference

    module = _opened(path)
    for name, part in module.named_modules():
        if part.training:
            return f"{name or 'the program'} is in training mode"
    graph = module.inlined_graph
    for kind in ("aten::dropout", "aten::feature_dropout", "aten::alpha_dropout"):
        for node in graph.findAllNodes(kind):
            if node.inputsAt(1).toIValue() and node.inputsAt(2).toIValue():
                return "the network drops values at random: it was traced in training mode"
    for node in graph.findAllNodes("aten::batch_norm"):
        if node.inputsAt(5).toIValue() and node.inputsAt(3).type().kind() != "NoneType":
            return "the network normalises with each batch's own statistics: it was traced in training mode"
    tensors = (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False))
    return difference(classifier, dict(tensors))

"""pt2: a program of torch.export for any batch, height and width."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import MissingExtraError
from zoo.specs import LoadOptions, WriteOptions, Written
from zoo_exporters import pt2_check
from zoo_exporters.archive import Archive, repack

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from zoo.specs import Runtime

ARCHIVE = Archive(
    "pt2", (pt2_check.PROGRAM, "archive_format"), pt2_check.NAMES, "Export it again with: zoo export --pt2"
)


def write(classifier: nn.Module, path: Path, options: WriteOptions) -> Written:
    """See `zoo.specs.ExporterSpec`. Raises `ExportError` where the network cannot be exported."""
    try:
        import torch

        from zoo_exporters.program import any_size, program, quiet
    except ImportError:
        raise MissingExtraError("Writing pt2 files", "train") from None
    shipped = program(classifier, options)
    free = dict.fromkeys(range(3) if options.input == "pixels" else range(1), torch.export.Dim.DYNAMIC)
    with ARCHIVE.written():
        with quiet(), any_size(shipped):
            exported = torch.export.export(shipped, (shipped.example(),), dynamic_shapes=(free,), strict=False)
            buffer = io.BytesIO()
            torch.export.save(exported, buffer)
        repack(buffer, path, _kept)
        _check(path)
    return Written(facts={"heatmap": True} if options.heatmap else {}, divergence=partial(_divergence, classifier))


def load(path: Path, options: LoadOptions) -> Runtime:
    """See `zoo.specs.ExporterSpec`."""
    try:
        import torch  # noqa: F401  (the next lines need it)
        from torch.export.passes import move_to_device_pass

        from zoo_exporters.program import TorchRuntime, quiet, require_device
    except ImportError:
        raise MissingExtraError("Reading pt2 files", "train") from None
    require_device(options.device)
    exported = _opened(path)
    with quiet():
        if options.device != "cpu":
            # Unlike Module.to, it also moves tensors that the program creates.
            exported = move_to_device_pass(exported, options.device)
        return TorchRuntime(exported.module(), options)


def _opened(path: Path) -> Any:
    import torch

    from zoo_exporters.program import quiet

    with ARCHIVE.loaded(path), quiet():
        _check(path)
        return torch.export.load(path)


def _check(path: Path) -> None:
    """Raises `ForeignError`."""
    pt2_check.check(ARCHIVE.texts(path, pt2_check.TEXTS, pt2_check.MAX_PROGRAM_BYTES), ARCHIVE.sizes(path))


def _kept(name: str, value: bytes) -> bytes | None:
    if name == pt2_check.SAMPLES:
        return b""  # PyTorch needs the entry, and unpickles its content
    if name != pt2_check.PROGRAM:
        return value
    program = json.loads(value)
    program["guards_code"] = []  # Python code that the module would execute; parity checks the program instead
    for node in program["graph_module"]["graph"]["nodes"]:
        node["metadata"] = {key: node["metadata"][key] for key in pt2_check.KEPT_METADATA & node["metadata"].keys()}
    return json.dumps(program).encode()


def _divergence(classifier: nn.Module, path: Path, _: np.ndarray) -> str | None:
    from zoo_exporters.program import difference

    exported = _opened(path)
    for node in exported.graph.nodes:
        match str(node.target), node.args:
            case "aten.dropout.default" | "aten.feature_dropout.default" | "aten.alpha_dropout.default", (_, p, True):
                if p:
                    return f"{_place(node)} drops values at random: it was exported in training mode"
            case "aten.batch_norm.default", (_, _, _, mean, _, True, *_) if mean is not None:
                return f"{_place(node)} normalises with each batch's own statistics: it was exported in training mode"
    return difference(classifier, {**exported.state_dict, **exported.constants})


def _place(node: Any) -> str:
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else str(node.name)

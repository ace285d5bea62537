"""The built-in artifact formats: ONNX and TorchScript."""

from __future__ import annotations

from collections.abc import Iterable

from zoo.hookspecs import hookimpl
from zoo.specs import ExporterSpec
from zoo_exporters import onnx, torchscript


@hookimpl
def zoo_exporters() -> Iterable[ExporterSpec]:
    yield ExporterSpec(
        name="onnx",
        suffix=".onnx",
        write=onnx.write,
        write_card=onnx.write_card,
        read_card=onnx.read_card,
        content_hash=onnx.content_hash,
        load=onnx.load,
        description="ONNX, one file, for onnxruntime on servers, desktops, phones and in browsers",
    )
    yield ExporterSpec(
        name="torchscript",
        suffix=".pt",
        write=torchscript.write,
        write_card=torchscript.write_card,
        read_card=torchscript.read_card,
        content_hash=torchscript.content_hash,
        load=torchscript.load,
        description="TorchScript, for PyTorch from Python or C++ (deprecated by PyTorch, Python up to 3.13)",
    )

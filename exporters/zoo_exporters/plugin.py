"""The built-in artifact formats: ONNX, TorchScript and pt2."""

from __future__ import annotations

from collections.abc import Iterable

from zoo.hookspecs import hookimpl
from zoo.specs import ExporterSpec


@hookimpl
def zoo_exporters() -> Iterable[ExporterSpec]:
    from zoo_exporters import onnx, pt2, torchscript  # late: `zoo --help` needs no format

    yield ExporterSpec(
        name="onnx",
        suffix=".onnx",
        write=onnx.write,
        write_card=onnx.write_card,
        read_card=onnx.read_card,
        content_hash=onnx.content_hash,
        load=onnx.load,
        inputs=("pixels", "tensor"),
        precisions=("fp32", "fp16", "int8"),
        options=("opset", "external_data", "heatmap"),
        check=onnx.check,
        description="ONNX, one file, for onnxruntime on servers, desktops, phones and in browsers",
    )
    yield ExporterSpec(
        name="torchscript",
        suffix=".pt",
        write=torchscript.write,
        write_card=torchscript.ARCHIVE.write_card,
        read_card=torchscript.ARCHIVE.read_card,
        content_hash=torchscript.ARCHIVE.content_hash,
        load=torchscript.load,
        inputs=("pixels", "tensor"),
        options=("heatmap",),
        description="TorchScript, for PyTorch from Python or C++ (deprecated by PyTorch, Python up to 3.13)",
    )
    yield ExporterSpec(
        name="pt2",
        suffix=".pt2",
        write=pt2.write,
        write_card=pt2.ARCHIVE.write_card,
        read_card=pt2.ARCHIVE.read_card,
        content_hash=pt2.ARCHIVE.content_hash,
        load=pt2.load,
        inputs=("pixels", "tensor"),
        options=("heatmap",),
        description="A torch.export program, for PyTorch 2 and compilers of such programs",
    )

"""Writes ONNX: one file with the preprocessing inside, or a file and a weights file beside it."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ExportError, MissingExtraError, UsageError
from zoo.files import data_path
from zoo.specs import WriteOptions, Written
from zoo_exporters.onnx_file import content_hash, read_card, write_card
from zoo_exporters.onnx_run import load

if TYPE_CHECKING:
    from torch import nn

    from zoo_exporters.program import Program

__all__ = ["check", "content_hash", "load", "read_card", "write", "write_card"]

OPSET = 18  # the lowest that torch.onnx writes
# From the oldest to which onnx.version_converter converts a Relu, an Add or a Reshape, to the newest of
# onnxscript.version_converter.
OPSETS = range(14, 26)
PIXELS_OPSET = 15  # the first whose Shape returns one side
MAX_MODEL_BYTES = 2**31 - 1  # what protobuf puts into one message


def write(classifier: nn.Module, path: Path, options: WriteOptions) -> Written:
    """See `zoo.specs.ExporterSpec`.

    Raises:
        UsageError: the opset is not supported, or it lacks an operator of the network.
        ExportError: the network cannot be expressed in ONNX.
    """
    try:
        import onnxscript  # noqa: F401  (torch.onnx needs it)

        from zoo_exporters.divergence import divergence
        from zoo_exporters.onnx_weights import name_transposed
        from zoo_exporters.program import program
        from zoo_exporters.windows import in_plain_operators
    except ImportError:
        raise MissingExtraError("Writing ONNX files", "train") from None
    check(options)
    opset = OPSET if options.opset is None else options.opset
    if options.precision == "int8" and options.calibration is None:
        cause = "The network cannot be quantised without pictures."
        raise ExportError(cause, "Export it with --precision fp16.", code="int8-without-pictures")
    shipped = program(classifier, options)
    in_plain_operators(shipped)
    if sum(p.nbytes for p in shipped.state_dict().values()) > MAX_MODEL_BYTES and not options.external_data:
        raise ExportError(
            "The network has more than 2 GB of parameters, too much for one ONNX file.",
            "Add --external-data to write them into a second file, or export with --torchscript.",
            code="onnx-too-large",
        )
    exported = _exported(shipped, opset)
    # A converter that fails only logs it, and leaves the model unchanged.
    if exported.model.opset_imports[""] != opset:
        raise UsageError(
            f"ONNX opset {opset} does not have all operators of the network.",
            _choice(options),
            code="opset-lacks-operator",
        )
    name_transposed(exported)
    _save(exported.model, path, external_data=options.external_data)
    facts: dict[str, Any] = {"opset": opset, "external_data": options.external_data}
    if options.heatmap:
        facts["heatmap"] = True
    if options.calibration is not None:
        from zoo_exporters.quantise import quantise

        spec: Any = None if options.input == "pixels" else classifier.spec
        facts |= quantise(path, path, options.calibration, spec)
    return Written(facts=facts, divergence=divergence(classifier, exported, path, options))


def check(options: WriteOptions) -> None:
    """See `zoo.specs.ExporterSpec`."""
    opset = OPSET if options.opset is None else options.opset
    if opset not in OPSETS or (options.input == "pixels" and opset < PIXELS_OPSET):
        raise UsageError(f"ONNX opset {opset} is not supported.", _choice(options), code="opset-unsupported")
    if options.precision == "int8" and options.external_data:
        raise UsageError("An int8 model is always one file.", "Remove --external-data.", code="int8-one-file")
    if options.precision == "int8" and options.heatmap:
        remedy = "Remove --heatmap: zoo predict --heatmap works with every file."
        raise UsageError("An int8 file has no heat map of its own.", remedy, code="int8-heatmap")


def _choice(options: WriteOptions) -> str:
    lowest = PIXELS_OPSET if options.input == "pixels" else OPSETS[0]
    return f"Choose --opset {lowest} to {OPSETS[-1]}. Older ones have fewer operators."


def _exported(shipped: Program, opset: int) -> Any:
    """The torch.onnx.ONNXProgram of a program."""
    import torch
    from onnxscript.version_converter import convert_version

    from zoo_exporters.program import FlatAttention, HalfNormalize, quiet

    names = ("batch",) if shipped.tensor_size else ("batch", "height", "width")
    free = dict.fromkeys(range(len(names)), torch.export.Dim.DYNAMIC)
    try:
        with quiet():
            # Not by torch.onnx.export itself: its size-oblivious mode cannot trace the crop.
            with FlatAttention(), HalfNormalize():
                traced = torch.export.export(shipped, (shipped.example(),), dynamic_shapes=(free,), strict=False)
            exported = torch.onnx.export(
                traced,
                dynamo=True,
                opset_version=max(opset, OPSET),
                input_names=["image"],
                output_names=shipped.outputs,
                dynamic_shapes=(dict(enumerate(names)),),
                verbose=False,
            )
            assert exported is not None
            # torch.onnx would convert before it folds BatchNorms and shapes, and fail at more operators.
            if opset < OPSET:
                convert_version(exported.model, opset, fallback=True)
                for node in exported.model.graph.all_nodes():
                    node.attributes.pop("noop_with_empty_axes", None)  # onnx's converter leaves it, unknown before 18
    except OSError:
        raise
    except Exception as error:  # the exporter raises errors of any class
        _note_place(error)
        first = _first_cause(error) if isinstance(error, torch.onnx.OnnxExporterError) else error
        reason = (str(first).strip() or type(first).__name__).splitlines()[0]
        raise ExportError(
            f"The network cannot be written as ONNX: {reason}",
            "Try another format: zoo export --torchscript",
            code="network-not-exported",
        ) from error
    return exported


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__:
        error = error.__cause__
    return error


def _note_place(error: BaseException) -> None:
    """Adds the lines of the network to the error of a converter, whose traceback has only the converter's own."""
    from torch.fx import Node

    for frame, _ in traceback.walk_tb(_first_cause(error).__traceback__):
        node = frame.f_locals.get("node")
        if isinstance(node, Node) and node.meta.get("stack_trace"):
            error.add_note(node.meta["stack_trace"])
            return


def _save(model: Any, path: Path, *, external_data: bool) -> None:
    """Writes an onnx_ir.Model without traces of its maker: stack traces, paths, names of Python modules."""
    import onnx_ir
    from onnx.helper import find_min_ir_version_for, make_opsetid

    graph = model.graph
    for owner in (model, graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        owner.metadata_props.clear()
    for node in graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    # Older runtimes refuse files of a newer IR version, whatever is in them.
    model.ir_version = find_min_ir_version_for([make_opsetid(*pair) for pair in model.opset_imports.items()], True)
    # Not its own `save`: that always moves weights of 1.5 GB and more out of the file.
    onnx_ir.save(model, path, external_data=data_path(path).name if external_data else None)

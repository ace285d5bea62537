"""ONNX files that answer with something other than logits, ask for more than a picture, or read another file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

from .attack import Artifact
from .graphs import FLOAT, IMAGE, INT64, OWN, added, integers, means, model, node, onnx, write


def answers(last: NodeProto, kind: int = FLOAT, shape: Any = ("n", 3), **options: Any) -> ModelProto:
    return model([*means(), last], output=helper.make_tensor_value_info(last.output[0], kind, shape), **options)


def same(**options: Any) -> ModelProto:
    return model([*means(), node("Identity", "means", "logits")], **options)


def reads(place: str, **entries: int) -> ModelProto:
    """A constant that lies in another file."""
    made = model([*means(), *added("w")])
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": place, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    made.graph.initializer.append(tensor)
    return made


def with_data(change: Any, **entries: int) -> Any:
    """Writes the file that the constant lies in, too."""

    def build(path: Path) -> None:
        change(path.with_name(f"{path.name}.data"))
        write(path, reads(f"{path.name}.data", **entries))

    return build


MORE = helper.make_tensor_value_info("more", FLOAT, [3])
ANSWERS = [
    onnx(
        "logits-of-another-shape",
        lambda: answers(node("Concat", "means means", "logits", axis=1), shape=None),
        predict="logits-shape: [1, 6] instead of [1, 3]",
    ),
    onnx(
        "logits-without-a-batch",
        lambda: answers(node("ReduceMean", "means", "logits", keepdims=0), shape=[]),
        predict="logits-shape: [] instead of [1, 3]",
    ),
    onnx(
        "logits-of-half-a-gigabyte",
        lambda: model(
            [*means(), node("Expand", "zero shape", "logits")],
            integers("shape", 1, 2**27),
            output=helper.make_tensor_value_info("logits", FLOAT, None),
        ),
        predict="logits-shape: [1, 134217728]",
        mib=1100,
    ),
    onnx(
        "logits-are-texts",
        lambda: answers(node("Cast", "means", "logits", to=TensorProto.STRING), TensorProto.STRING),
        predict="logits-not-finite",
    ),
    onnx(
        "logits-are-integers",
        lambda: answers(node("Cast", "means", "logits", to=INT64), INT64),
        predict="logits-not-finite",
    ),
    onnx(
        "logits-are-not-finite",
        lambda: answers(node("Div", "means zero", "logits")),
        predict="logits-not-finite",
    ),
    onnx(
        "logits-are-no-numbers",
        lambda: model([*means(), node("Div", "zero zero", "nan"), node("Add", "means nan", "logits")]),
        predict="logits-not-finite",
    ),
    onnx(
        "output-of-another-name",
        lambda: answers(node("Identity", "means", "answer")),
        predict="runtime-failed: Invalid output name",
    ),
    onnx(
        "input-of-another-name",
        lambda: model(
            [node("Identity", "img", "image"), *means("logits")],
            inputs=[helper.make_tensor_value_info("img", TensorProto.UINT8, ["n", "h", "w", 3])],
        ),
        predict="runtime-failed: Required inputs (['img'])",
    ),
    onnx(
        "another-input-required",
        lambda: model([*means(), node("Add", "means more", "logits")], inputs=[IMAGE, MORE]),
        predict="runtime-failed: Required inputs (['more'])",
    ),
    onnx(
        "unknown-operator",
        lambda: answers(node("Backdoor", "means", "logits", domain=OWN)),
        load="runtime-refuses: not a registered function/op",
    ),
    onnx(
        "python-operator",
        lambda: answers(node("PythonOp", "means", "logits", domain="com.microsoft")),
        load="runtime-refuses: not a registered function/op",
    ),
    onnx(
        "goes-round",
        lambda: model([*means(), node("Add", "means b", "a"), node("Neg", "a", "b"), node("Identity", "a", "logits")]),
        load="runtime-refuses: not acyclic",
    ),
    onnx("opset-of-the-future", lambda: same(opset=999), load="runtime-refuses: onnxruntime"),
    onnx(
        "reads-outside-a-tensor",
        lambda: model([*means(), node("Gather", "means far", "logits", axis=1)], integers("far", 0, 1, 2**40)),
        predict="runtime-failed: out of data bounds",
    ),
    onnx("data-of-another-file", lambda: reads("../model.onnx.data"), card="foreign-weights: '../model.onnx.data'"),
    Artifact(
        "data-offset-of-2^62.onnx",
        with_data(lambda data: data.write_bytes(bytes(8)), offset=2**62, length=2**62),
        card="incomplete-weights",
    ),
    Artifact(
        "data-below-0.onnx",
        with_data(lambda data: data.write_bytes(bytes(8)), offset=-8, length=8),
        card="damaged-file",
    ),
    Artifact(
        "data-is-a-link.onnx",
        with_data(lambda data: data.symlink_to("/etc/passwd"), offset=0, length=8),
        card="linked-weights",
    ),
    Artifact("data-is-a-folder.onnx", with_data(Path.mkdir, offset=0, length=8), card="missing-weights"),
]

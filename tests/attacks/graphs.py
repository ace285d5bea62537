"""Small ONNX graphs: pixels in, the mean of each colour as logits out, and something hostile on the way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper

from zoo.artifacts.card import Card
from zoo_exporters import onnx_file

from ..cards import any_card
from .attack import Artifact

FLOAT, INT64, BOOL, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.UINT8
OWN = "own"  # a domain that no runtime knows
IMAGE = helper.make_tensor_value_info("image", UINT8, ["n", "h", "w", 3])
LOGITS = helper.make_tensor_value_info("logits", FLOAT, ["n", 3])
NOT_PREDICTED = tuple((0.0, 0.0, 0.0) for _ in range(7))  # answers to the synthetic pictures that are wrong


card = partial(
    any_card,
    reference={"pictures": 1, "logits": NOT_PREDICTED, "spread": 1.0, "tolerance": 0.1},
)


def text(model: Card, **changes: Any) -> str:
    """A card's JSON, with values that a card does not take."""
    return json.dumps(json.loads(model.model_dump_json()) | changes)


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    """Inputs and outputs are names with spaces between; `-` is an input that is left out."""
    return helper.make_node(kind, [name.strip("-") for name in inputs.split()], outputs.split(), **attributes)


def integers(name: str, *values: int) -> TensorProto:
    return helper.make_tensor(name, INT64, [len(values)], values)


def number(name: str, value: float, kind: int = FLOAT) -> TensorProto:
    return helper.make_tensor(name, kind, [], [value])


CONSTANTS = [integers("axes", 1, 2), number("zero", 0.0), number("yes", True, BOOL), integers("one", 1)]


def means(name: str = "means") -> list[NodeProto]:
    return [node("Cast", "image", "pixels", to=FLOAT), node("ReduceMean", "pixels axes", name, keepdims=0)]


def added(value: str) -> list[NodeProto]:
    """The means and 0 times a value, of which all elements count."""
    return [
        node("ReduceMax", value, "highest", keepdims=0),
        node("Mul", "highest zero", "nothing"),
        node("Add", "means nothing", "logits"),
    ]


def model(
    nodes: Iterable[NodeProto],
    *constants: TensorProto,
    inputs: Iterable[Any] = (IMAGE,),
    output: Any = LOGITS,
    functions: Iterable[FunctionProto] = (),
    opset: int = 18,
) -> ModelProto:
    graph = helper.make_graph(list(nodes), "attack", list(inputs), [output], [*CONSTANTS, *constants])
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(OWN, 1), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10, functions=list(functions))


def write(path: Path, written: ModelProto, **changes: Any) -> None:
    """The file with a card whose hash is right."""
    path.write_bytes(written.SerializeToString())
    if "content_hash" not in changes:
        try:
            changes["content_hash"] = onnx_file.content_hash(path)
        except Exception:  # refused already
            changes["content_hash"] = "sha256:0"
    entry = onnx_file.field(1, b"zoo.card") + onnx_file.field(2, card(**changes).model_dump_json().encode())
    with path.open("ab") as file:
        file.write(onnx_file.field(14, entry))


def onnx(name: str, build: Any, **expected: Any) -> Artifact:
    """Builds the model when it is written."""
    return Artifact(f"{name}.onnx", lambda path: write(path, build()), **expected)

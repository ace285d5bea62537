"""ONNX files that onnxruntime should not run for ever, or fill the memory with."""

from __future__ import annotations

from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

from .attack import ENDLESS
from .graphs import BOOL, FLOAT, INT64, OWN, added, integers, means, model, node, number, onnx

NO_MEMORY = "too-little-memory"


def loop(trips: str, *, collected: bool = False) -> list[NodeProto]:
    """Doubles a number; `-` trips are endless; each value is kept where they are collected."""
    info = helper.make_tensor_value_info
    body = [node("Identity", "go", "on"), node("Add", "x x", "doubled"), node("Identity", "doubled", "kept")]
    inputs = [info("i", INT64, []), info("go", BOOL, []), info("x", FLOAT, [])]
    outputs = [info("on", BOOL, []), info("doubled", FLOAT, []), info("kept", FLOAT, [])][: 2 + collected]
    graph = helper.make_graph(body[: 2 + collected], "body", inputs, outputs)
    start = node("ReduceMean", "means", "start", keepdims=0)
    return [start, node("Loop", f"{trips} yes start", "end all"[: 3 + 4 * collected], body=graph)]


def filled(*shape: int) -> ModelProto:
    return model([*means(), node("ConstantOfShape", "shape", "huge"), *added("huge")], integers("shape", *shape))


def doubled(times: int) -> ModelProto:
    """A tensor of one number, joined with itself again and again."""
    start = [*means(), node("ReduceMean", "means", "m", keepdims=0), node("Reshape", "m one", "t0")]
    joined = [node("Concat", f"t{i} t{i}", f"t{i + 1}", axis=0) for i in range(times)]
    return model([*start, *joined, *added(f"t{times}")])


def folded(times: int) -> ModelProto:
    """Products of constants, which onnxruntime computes while it opens the file."""
    products = [node("MatMul", f"q{i} q{i}", f"q{i + 1}") for i in range(times)]
    return model(
        [*means(), node("ConstantOfShape", "shape", "q0"), *products, *added(f"q{times}")],
        integers("shape", 4000, 4000),
    )


def resized(scale: float) -> ModelProto:
    nodes = [
        node("Cast", "image", "pixels", to=FLOAT),
        node("Transpose", "pixels", "planes", perm=[0, 3, 1, 2]),
        node("Resize", "planes - scales", "large", mode="nearest"),
        node("ReduceMean", "large last", "logits", keepdims=0),
    ]
    return model(nodes, helper.make_tensor("scales", FLOAT, [4], [1, 1, scale, scale]), integers("last", 2, 3))


def chain(length: int) -> ModelProto:
    return model(
        [
            *means("x0"),
            *(node("Neg", f"x{i}", f"x{i + 1}") for i in range(length)),
            node("Identity", f"x{length}", "logits"),
        ]
    )


def functions(*bodies: list[str]) -> ModelProto:
    """Functions f0, f1, …, each the chain of those it names."""
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(OWN, 1)]
    made = []
    for number_, body in enumerate(bodies):
        names = ["x", *(f"a{i}" for i in range(len(body) - 1)), "y"]
        nodes = [
            helper.make_node(kind, [names[i]], [names[i + 1]], domain=OWN if kind.startswith("f") else "")
            for i, kind in enumerate(body)
        ]
        made.append(helper.make_function(OWN, f"f{number_}", ["x"], ["y"], nodes, imports))
    return model([*means(), node("f0", "means", "logits", domain=OWN)], functions=made)


def nested(depth: int) -> ModelProto:
    """An If in an If, as deep as protobuf's Python allows."""
    output = helper.make_tensor_value_info("inner", FLOAT, None)
    graph = helper.make_graph([node("Identity", "means", "inner")], "branch", [], [output])
    for _ in range(depth):
        choice = node("If", "yes", "inner", then_branch=graph, else_branch=graph if depth < 2 else empty())
        graph = helper.make_graph([choice], "branch", [], [output])
    return model([*means(), node("If", "yes", "logits", then_branch=graph, else_branch=empty())])


def empty() -> Any:
    output = helper.make_tensor_value_info("other", FLOAT, None)
    return helper.make_graph([node("Identity", "means", "other")], "branch", [], [output])


def sparse(length: int, *places: int) -> ModelProto:
    """A sparse constant."""
    made = model([*means(), *added("sparse")])
    values = helper.make_tensor("sparse", FLOAT, [len(places)], [1.0] * len(places))
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, integers("places", *places), [length]))
    return made


def claims_data(size: int) -> ModelProto:
    made = model([*means(), *added("w")])
    made.graph.initializer.append(TensorProto(name="w", data_type=FLOAT, dims=[size]))
    return made


LATE = "no answer within 2 seconds"
ONNX = [
    onnx("loop-endless", lambda: model([*means(), *loop("-"), *added("end")]), predict=ENDLESS, verify=LATE),
    onnx(
        "loop-2^40",
        lambda: model([*means(), *loop("trips"), *added("end")], number("trips", 2**40, INT64)),
        predict=ENDLESS,
        verify=LATE,
        slow=True,
    ),
    onnx("products-of-constants", lambda: folded(100), load=ENDLESS, slow=True),
    onnx("fills-2^40", lambda: filled(2**40), predict=NO_MEMORY),
    onnx("fills-2^33-when-folded", lambda: filled(2**33), predict=NO_MEMORY),
    onnx("fills-below-0", lambda: filled(-1), load="runtime-refuses: onnxruntime"),
    onnx("doubles-40-times", lambda: doubled(40), predict=NO_MEMORY, mib=2100, seconds=20),
    onnx(
        "expands-to-2^40",
        lambda: model([*means(), node("Expand", "zero shape", "huge"), *added("huge")], integers("shape", 2**40)),
        predict=NO_MEMORY,
    ),
    onnx(
        "tiles-2^62",
        lambda: model(
            [*means(), node("Tile", "one n", "huge"), node("Cast", "huge", "cast", to=FLOAT), *added("cast")],
            integers("n", 2**62),
        ),
        predict="runtime-failed: 8 x 8",
    ),
    onnx(
        "range-to-2^40",
        lambda: model(
            [*means(), node("Range", "from to step", "huge"), *added("huge")],
            number("from", 0),
            number("to", 2**40),
            number("step", 1),
        ),
        predict=NO_MEMORY,
    ),
    onnx("resizes-a-million-times", lambda: resized(1e6), predict=NO_MEMORY),
    onnx("29,000-nodes", lambda: chain(29_000), seconds=20, mib=200, slow=True),
    onnx("a-node-too-many", lambda: chain(30_000), card="too-many-nodes: 30,000"),
    onnx("function-calls-itself", lambda: functions(["f0"]), card="foreign-function"),
    # Each calls the next twice: 2^30 nodes when they are put in place, in a file of 3 KB.
    onnx(
        "functions-that-multiply",
        lambda: functions(*([f"f{i + 1}"] * 2 for i in range(30)), ["Neg"]),
        card="foreign-function",
    ),
    onnx("if-20-deep", lambda: nested(20)),
    onnx("sparse-index-2^40", lambda: sparse(3, 0, 2**40), load="runtime-refuses: onnxruntime"),
    onnx("sparse-of-2^36", lambda: sparse(2**36, 0), load="runtime-refuses: onnxruntime"),
    onnx("constant-of-2^36-without-data", lambda: claims_data(2**36), load="runtime-refuses: onnxruntime"),
    onnx(
        "texts-as-constants",
        lambda: model(
            [*means(), node("Identity", "means", "logits")],
            helper.make_tensor("s", TensorProto.STRING, [1], [b"\x1b[2J"]),
        ),
    ),
]

"""Files of hostile or slow programs, and what is left of a process that was ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from zoo.parity.synthetic import VERSION

from .cards import any_card

FOR_EVER = 2**62
CLASSES = ("bar", "line", "slope")


card = partial(
    any_card,
    classes=CLASSES,
    dataset={"name": "bars", "source": "bars"},
    recipe={"dataset": "bars"},
    metrics={"top1": 1.0, "num_pictures": 18},
    parity={"max": 1e-6, "top1_agreement": 1.0, "pictures": 18},
    reference={"pictures": VERSION, "logits": ((0.0,) * 3,) * 7, "spread": 1.0, "tolerance": 1e-4},
)


def write_loop(path: Path, trips: int = FOR_EVER) -> Path:
    """An ONNX file whose answer, the means of the colours, goes round a loop so many times."""
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["goes_on"], ["still"]), helper.make_node("Tanh", ["before"], ["after"])],
        "body",
        [value("i", TensorProto.INT64, []), value("goes_on", TensorProto.BOOL, []), value("before", 1, None)],
        [value("still", TensorProto.BOOL, []), value("after", 1, None)],
    )
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("Loop", ["trips", "true", "means"], ["logits"], body=body),
    ]
    tensors = [
        helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
        helper.make_tensor("trips", TensorProto.INT64, [], [trips]),
        helper.make_tensor("true", TensorProto.BOOL, [], [True]),
    ]
    return _saved(path, nodes, tensors)


def write_slow_to_open(path: Path) -> Path:
    """An ONNX file that onnxruntime rewrites for hours before it runs it: powers of a large constant."""
    from onnx import TensorProto, helper

    tiny = helper.make_tensor("value", TensorProto.FLOAT, [1], [1e-4])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["power0"], value=tiny),
        *(helper.make_node("MatMul", [f"power{n}"] * 2, [f"power{n + 1}"]) for n in range(1000)),
        helper.make_node("ReduceMean", ["power1000"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("Add", ["means", "mean"], ["logits"]),
    ]
    tensors = [
        helper.make_tensor("shape", TensorProto.INT64, [2], [3000, 3000]),
        helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
    ]
    return _saved(path, nodes, tensors)


def _saved(path: Path, nodes, tensors) -> Path:
    from onnx import TensorProto, helper, save_model

    from zoo_exporters import onnx as format_onnx

    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        tensors,
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    format_onnx.write_card(path, card(content_hash=format_onnx.content_hash(path)).sealed())
    return path


def start(*arguments: object) -> subprocess.Popen[str]:
    """The command `zoo`, in a session of its own, by which its children are found."""
    command = [sys.executable, "-m", "zoo", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def members(session: int) -> dict[int, str]:
    """The living processes of a session, with their command lines."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            state, _, _, own = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(own) == session and state not in "ZX":
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):  # none of a process, or of one that has ended
            continue
    return found


def wait_for(condition, seconds: float = 60.0):
    """What the condition gives as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)
    return found


def ended(process: subprocess.Popen[str], how: signal.Signals, seconds: float = 20.0) -> tuple[int, str, float]:
    """Sends a signal; returns exit code, stderr and how long the end took."""
    begun = time.monotonic()
    process.send_signal(how)
    try:
        said = process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        for pid in {process.pid, *members(process.pid)}:  # children hold the pipe open
            os.kill(pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, said, time.monotonic() - begun

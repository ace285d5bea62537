"""Runs the part of a TorchScript program behind its resize, with the weights that are loaded already.

As in `zoo_exporters.onnx_behind_resize`, comparing both ways on some pictures proves nothing about an untrusted file.
Its program must be what `zoo export` writes: `network(preprocess(image))`. Its preprocessing must have the same code
and numbers as the one that PyTorch makes here from the card.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.artifacts.card import Card
from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess import Preprocess
from zoo_exporters.archive import Archive
from zoo_exporters.program import quiet

_CALLS = [("preprocess", "forward"), ("network", "forward")]
_NUMBERS = ("size", "squash", "grey", "numerator", "denominator")
# Names that PyTorch numbers anew in each process, and positions of lines.
_INCIDENTAL = re.compile(r"\.___torch_mangle_\d+| # .*")


def behind_resize(module: Any, path: Path, archive: Archive) -> Callable[[Tensor], Tensor] | None:
    """Takes a program and its file; returns what takes float32 `[N, 3, S, S]` in 0..255 to logits `[N, K]`, or None."""
    try:
        text = archive.read_card(path)
        card = None if text is None else Card.parse(text)
        if card is None or card.input != "pixels" or not _is_a_classifier(module):
            return None
        if not _is_of(module.preprocess, card.preprocess):
            return None
    except Exception:  # PyTorch raises errors of any class if a program lacks these parts
        return None

    def run(values: Tensor) -> Tensor:
        logits: Tensor = module.network(module.preprocess.normalise(values))
        return logits

    return run


def _is_a_classifier(module: Any) -> bool:
    """Whether a program calls only its preprocessing, its network and softmax."""
    nodes = [node for node in module.graph.nodes() if node.kind() != "prim::Constant"]
    kinds = sorted(node.kind() for node in nodes)
    calls = [node for node in nodes if node.kind() == "prim::CallMethod"]
    if kinds != sorted([*["prim::GetAttr", "prim::CallMethod"] * 2, "aten::softmax", "prim::TupleConstruct"]):
        return False
    said = [(next(call.inputs()).node().s("name"), call.s("name")) for call in calls]
    _, image = module.graph.inputs()
    values = [image, *(call.output() for call in calls)]
    flows = all(list(call.inputs())[1:] == [value] for call, value in zip(calls, values, strict=False))
    return said == _CALLS and flows and next(nodes[-1].inputs()) == values[-1]


def _is_of(preprocess: Any, spec: PreprocessSpec) -> bool:
    jit: Any = torch.jit
    buffer = io.BytesIO()
    with quiet():
        jit.save(jit.script(Preprocess(spec)), buffer)
        buffer.seek(0)
        own = jit.load(buffer)
    same_code = all(
        _INCIDENTAL.sub("", str(getattr(preprocess, name).inlined_graph))
        == _INCIDENTAL.sub("", str(getattr(own, name).inlined_graph))
        for name in ("forward", "resize", "normalise")
    )
    return same_code and all(getattr(preprocess, name) == getattr(own, name) for name in _NUMBERS)

"""Ten layouts of checkpoints that plain PyTorch writes, and what holds no weights, or more than weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path, PosixPath
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from zoo.errors import WeightsError
from zoo.models.pretrained import load_all
from zoo.models.weights_files import read_state_dict, without_prefix

from ..networks import Small
from ..refusals import refused
from .test_weights import spec_of

SPEC = spec_of({})


@pytest.fixture
def network():
    """With statistics that differ from those of a new network."""
    torch.manual_seed(3)
    network = SPEC.build(3)
    network(torch.randn(8, 3, 8, 8))
    return network.eval()


def prefixed(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


class AttributeDict(dict):
    """As Lightning's: its module is changed to that name below."""


def lightning(state):
    """What `Trainer.save_checkpoint` writes, with hyperparameters of several kinds."""
    AttributeDict.__module__ = "lightning.fabric.utilities.data"
    AttributeDict.__qualname__ = "AttributeDict"
    return {
        "epoch": 4,
        "global_step": 40,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": prefixed(state, "model."),
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.1}]}],
        "callbacks": {"ModelCheckpoint{}": {"best_model_score": torch.tensor(0.5), "dirpath": "x"}},
        "hyper_parameters": AttributeDict(
            root=PosixPath("/data"), options=argparse.Namespace(lr=0.1), rate=np.float64(0.1), sizes=np.arange(3)
        ),
    }


def averaged(state):
    """What torchvision's reference training writes."""
    ema = {"n_averaged": torch.tensor(7), **prefixed(state, "module.")}
    return {"model": {name: torch.zeros_like(value) for name, value in state.items()}, "model_ema": ema, "epoch": 3}


LAYOUTS = {
    "state dict": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "best_acc1": torch.tensor(0.5)},
    "model": lambda state: {"model": state, "optimizer": {"state": {}}, "args": argparse.Namespace(lr=0.1)},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": np.float32(0.5)},
    "ema before model": averaged,
    "timm's average": lambda state: {
        "state_dict": {name: torch.zeros_like(value) for name, value in state.items()},
        "state_dict_ema": state,
        "arch": "tiny",
    },
    "data parallel": lambda state: prefixed(state, "module."),
    "compiled and parallel": lambda state: {"model": prefixed(state, "_orig_mod.module.")},
    "backbone in a module": lambda state: {"state_dict": prefixed(state, "net.backbone.")},
    "lightning": lightning,
    "half precision": lambda state: {name: value.half() for name, value in state.items()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_gives_the_same_network(tmp_path, network, layout):
    path = tmp_path / "weights.pt"
    save_unchecked(LAYOUTS[layout](network.state_dict()), path)
    read = SPEC.build(3)
    load_all(read, SPEC, path, 3)
    pictures = torch.randn(4, 3, 8, 8)
    close = 1e-2 if layout == "half precision" else 0
    torch.testing.assert_close(read.eval()(pictures), network(pictures), rtol=0, atol=close)


def save_unchecked(value, path):
    """`torch.save`, though the module of a class is not installed here."""
    parts = AttributeDict.__module__.split(".") if AttributeDict.__module__.startswith("lightning.") else []
    modules = {".".join(parts[: end + 1]): ModuleType(".".join(parts[: end + 1])) for end in range(len(parts))}
    for module in modules.values():
        module.AttributeDict = AttributeDict
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        torch.save(value, path)


def test_safetensors_and_the_prefix_of_a_module(tmp_path, network):
    save_file(prefixed(network.state_dict(), "model."), tmp_path / "weights.safetensors")
    read = SPEC.build(3)
    load_all(read, SPEC, tmp_path / "weights.safetensors", 3)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in read.state_dict().items())


def test_the_names_of_a_network_are_no_prefix():
    entries = {"model.model.weight": torch.zeros(1), "model.model.bias": torch.zeros(1)}
    assert list(without_prefix(entries, ["model.weight", "model.bias"])) == ["model.weight", "model.bias"]
    assert without_prefix(entries, list(entries)) is entries


def test_our_own_checkpoint(trained):
    """The last epoch of a training of the whole network; best.safetensors beside it may be of another."""
    state = read_state_dict(trained.path / "last.ckpt")
    assert state.keys() == trained.weights().keys()


def test_a_checkpoint_within_the_head_is_refused(tmp_path):
    held = {"progress": {}, "network": {"a": torch.zeros(1)}, "phase_best": {"weight": torch.zeros(1)}}
    torch.save(held, tmp_path / "last.ckpt")
    with refused("checkpoint-without-head", "best.safetensors", kind=WeightsError):
        read_state_dict(tmp_path / "last.ckpt")


def scripted(path):
    torch.jit.trace(Small().eval(), torch.zeros(1, 3, 16, 16)).save(path)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "write", "fact"),
    [
        ("model.onnx", lambda path: path.write_bytes(b"\x08\x0a\x12\x07pytorch"), "an ONNX file"),
        ("model.pth", lambda path: path.write_bytes(b"\x08\x0a\x12\x07pytorch"), "an ONNX file"),
        ("model.pt", scripted, "a TorchScript file"),
        ("model.h5", lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40)), "Keras"),
    ],
)
def test_a_program_is_refused_as_what_it_is(tmp_path, name, write, fact):
    path = tmp_path / name
    write(path)
    with refused("program-not-weights", path, fact, kind=WeightsError) as caught:
        read_state_dict(path)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("wrap", [lambda network: network, lambda network: {"model": network, "epoch": 3}])
def test_a_pickled_network_is_refused_with_the_lines_that_save_its_weights(tmp_path, wrap):
    torch.save(wrap(Small()), tmp_path / "net.pt")
    with refused("pickled-network", "tests.networks.Small", kind=WeightsError) as caught:
        read_state_dict(tmp_path / "net.pt")
    assert [line.strip() for line in caught.value.remedy.splitlines()[1:]] == [
        "state = network.state_dict()",
        'torch.save(state, "weights.pt")',
    ]
    assert "weights_only" not in str(caught.value)


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_runs(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1)}, "x": Runs(tmp_path / "ran")}, tmp_path / "x.pt")
    with refused("pickled-network", kind=WeightsError):
        read_state_dict(tmp_path / "x.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "code", "facts"),
    [
        (lambda s: s, "other-number-of-classes", ("for 5 classes", "3 are named")),
        (lambda s: {k: v for k, v in s.items() if not k.startswith("head.")}, "missing-weights", ("head.weight",)),
        (lambda s: {**s, "criterion.weight": torch.zeros(3)}, "unknown-weights", ("criterion.weight",)),
        (
            lambda s: {k.replace("head", "fc"): v for k, v in s.items()},
            "missing-weights",
            ("missing (head.weight, head.bias)", "does not have these entries (fc.weight, fc.bias)"),
        ),
    ],
)
def test_a_head_or_an_entry_that_does_not_fit_is_named(tmp_path, change, code, facts):
    classes = 5 if code == "other-number-of-classes" else 3
    torch.save(change(SPEC.build(classes).state_dict()), tmp_path / "x.pt")
    with refused(code, *facts, kind=WeightsError):
        load_all(SPEC.build(3), SPEC, tmp_path / "x.pt", 3)

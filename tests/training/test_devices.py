"""Where a training computes: what is asked for, what a machine has, and what Fabric is told."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric

from zoo.errors import UsageError
from zoo.recipes.recipe import Recipe
from zoo.training import devices
from zoo.training.devices import choose_device, choose_machine, placed
from zoo.training.distributed import count_processes


def recipe(**options) -> Recipe:
    return Recipe.make(backbone="tiny", dataset="bars", **options)


@pytest.fixture
def machine(monkeypatch):
    """Makes a machine with so many devices of each kind."""

    def make(**counts):
        monkeypatch.setattr(devices, "count", lambda kind: counts.get(kind, 4 if kind == "cpu" else 0))
        monkeypatch.setattr("zoo.training.distributed.count", devices.count)

    return make


@pytest.mark.parametrize(
    ("counts", "chosen"),
    [
        ({}, "cpu"),
        ({"xpu": 1}, "xpu"),
        ({"xpu": 1, "mps": 1}, "mps"),
        ({"xpu": 1, "mps": 1, "cuda": 2}, "cuda"),
    ],
)
def test_auto_takes_the_best_that_there_is(machine, counts, chosen):
    machine(**counts)
    device, why = choose_device("auto")
    assert device == chosen
    assert "found" in why


@pytest.mark.parametrize(
    ("asked", "cause", "remedy"),
    [
        ("cuda", "finds no NVIDIA or AMD GPU", "--device cpu"),
        ("mps", "finds no Apple GPU", "--device cpu"),
        ("xpu:0", "finds no Intel GPU", "--device cpu"),
    ],
)
def test_what_a_machine_does_not_have_is_said(machine, asked, cause, remedy):
    machine()
    with pytest.raises(UsageError, match=cause) as error:
        choose_device(asked)
    assert remedy in error.value.remedy


def test_one_of_several_has_a_number(machine):
    machine(cuda=2)
    assert choose_device("cuda:1") == ("cuda:1", "")
    assert placed("cuda:1", 1) == {"accelerator": "cuda", "devices": [1]}
    assert placed("cuda", 2) == {"accelerator": "cuda", "devices": 2}
    with pytest.raises(UsageError, match="no device cuda:2") as error:
        choose_device("cuda:2")
    assert error.value.remedy == "Give --device cuda:0 to cuda:1."
    assert count_processes("cuda", 2, None, 64) == (2, 1)
    with pytest.raises(UsageError, match="cuda:1 is one device, and 2 processes need one each"):
        count_processes("cuda:1", 2, None, 64)


@pytest.mark.parametrize("kind", ["mps", "xpu"])
def test_other_gpus_compute_in_fp32(machine, kind):
    machine(**{kind: 1})
    assert choose_machine("auto", "auto")[:2] == (kind, "fp32")
    with pytest.raises(UsageError, match=f"Training on {kind} computes in fp32"):
        choose_machine(kind, "bf16")


def test_fabric_takes_an_intel_gpu(monkeypatch):
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    fabric = Fabric(precision="32-true", **placed("xpu:1", 1))
    assert fabric.device == torch.device("xpu", 1)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:1", "mps:0", ""])
def test_other_words_are_refused(device):
    with pytest.raises(UsageError, match=f"device cannot be '{device}'"):
        recipe(device=device)

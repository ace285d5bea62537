"""Weights policies: what loads, what falls back and what fails."""

from __future__ import annotations

import re
import socket
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from zoo.errors import WeightsError
from zoo.models.pretrained import load_weights
from zoo.specs import BackboneSpec, Stage, WeightsSpec
from zoo_torchvision import fetch
from zoo_torchvision.backbones import specs

from ..refusals import refused

SPECS = {spec.name: spec for spec in specs()}


def build(num_classes: int) -> nn.Module:
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(OrderedDict(body=body, head=nn.Linear(4, num_classes)))


def stages(_: nn.Module) -> list[Stage]:
    return [Stage("body", ("body",)), Stage("head", ("head",))]


def spec_of(state, **fields) -> BackboneSpec:
    weights = WeightsSpec(name="V1", load=lambda: state, image_size=64, licence="CC0", **fields)
    return BackboneSpec(name="tiny", build=build, head="head", stages=stages, weights=weights)


def without_weights() -> BackboneSpec:
    return replace(spec_of({}), weights=None)


def unreachable() -> BackboneSpec:
    def load():
        raise OSError("no route to host")

    spec = spec_of({})
    return replace(spec, weights=replace(spec.weights, load=load))


def same(network: nn.Module, state, but: tuple[str, ...] = ()) -> bool:
    own = network.state_dict()
    return all(torch.equal(own[key], state[key]) for key in own if not key.startswith(but))


def test_none_leaves_the_network_alone():
    network = build(3)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    report = load_weights(network, spec_of(build(3).state_dict()), "none")
    assert (report.name, report.pretrained, report.spec) == ("none", False, None)
    assert same(network, before)


@pytest.mark.parametrize("policy", ["auto", "pretrained"])
@pytest.mark.parametrize("published_classes", [9, 3])
def test_published_weights_fill_all_but_the_head(policy, published_classes):
    state = build(published_classes).state_dict()
    network, spec = build(3), spec_of(state)
    fresh = network.head.weight.clone()
    report = load_weights(network, spec, policy)
    assert (report.name, report.pretrained, report.licence, report.note) == ("V1", True, "CC0", "")
    assert report.spec is spec.weights
    assert same(network, state, but=("head.",))
    assert torch.equal(network.head.weight, fresh)


def test_auto_says_what_it_fell_back_to():
    report = load_weights(build(3), unreachable(), "auto")
    assert (report.name, report.pretrained, report.spec) == ("none", False, None)
    assert report.note == (
        "The weights V1 of tiny could not be loaded: no route to host. The network starts from random weights."
    )
    assert load_weights(build(3), without_weights(), "auto").note.startswith("tiny has no pretrained weights.")


@pytest.mark.parametrize(
    ("make", "code", "fact"),
    [
        (unreachable, "weights-unavailable", "no route to host"),
        (without_weights, "no-pretrained-weights", "tiny"),
    ],
)
def test_pretrained_fails_without_weights(make, code, fact):
    with refused(code, fact, kind=WeightsError) as caught:
        load_weights(build(3), make(), "pretrained")
    assert "--weights none" in caught.value.remedy
    assert "efficientnet_lite0" in caught.value.remedy


@pytest.mark.parametrize("policy", ["auto", "pretrained"])
def test_auxiliary_entries_are_ignored_and_others_are_not(policy):
    state = {**build(9).state_dict(), "aux1.weight": torch.zeros(1)}
    assert load_weights(build(3), spec_of(state, ignore=("aux1.",)), policy).pretrained
    with refused("unknown-weights", "V1", "(aux1.weight)", kind=WeightsError):
        load_weights(build(3), spec_of(state), policy)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_file_with_and_without_a_fitting_head(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    state = build(3).state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    network, spec = build(3), spec_of({})
    report = load_weights(network, spec, str(path))
    assert (report.name, report.pretrained, report.note, report.spec) == (path.name, True, "", spec.weights)
    assert same(network, state)

    other = build(5)
    fresh = other.head.weight.clone()
    assert "The head starts from random weights" in load_weights(other, spec, str(path)).note
    assert same(other, state, but=("head.",))
    assert torch.equal(other.head.weight, fresh)


@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_wrappers_are_taken_off(tmp_path, key):
    state = build(3).state_dict()
    prefixed = {f"module.{name}": value for name, value in state.items()}
    torch.save({key: prefixed, "epoch": 3}, tmp_path / "last.pth")
    network = build(3)
    load_weights(network, spec_of({}), str(tmp_path / "last.pth"))
    assert same(network, state)


def without(state, key):
    return {name: value for name, value in state.items() if name != key}


@pytest.mark.parametrize(
    ("change", "code", "fact"),
    [
        (lambda s: without(s, "body.0.weight"), "missing-weights", "(body.0.weight)"),
        (lambda s: {**s, "extra": torch.zeros(1)}, "unknown-weights", "(extra)"),
        (lambda s: {**s, "body.0.bias": torch.zeros(7)}, "weights-of-another-shape", "(body.0.bias)"),
        (
            lambda s: {f"a{i}": v for i, v in enumerate(s.values())},
            "missing-weights",
            "(body.0.weight, body.0.bias, body.1.weight and 3 more)",
        ),
    ],
)
def test_file_that_does_not_fit_is_refused_by_entry(tmp_path, change, code, fact):
    torch.save(change(build(3).state_dict()), tmp_path / "x.pt")
    with refused(code, f"'{tmp_path / 'x.pt'}'", fact, kind=WeightsError):
        load_weights(build(3), spec_of({}), str(tmp_path / "x.pt"))


class Foreign:
    pass


@pytest.mark.parametrize(
    ("name", "write", "code"),
    [
        ("absent.pt", lambda path: None, "missing-weights-file"),
        ("pretraind", lambda path: None, "missing-weights-file"),
        ("empty.pt", lambda path: path.write_bytes(b""), "unreadable-weights-file"),
        ("noise.pth", lambda path: path.write_bytes(b"not a pickle" * 50), "unreadable-weights-file"),
        ("noise.safetensors", lambda path: path.write_bytes(b"\xff" * 50), "unreadable-weights-file"),
        ("code.pt", lambda path: torch.save({"x": Foreign()}, path), "pickled-network"),
        ("list.pt", lambda path: torch.save([1, 2], path), "file-without-state-dict"),
        ("numbers.pt", lambda path: torch.save({"epoch": 3}, path), "file-without-state-dict"),
        ("nothing.pt", lambda path: torch.save({}, path), "file-without-state-dict"),
    ],
)
def test_file_that_holds_no_weights(tmp_path, monkeypatch, name, write, code):
    monkeypatch.chdir(tmp_path)
    write(Path(name))
    with refused(code, f"'{name}'", kind=WeightsError):
        load_weights(build(3), spec_of({}), name)


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "cut.pt"
    torch.save(build(3).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-300])
    with refused("unreadable-weights-file", f"'{path}'", kind=WeightsError):
        load_weights(build(3), spec_of({}), str(path))


def publish(name: str, state) -> Path:
    """Puts a state dict where torch.hub keeps the file of these weights."""
    url = torchvision.models.get_model_weights(name)[SPECS[name].weights.name].url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def test_torchvision_weights_come_from_torch_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    spec = SPECS["resnet18"]
    state = spec.build(1000).state_dict()
    path = publish("resnet18", state)
    assert path.is_relative_to(tmp_path)
    network = spec.build(4)
    for policy in ("auto", "pretrained"):
        nn.init.zeros_(network.conv1.weight)
        report = load_weights(network, spec, policy)
        assert (report.name, report.pretrained) == ("IMAGENET1K_V1", True)
        assert same(network, state, but=("fc.",))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_published_auxiliary_heads_are_left_out(name, monkeypatch):
    # Truncated normal initialisation takes ten times longer, and its values do not matter here.
    monkeypatch.setattr(nn.init, "trunc_normal_", lambda tensor, *_, **__: nn.init.normal_(tensor))
    complete = torchvision.models.get_model(name, aux_logits=True, init_weights=False)
    state = complete.state_dict()
    publish(name, state)
    network = SPECS[name].build(4)
    assert load_weights(network, SPECS[name], "pretrained").pretrained
    assert same(network, state, but=("fc.",))
    assert len(state) > len(network.state_dict())


def test_published_densenets_keep_their_old_names():
    spec = SPECS["densenet121"]
    state = spec.build(1000).state_dict()
    old = OrderedDict()
    for key, value in state.items():
        if key.endswith("num_batches_tracked"):
            continue
        old[re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key)] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    path = publish("densenet121", old)
    network = spec.build(4)
    for policy in ("pretrained", str(path)):
        nn.init.zeros_(network.features.conv0.weight)
        load_weights(network, spec, policy)
        assert same(network, state, but=("classifier.",))


def test_formats_without_a_version_are_taken_for_the_network_s_own(tmp_path):
    spec = SPECS["mnasnet0_5"]
    state = spec.build(4).state_dict()
    save_file(state, tmp_path / "m.safetensors")
    network = spec.build(4)
    load_weights(network, spec, str(tmp_path / "m.safetensors"))
    assert same(network, state)


def no_address(*_, **__):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_without_a_network_torchvision_says_where_the_file_belongs(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    spec = SPECS["resnet18"]
    network = spec.build(4)
    facts = ("Name or service not known", "resnet18-f37072fd.pth' does not exist")
    with refused("weights-unavailable", *facts, kind=WeightsError):
        load_weights(network, spec, "pretrained")
    assert not load_weights(network, spec, "auto").pretrained
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_silent_server_is_given_up_and_leaves_no_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(fetch, "READ_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address])
        report = load_weights(nn.Identity(), SPECS["resnet18"], "auto")
    assert "could not be downloaded" in report.note
    assert "timed out" in report.note
    assert capsys.readouterr().out == ""  # torch.hub says there what it downloads
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_damaged_file_is_named(tmp_path):
    path = publish("resnet18", {})
    path.write_bytes(b"half a download")
    with refused("weights-unavailable", f"{path.name}' cannot be read", "delete it", kind=WeightsError):
        load_weights(nn.Identity(), SPECS["resnet18"], "pretrained")

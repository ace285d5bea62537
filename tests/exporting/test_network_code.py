"""A network that a format cannot express: the line of its own code is named, and other formats are written."""

from __future__ import annotations

import json
import linecache

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import zoo
from zoo.cli import app
from zoo.errors import ExportError
from zoo.exporting.network_code import with_place
from zoo.exporting.pipeline import export
from zoo.models.classifier import Classifier
from zoo.specs import PreprocessSpec

from ..plugin_files import write_plugin
from ..refusals import refused

BRANCHING = """
from torch import nn

from zoo.hookspecs import hookimpl
from zoo.specs import BackboneSpec, Stage


class Branching(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(32, num_classes)

    def forward(self, pixels):
        return self.head(self.limited(self.body(pixels)))

    def limited(self, features):
        if features.amax() > 1e6:
            features = features / 2
        return features


@hookimpl
def zoo_backbones():
    stages = (Stage("body", ("body",)), Stage("head", ("head",)))
    yield BackboneSpec(name="branching", build=Branching, head="head", stages=lambda _: stages, min_image_size=8)
"""
PICTURES = [np.full((20, 20, 3), value, np.uint8) for value in (0, 90, 255)]


class Small(nn.Module):
    """A network whose `mixed` no format takes."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, pixels):
        return self.head(self.mixed(self.body(pixels)).mean((2, 3)))

    def mixed(self, features):
        raise NotImplementedError


class Eigen(Small):
    def forward(self, pixels):
        features = self.body(pixels)
        features = features + torch.linalg.eigvalsh(features[:, :, :3, :3]).sum()
        return self.head(features.mean((2, 3)))


class Counts(Small):
    def mixed(self, features):
        return features * float(features.detach().mean())


def classifier(network):
    torch.manual_seed(0)
    return Classifier(network.eval(), ("a", "b", "c"), PreprocessSpec(image_size=16)).eval()


def line_of(text):
    lines = linecache.getlines(__file__)
    return f"Line {next(n for n, line in enumerate(lines, 1) if line.strip() == text)} of {__file__} has: {text}"


@pytest.fixture(scope="module")
def branching(bars, tmp_path_factory):
    folder = tmp_path_factory.mktemp("branching")
    plugin = str(write_plugin(folder, BRANCHING, "branching.py"))
    options = {"epochs": 1, "image_size": 16, "batch_size": 16, "augment": "none", "device": "cpu"}
    return zoo.train("branching", bars, output=folder / "run", plugins=(plugin,), **options)


def test_the_other_formats_are_written(branching, tmp_path):
    formats = ("--onnx", "--torchscript", "--pt2")
    done = CliRunner().invoke(app, ["export", str(branching.path), *formats, "--output", f"{tmp_path}/m", "--json"])
    assert done.exit_code == 1
    assert [record["format"] for record in json.loads(done.stdout)] == ["torchscript"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["m.pt"]
    said = done.stderr.replace("\n", " ")
    assert said.count("branching.py has: if features.amax() > 1e6:") == 2
    assert "cannot be written as ONNX" in said
    assert "cannot be written as pt2" in said


def test_a_single_format_that_fails_is_an_error_as_before(branching, tmp_path):
    done = CliRunner().invoke(app, ["export", str(branching.path), "--pt2", "--output", f"{tmp_path}/m.pt2"])
    assert isinstance(done.exception, ExportError)
    assert "Line 18 of" in str(done.exception)


@pytest.mark.parametrize("name", ["onnx", "pt2"])
def test_the_line_is_that_of_the_innermost_own_code(name, tmp_path):
    line = line_of("return features * float(features.detach().mean())")
    with refused("network-not-exported", line, kind=ExportError):
        export(classifier(Counts()), name, tmp_path / "m", pictures=PICTURES)


def test_an_operation_that_onnx_lacks_is_named_with_its_line(tmp_path):
    line = line_of("features = features + torch.linalg.eigvalsh(features[:, :, :3, :3]).sum()")
    with refused("network-not-exported", "No ONNX function found for", "linalg_eigh", line, kind=ExportError):
        export(classifier(Eigen()), "onnx", tmp_path / "m", pictures=PICTURES)


def test_an_error_from_elsewhere_stays_as_it_is():
    error = ExportError("The disk is full.", "Free some space.")
    error.__cause__ = OSError("no space")
    assert with_place(error, Counts()) is error

"""Runs whose pictures are resized by their shorter side, bicubically; and runs from before these options."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import zoo
from zoo.exporting.pipeline import export
from zoo.images import read_picture
from zoo.parity.verify import verify
from zoo.runs.run import Run

from ..watch import train

pytestmark = pytest.mark.usefixtures("artifacts_here")


@pytest.fixture(scope="module")
def run(bars, tmp_path_factory):
    options = {"resize": "shorter", "interpolation": "bicubic", "epochs": 4, "learning_rate": 0.01}
    return train(bars, tmp_path_factory.mktemp("resampled"), **options)


def test_its_recipe_and_its_plan_say_so(run):
    assert (run.recipe.resize, run.recipe.interpolation) == ("shorter", "bicubic")
    again = Run(run.path)
    assert again.recipe == run.recipe
    assert again.preprocess == run.preprocess
    assert (run.preprocess.resize, run.preprocess.interpolation) == ("shorter", "bicubic")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_its_files_answer_as_it_does_in_every_precision(run, bars, tmp_path, precision):
    budget = {"accuracy_budget": 100} if precision == "int8" else {}
    done = export(run, "onnx", tmp_path / "model.onnx", precision=precision, **budget)
    assert done.card.preprocess == run.preprocess
    pictures = [read_picture(path) for path in sorted(bars.glob("test/*/*.png"))]
    classifier = run.classifier().eval()
    with torch.inference_mode():
        expected = np.concatenate([classifier(torch.from_numpy(each)[None]).numpy() for each in pictures])
    found = zoo.load(done.path).logits(pictures)
    spread = expected.std()
    assert np.abs(found - expected).max() < {"fp32": 1e-4, "fp16": 0.01, "int8": 0.2}[precision] * spread
    verify(done.path)


def test_a_run_from_before_the_interpolation_answers_with_the_same_bits(trained, bars, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(trained.path, old)
    facts = json.loads((old / "run.json").read_text(encoding="utf-8"))
    del facts["preprocess"]["interpolation"]
    (old / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    recipe = old / "recipe.toml"
    assert "resize" not in recipe.read_text(encoding="utf-8")
    recipe.write_text('resize = "crop"\n' + recipe.read_text(encoding="utf-8"), encoding="utf-8")
    found = Run(old)
    assert found.preprocess == trained.preprocess
    batch = torch.from_numpy(read_picture(next(bars.glob("test/*/*.png"))))[None]
    with torch.inference_mode():
        assert torch.equal(found.classifier().eval()(batch), trained.classifier().eval()(batch))


def test_an_older_recipe_trains_to_the_same_bits(bars, tmp_path):
    runs = [train(bars, tmp_path, name=str(len(more)), epochs=2, **more) for more in ({}, {"resize": "crop"})]
    assert (runs[0].path / "best.safetensors").read_bytes() == (runs[1].path / "best.safetensors").read_bytes()

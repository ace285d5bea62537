"""Trainings of a program's own networks on its own pictures."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch import nn

import zoo
from zoo.models.own import backbone_from
from zoo.recipes.options import TrainOptions
from zoo.recipes.recipe import Recipe
from zoo.recipes.values import Written
from zoo.registry import registry
from zoo.specs import BackboneSpec
from zoo.training.events import Listener
from zoo.training.own import backbone_name, dataset_name

from ..conftest import draw
from ..refusals import refused

pytestmark = pytest.mark.usefixtures("no_plots", "artifacts_here")
RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
PICTURES = np.stack([draw(label, RNG) for label in LABELS])
QUICK = {"epochs": 2, "augment": "none", "batch_size": 16}


class Bars(nn.Module):
    """A network whose head is neither its last child nor at the top."""

    def __init__(self, num_classes):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.end = nn.Sequential(nn.Dropout(0.1), nn.Linear(64, num_classes))
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8))
        self.act = nn.ReLU()
        self.body = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())

    def forward(self, x):
        return self.end(self.body(self.act(self.stem(x * self.scale))))


def test_a_function_and_arrays_make_a_run(tmp_path):
    run = zoo.train(Bars, (PICTURES, LABELS), output=tmp_path / "run", **QUICK)
    assert run.info.backbone == "my-Bars"
    assert run.recipe.dataset.startswith("my-pictures")
    assert run.preprocess.image_size == 24
    artifact = zoo.export(run, "onnx", tmp_path / "model.onnx")
    assert artifact.report["real_pictures"] == 6  # a tenth for validation


def test_stages_are_the_children_with_the_head_last():
    spec = backbone_from(Bars, "bars")
    network = spec.build(4)
    stages = spec.stages(network)
    assert spec.head == "end.1"
    assert [stage.name for stage in stages] == ["end", "stem", "body", "head"]
    for name in [*dict(network.named_parameters()), *dict(network.named_buffers())]:
        assert sum(stage.holds(name) for stage in stages) == 1, name
    assert "act" in stages[1].members  # what has no weights ends the stage before it


def test_a_head_may_be_named():
    assert backbone_from(Bars, "bars", "end.1").stages(Bars(2))[-1].members == ("end.1",)
    with refused("head-not-found", "no_head"):
        backbone_from(lambda _: nn.Conv2d(3, 2, 3), "no_head")


def test_a_spec_is_registered(tmp_path):
    spec = BackboneSpec(name="bars", build=Bars, head="end.1", stages=backbone_from(Bars, "x").stages)
    assert backbone_name(spec) == "bars"
    assert registry().backbone("bars").spec is spec


@pytest.mark.parametrize(("given", "what"), [(Bars(3), "a built network"), (7, "a int"), (None, "a NoneType")])
def test_other_backbones_are_refused(given, what):
    with refused("backbone-type", what):
        backbone_name(given)


def test_names_tell_objects_of_a_process_apart():
    one, other = (PICTURES, LABELS), (PICTURES[::-1], LABELS)
    first = dataset_name(one)
    assert dataset_name(one) == first
    assert dataset_name(other) != first
    assert backbone_name(lambda k: Bars(k)) != backbone_name(lambda k: Bars(k + 0))  # noqa: PLW0108
    assert backbone_name(Bars) == backbone_name(Bars)


def test_another_process_checks_an_export_on_the_kept_pictures(tmp_path):
    run = zoo.train("tiny", (PICTURES, LABELS), output=tmp_path / "run", **QUICK)
    command = f"import zoo; print(zoo.export({str(run.path)!r}).report['split'])"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "kept validation\n", done.stderr


class Ends(Listener):
    """Asks for the end after the first epoch."""

    def __init__(self):
        self.epochs = 0

    def on_epoch_end(self, row, *, better):
        self.epochs += 1
        return True


def test_a_listener_ends_a_training(tmp_path):
    listener = Ends()
    options = {**QUICK, "epochs": 5, "strategy": "finetune", "head_epochs": 3}
    run = zoo.train("tiny", (PICTURES, LABELS), output=tmp_path / "run", listeners=[listener], **options)
    assert listener.epochs == 1
    assert run.info.status == "finished"
    assert run.info.best_epoch == 1


def test_a_run_goes_on_with_the_pictures_of_this_process(tmp_path):
    class Fails(Listener):
        def on_epoch_end(self, row, *, better):
            if row["epoch"] == 2:
                raise KeyboardInterrupt

    options = {**QUICK, "epochs": 3, "checkpoint_minutes": 0.0}
    with pytest.raises(KeyboardInterrupt):
        zoo.train("tiny", (PICTURES, LABELS), output=tmp_path / "run", listeners=[Fails()], **options)
    with refused("pictures-changed"):
        zoo.resume(tmp_path / "run", dataset=(PICTURES[::-1], LABELS))
    run = zoo.resume(tmp_path / "run", dataset=(PICTURES.copy(), LABELS))
    assert run.info.status == "finished"


def test_a_recipe_may_be_the_start(tmp_path):
    (tmp_path / "mine.toml").write_text('backbone = "tiny"\nepochs = 1\naugment = "none"\nimage_size = 16\n')
    run = zoo.train(dataset=(PICTURES, LABELS), recipe=tmp_path / "mine.toml", image_size=24, output=tmp_path / "run")
    assert (run.recipe.epochs, run.recipe.image_size) == (1, 24)


def test_the_options_are_spelled_out():
    hints = get_type_hints(Recipe, include_extras=True)
    own = get_type_hints(TrainOptions)
    assert list(own) == [name for name in hints if name not in ("backbone", "dataset")]
    for name, kind in own.items():
        value, _, *how = get_args(hints[name])
        assert kind == (value | str if how and isinstance(how[0], Written) else value), name
    shown = inspect.signature(zoo.train).parameters
    assert shown["batch_size"].default == 64
    assert set(own) < set(shown)

"""Looks inside a training: what each phase began with, learned with and ended with."""

from __future__ import annotations

import csv
import dataclasses
from copy import deepcopy
from dataclasses import dataclass

import torch

import zoo
from zoo.evaluation.evaluation import answers, classifier_stream
from zoo.registry import Registry, registry
from zoo.specs import BackboneSpec
from zoo.training import checkpoint
from zoo.training.learner import TrainState
from zoo.training.loop import Trainer
from zoo.training.phase import PhaseMaker

from .networks import STAGES


@dataclass
class Seen:
    """One phase. States are copies of the network's state dict before it was made and after it ended."""

    trainer: Trainer
    phase: object
    before: dict
    after: dict
    train_state: TrainState | None = None

    @property
    def moved(self):
        return {name for name, value in self.before.items() if not torch.equal(value, self.after[name])}

    def logits_on_features(self):
        """What the phase's last weights say about the validation pictures, by the phase's own inputs."""
        model, phase = self.train_state.phase.model.eval(), self.phase
        with torch.inference_mode():
            return model(phase.stages(phase.source.val(torch.arange(len(self.trainer.val_labels)))))

    def logits_on_pictures(self):
        """The same weights inside the whole network, on the pictures."""
        views = self.trainer.views
        network = deepcopy(self.trainer.network)
        network.load_state_dict(self.phase.whole(self.train_state.phase.model.state_dict()))
        with torch.inference_mode():
            return network.eval()(views.plain(views.val, torch.arange(len(views.val))))


class Watched(list):
    """The phases so far; `at_end` is called as each of them ends."""

    at_end = staticmethod(lambda seen: None)


def watch(monkeypatch):
    """Collects the phases of the trainings that follow."""
    phases = Watched()
    make, run, init = PhaseMaker.make, Trainer.fit_phase, TrainState.__init__
    before = []

    def watched_make(self, step):
        before.append(copied(self.network))
        return make(self, step)

    def watched_run(self, phase, resumed):
        seen = Seen(self, phase, before.pop(), {})
        phases.append(seen)
        run(self, phase, resumed)
        seen.after = copied(self.network)
        phases.at_end(seen)

    def watched_init(self, *arguments):
        init(self, *arguments)
        phases[-1].train_state = self

    monkeypatch.setattr(PhaseMaker, "make", watched_make)
    monkeypatch.setattr(Trainer, "fit_phase", watched_run)
    monkeypatch.setattr(TrainState, "__init__", watched_init)
    return phases


def copied(network):
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def add_backbone(monkeypatch, kind):
    """Makes a network of tests/networks.py known as the backbone `foreign`."""
    spec = BackboneSpec(name="foreign", build=kind, head="head", stages=lambda _: STAGES, min_image_size=8)
    entry = dataclasses.replace(registry().backbone("tiny"), name="foreign", resolve=lambda: spec)
    find = Registry.backbone
    monkeypatch.setattr(Registry, "backbone", lambda self, name: entry if name == "foreign" else find(self, name))


def train(bars, tmp_path, *, backbone="tiny", name="run", **options):
    """A short training in fp32 that begins anew in the folder `name`."""
    defaults = {
        "epochs": 2,
        "image_size": 16,
        "batch_size": 16,
        "augment": "none",
        "precision": "fp32",
        "device": "cpu",
    }
    return zoo.train(backbone, str(bars), output=tmp_path / name, **defaults | options)


def start(seed=0, backbone="tiny"):
    """The weights that a training without pretrained ones begins with."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return registry().backbone(backbone).spec.build(3)


def classify(classifier, split):
    """What a run's figures are computed from: logits `[N, K]` and labels `[N]` of a split's readable pictures."""
    stream = classifier_stream(classifier, torch.device("cpu"))
    logits, kept, _ = answers(stream, split, len(classifier.classes), lambda _: None)
    return logits, split.labels[kept]


def validation_losses(run):
    """Of every epoch."""
    table = csv.DictReader((run.path / "metrics.csv").read_text(encoding="utf-8").splitlines())
    return [float(row["val_loss"]) for row in table]


def interrupt_after(monkeypatch, epoch):
    """Trainings are interrupted as soon as the checkpoint of an epoch is written."""
    save = checkpoint.save

    def interrupt(folder, state):
        save(folder, state)
        if state["epoch"] == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", interrupt)


def undrawn(monkeypatch):
    """Trainings leave no plots, which take longer than they do."""
    monkeypatch.setattr("zoo.training.final_evaluation.draw_run", lambda *_: None)
    monkeypatch.setattr("zoo.training.train.plot_curves", lambda _, path: path.touch())

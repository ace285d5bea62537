"""fp16: the scaler of the loss, which skips steps whose gradients overflow."""

import csv
from dataclasses import dataclass

import pytest
import torch

import zoo
from zoo.training.learner import TrainState

from ..watch import interrupt_after, validation_losses

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("no_plots")]

OVERFLOWS = 2.0**32  # times the loss: more than fp16 holds in any gradient


@dataclass
class Step:
    """One update: the scale around it, whether weights moved, and the norm of the gradients that moved them."""

    before: float
    after: float
    moved: bool
    norm: float


@dataclass
class Steps(list[Step]):
    starts_at: float | None = None
    scaler: torch.amp.GradScaler | None = None


@pytest.fixture
def steps(monkeypatch):
    """The updates of the trainings that follow; `starts_at` is the scale that they begin with."""
    seen = Steps()
    init, update = TrainState.__init__, TrainState.update

    def watched_init(self, *arguments):
        init(self, *arguments)
        seen.scaler = getattr(self.phase.fabric.strategy.precision, "scaler", None)  # a head alone trains in fp32
        if seen.scaler and seen.starts_at:
            seen.scaler.load_state_dict({**seen.scaler.state_dict(), "scale": seen.starts_at})
            seen.starts_at = None

    def watched_update(self):
        if seen.scaler is None:
            update(self)
            return
        weights = [parameter.detach().clone() for parameter in self.phase.model.parameters()]
        scale, norms = seen.scaler.get_scale(), []
        inner = self.optimizer.step

        def step(*arguments, **options):
            gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
            norms.append(float(torch.stack([gradient.norm() for gradient in gradients]).norm()))
            return inner(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(self.optimizer, "step", step)
            update(self)
        moved = any(not torch.equal(old, new) for old, new in zip(weights, self.phase.model.parameters(), strict=True))
        seen.append(Step(scale, seen.scaler.get_scale(), moved, norms[0] if norms else float("inf")))

    monkeypatch.setattr(TrainState, "__init__", watched_init)
    monkeypatch.setattr(TrainState, "update", watched_update)
    return seen


def test_steps_that_overflow_are_skipped_and_the_scale_falls(learn, steps, tell):
    steps.starts_at = OVERFLOWS
    run = learn(precision="fp16", strategy="full", ema=0.9)
    assert len(steps) == 6 * 8
    assert not steps[0].moved
    for step in steps:
        assert step.moved == (step.after >= step.before)
        assert step.after == (step.before if step.moved else step.before / 2)
    skipped = sum(not step.moved for step in steps)
    tell(f"{skipped} steps were skipped, the scale fell from 2^32 to {steps[-1].after:g}")
    assert 8 < skipped < 32
    assert all(value.isfinite().all() for value in run.weights().values())
    assert min(validation_losses(run)) < validation_losses(run)[0]
    assert run.metrics["top1"] > 0.5


def test_the_usual_scale_loses_no_steps(learn, steps, tell):
    learn(precision="fp16", strategy="full", epochs=2)
    tell(f"{sum(not step.moved for step in steps)} of {len(steps)} steps were skipped")
    assert sum(not step.moved for step in steps) <= 2
    assert steps.scaler.is_enabled()


def test_gradients_are_clipped_in_their_own_size(learn, steps):
    learn(precision="fp16", strategy="full", epochs=2, clip_norm=0.01)
    norms = [step.norm for step in steps if step.moved]
    assert max(norms) == pytest.approx(0.01, rel=0.02)


def test_accumulated_batches_are_one_step(learn, steps):
    learn(precision="fp16", strategy="full", epochs=2, batch_size=8, accumulate=2)
    assert len(steps) == 2 * 8  # 15 batches an epoch


def test_a_loss_that_is_not_a_number_ends_the_training(learn):
    with pytest.raises(zoo.ZooError, match="became infinite or undefined"):
        learn(precision="fp16", strategy="full", learning_rate=1e3, optimizer="sgd")


def test_a_resumed_training_goes_on_with_the_scale(learn, steps, tmp_path, monkeypatch):
    steps.starts_at = OVERFLOWS
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            learn(precision="fp16", strategy="full")
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    reached = steps[-1].after
    assert state["precision"]["scale"] == reached < OVERFLOWS
    steps.clear()
    run = zoo.resume(tmp_path / "run")
    assert steps[0].before == reached
    assert len(list(csv.DictReader((run.path / "metrics.csv").read_text().splitlines()))) == 6


def test_the_scale_is_kept_between_two_phases(learn, steps, tmp_path, monkeypatch):
    options = {"precision": "fp16", "strategy": "gradual", "unfreeze_at": "2,4", "learning_rate": 0.003}
    interrupt_after(monkeypatch, 3)
    steps.starts_at = OVERFLOWS
    with pytest.raises(KeyboardInterrupt):
        learn(**options)
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert "train_state" not in state
    assert state["precision"]["scale"] == steps[-1].after < OVERFLOWS


def test_stored_features_in_fp16_train_a_head_in_fp32(learn, phases):
    run = learn(precision="fp16", strategy="finetune", weights="none", epochs=3)
    head, everything = phases
    assert head.trainer.phase_maker.frozen.strategy.precision.scaler is not None
    assert getattr(head.phase.fabric.strategy.precision, "scaler", None) is None
    assert everything.phase.fabric.strategy.precision.scaler is not None
    assert all(value.isfinite().all() for value in run.weights().values())

"""The event hook: who listens hears everything, in order."""

import pytest

import zoo
from zoo.training.events import Listener
from zoo.training.loop import CHECKED_STEPS
from zoo.training.time_budget import TimeBudget

OPTIONS = {"image_size": 16, "batch_size": 16, "augment": "none", "device": "cpu", "precision": "fp32"}


class Recorder(Listener):
    """Notes every event, and raises at one of them."""

    def __init__(self, fails_at=None):
        self.events, self.fails_at = [], fails_at

    def note(self, *event):
        self.events.append(event)
        if event == self.fails_at:
            raise KeyboardInterrupt

    def on_fit_start(self, epochs):
        self.note("fit", epochs)

    def on_phase_start(self, start):
        self.note("phase", start.name, start.epochs, start.batches, start.steps, start.brief)

    def on_epoch_start(self, start):
        self.note("epoch", start.phase, start.epoch, start.epochs, start.batches, start.done)
        self.running = None

    def on_batch_end(self, running):
        self.note("batch")
        self.running = running()

    def on_epoch_end(self, row, *, better):
        self.note("row", row["epoch"], better)
        # The last look of an epoch has seen all of its batches.
        assert self.running == pytest.approx((row["train_loss"], row["train_top1"]))

    def on_fit_end(self):
        self.note("end")


pytestmark = pytest.mark.usefixtures("no_plots")


def test_a_listener_hears_everything_in_order(bars, tmp_path):
    heard = Recorder()
    run = zoo.train("tiny", bars, output=tmp_path / "run", strategy="full", epochs=2, listeners=[heard], **OPTIONS)
    steps, batches = 8, [("batch",)] * 8
    losses = [float(row["val_loss"]) for row in run.rows()]
    assert heard.events == [
        ("fit", 2),
        ("phase", "full", 2, steps, 2 * steps, False),
        ("epoch", "full", 1, 2, steps, 0),
        *batches,
        ("row", 1, True),
        ("epoch", "full", 2, 2, steps, 0),
        *batches,
        ("row", 2, losses[1] < losses[0]),
        ("end",),
    ]


def test_every_phase_is_announced(bars, tmp_path):
    heard = Recorder()
    options = {"strategy": "gradual", "epochs": 3, **OPTIONS}
    zoo.train("tiny", bars, output=tmp_path / "run", listeners=[heard], **options)
    phases = [
        (name, epochs, brief) for kind, *rest in heard.events if kind == "phase" for name, epochs, _, _, brief in [rest]
    ]
    assert phases == [("head", 1, True), ("body", 1, False), ("stem", 1, False)]
    assert [event[1] for event in heard.events if event[0] == "row"] == [1, 2, 3]


def test_a_listener_that_stops_a_training_leaves_it_to_be_resumed(bars, tmp_path):
    heard = Recorder(fails_at=("epoch", "full", 2, 3, 8, 0))
    with pytest.raises(KeyboardInterrupt):
        zoo.train("tiny", bars, output=tmp_path / "run", strategy="full", epochs=3, listeners=[heard], **OPTIONS)
    assert heard.events[-1] == ("end",)
    again = Recorder()
    run = zoo.resume(tmp_path / "run", listeners=[again])
    assert again.events[:3] == [
        ("fit", 3),
        ("phase", "full", 3, 8, 16, False),
        ("epoch", "full", 2, 3, 8, 0),
    ]
    assert [row["epoch"] for row in run.rows()] == ["1", "2", "3"]


def test_a_time_budget_may_end_right_behind_a_look_at_the_loss(bars, tmp_path, monkeypatch):
    """The loss is looked at every 50 batches; a budget that ends before the 51st leaves nothing to look at."""
    calls = []

    def late(self, seconds=0.0):
        calls.append(seconds)
        return len(calls) >= CHECKED_STEPS

    monkeypatch.setattr(TimeBudget, "late", late)
    heard = Recorder()
    options = {**OPTIONS, "batch_size": 2, "strategy": "full", "epochs": 3}
    run = zoo.train("tiny", bars, output=tmp_path / "run", listeners=[heard], **options)
    assert heard.events.count(("batch",)) == CHECKED_STEPS
    assert len(run.rows()) == 1
    assert run.info.status == "finished"

"""Destinations for metrics, and a training whose logger fails."""

import csv
import re
import subprocess
import sys
import types
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import zoo
from zoo.errors import MissingExtraError, PluginError, UnknownNameError
from zoo.progress import Reporter
from zoo.registry import registry
from zoo.registry.core import Registry
from zoo.runs.loggers import CsvLogger, TensorBoardLogger, scalar_name
from zoo.specs import LoggerSpec
from zoo.training.listeners import open_logger, open_loggers

from ..refusals import refused

PLAIN = {"epochs": 2, "image_size": 16, "batch_size": 16, "augment": "none"}
ROW = {
    "phase": "full",
    "train_loss": 0.5,
    "train_top1": 0.5,
    "val_loss": 0.5,
    "val_top1": 0.5,
    "seconds": 1.0,
    "images_per_second": 9.0,
}


def rows(folder):
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scalars(folder):
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def test_both_are_registered_like_plugins():
    entries = {entry.name: entry for entry in registry().loggers()}
    assert entries["csv"].plugin == entries["tensorboard"].plugin == "loggers"
    assert entries["csv"].builtin


def test_the_event_file_holds_the_numbers_of_the_table(bars, tmp_path):
    run = zoo.train("tiny", bars, output=tmp_path / "run", loggers="csv, tensorboard", **PLAIN)
    charts = scalars(run.path)
    assert {"loss/train", "loss/val", "top1/train", "top1/val", "learning_rate", "seconds"} <= charts.keys()
    table = rows(run.path)
    assert [row["epoch"] for row in table] == ["1", "2"]
    columns = table[0].keys() - {"epoch", "phase"}
    assert {scalar_name(column) for column in columns} == charts.keys()
    for column in columns:
        expected = {int(row["epoch"]): float(row[column]) for row in table}
        assert charts[scalar_name(column)] == pytest.approx(expected, rel=1e-6), column


@pytest.mark.parametrize(
    ("column", "name"),
    [("train_loss", "loss/train"), ("val_top1", "top1/val"), ("learning_rate", "learning_rate"), ("train", "train")],
)
def test_the_charts_of_one_figure_stand_together(column, name):
    assert scalar_name(column) == name


def test_only_the_loggers_that_are_named_write(bars, tmp_path):
    run = zoo.train("tiny", bars, output=tmp_path / "run", loggers="tensorboard", **PLAIN)
    assert not (run.path / "metrics.csv").exists()
    assert scalars(run.path)["loss/val"].keys() == {1, 2}


def test_an_unknown_logger_lists_those_there_are(bars, tmp_path):
    with pytest.raises(UnknownNameError) as caught:
        zoo.train("tiny", bars, output=tmp_path / "run", loggers="csv,tensorbord", **PLAIN)
    assert "'tensorbord'" in caught.value.cause
    assert "tensorboard" in caught.value.remedy


def test_a_missing_package_is_said_before_anything_is_written(bars, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'visionzoo\[tensorboard\]'"):
        zoo.train("tiny", bars, output=tmp_path / "run", loggers="csv,tensorboard", **PLAIN)
    assert not (tmp_path / "run").exists()


def test_a_run_without_an_epoch_leaves_no_events(bars, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.training.loop.Trainer.fit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        zoo.train("tiny", bars, output=tmp_path / "run", loggers="csv,tensorboard", **PLAIN)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("create", [CsvLogger, TensorBoardLogger])
def test_a_training_that_goes_on_replaces_the_epochs_it_repeats(tmp_path, create):
    for losses in ({1: 0.9, 2: 0.8, 3: 0.7}, {3: 0.6, 4: 0.5}):
        logger = create(tmp_path)
        for epoch, loss in losses.items():
            logger.log({"epoch": epoch, "phase": "full", "val_loss": loss})
        logger.close()
    expected = [(1, 0.9), (2, 0.8), (3, 0.6), (4, 0.5)]
    if create is CsvLogger:
        assert [(int(row["epoch"]), float(row["val_loss"])) for row in rows(tmp_path)] == expected
    else:
        events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("loss/val")
        assert [(event.step, pytest.approx(event.value)) for event in events] == expected


def test_the_table_stays_whole_where_writing_fails(tmp_path):
    class Once(float):
        """A number that is written once; the disk is full the next time."""

        written = False

        def __repr__(self):
            if self.written:
                raise OSError("the disk is full")
            self.written = True
            return float.__repr__(self)

    logger = CsvLogger(tmp_path)
    logger.log({"epoch": 1, "val_loss": Once(0.5)})
    with pytest.raises(OSError, match="disk is full"):
        logger.log({"epoch": 2, "val_loss": 0.25})
    assert rows(tmp_path) == [{"epoch": "1", "val_loss": "0.5"}]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_column_that_comes_later_is_kept(tmp_path):
    logger = CsvLogger(tmp_path)
    logger.log({"epoch": 1, "val_loss": 0.5})
    logger.log({"epoch": 2, "val_loss": 0.4, "gap": 0.1})
    assert rows(tmp_path) == [
        {"epoch": "1", "val_loss": "0.5", "gap": ""},
        {"epoch": "2", "val_loss": "0.4", "gap": "0.1"},
    ]


class Wire:
    """A logger whose server goes away."""

    def __init__(self, fails=("log", 2)):
        self.fails, self.calls = fails, []

    def __call__(self, folder):
        return self

    def log(self, row):
        self.calls.append(row["epoch"])
        if self.fails == ("log", row["epoch"]):
            raise ConnectionError("no route to host.")

    def close(self):
        self.calls.append("closed")
        if self.fails == "close":
            raise ConnectionError("no route to host.")


def test_a_logger_that_fails_is_named_once_and_dropped(tmp_path, capsys):
    wire, reporter = Wire(), Reporter()
    opened = [
        open_logger("acme:wire", LoggerSpec(name="wire", create=wire), tmp_path, reporter),
        open_logger("csv", LoggerSpec(name="csv", create=CsvLogger), tmp_path, reporter),
    ]
    for epoch in range(1, 5):
        for each in opened:
            each.on_epoch_end({"epoch": epoch, **ROW}, better=True)
    for each in opened:
        each.close()
    said = capsys.readouterr().err
    sentence = "The logger 'acme:wire' failed and gets no further epochs: ConnectionError: no route to host.\n"
    assert said.count("acme:wire") == said.count(sentence) == 1
    assert wire.calls == [1, 2, "closed"]
    assert len(rows(tmp_path)) == 4


def test_a_logger_that_fails_at_its_end_keeps_no_other_from_closing(tmp_path, monkeypatch, capsys):
    wires = {"first": Wire(fails="close"), "last": Wire(fails="close")}
    found = {name: types.SimpleNamespace(name=name, spec=LoggerSpec(name=name, create=wires[name])) for name in wires}
    monkeypatch.setattr(Registry, "logger", lambda self, name: found[name])
    with open_loggers(tuple(wires), tmp_path, Reporter()):
        pass
    assert wires["first"].calls == wires["last"].calls == ["closed"]
    assert len(re.findall("failed at its end: ConnectionError: no route to host", capsys.readouterr().err)) == 2


def test_a_training_outlives_a_plugins_logger(bars, tmp_path, monkeypatch, capsys):
    wire = Wire()
    found = types.SimpleNamespace(name="wire", spec=LoggerSpec(name="wire", create=wire))
    original = Registry.logger
    monkeypatch.setattr(Registry, "logger", lambda self, name: found if name == "wire" else original(self, name))
    run = zoo.train("tiny", bars, output=tmp_path / "run", loggers="wire,csv", progress=True, **PLAIN | {"epochs": 3})
    assert run.info.status == "finished"
    assert len(rows(run.path)) == 3
    assert wire.calls == [1, 2, "closed"]
    assert "The logger 'wire' failed" in capsys.readouterr().err


def test_a_logger_that_cannot_start_is_an_error_of_its_plugin(tmp_path):
    def create(folder):
        raise ConnectionError("no route to host")

    with refused("logger-failed", "'wire'", "ConnectionError: no route to host", kind=PluginError):
        open_logger("wire", LoggerSpec(name="wire", create=create), tmp_path, Reporter(quiet=True))


@pytest.mark.parametrize("lacks", ["log", "close"])
def test_a_logger_without_a_function_is_refused_before_the_training(tmp_path, lacks):
    whole = {"log": print, "close": print}
    made = SimpleNamespace(**{name: each for name, each in whole.items() if name != lacks})
    with refused("logger-incomplete", "The logger 'wire' cannot be used: what its 'create' returned has no", lacks):
        open_logger("wire", LoggerSpec(name="wire", create=lambda _: made), tmp_path, Reporter(quiet=True))


def test_listing_loggers_imports_neither_torch_nor_tensorboard():
    code = (
        "import sys; from zoo.registry import registry; registry().loggers()\n"
        "assert 'zoo.runs.loggers' in sys.modules\n"
        "assert not {'torch', 'tensorboard', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""MLflow, Weights & Biases and trackio: what a tracked run holds, read back from its store on disk.

They work in a process of their own: they start threads and processes, and read their settings when imported. None of
them reaches for the network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from zoo.errors import MissingExtraError
from zoo.runs.tracking import MLflowLogger, TrackingLogger, TrackioLogger, WandbLogger

LOGGERS = {each.tracker: each for each in (MLflowLogger, WandbLogger, TrackioLogger)}
TRAINS = """
import json, socket, sys
from pathlib import Path

bars, folder, trackers = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
connect = socket.socket.connect


def at_home(self, address):
    if self.family != socket.AF_UNIX and not str(address[0]).startswith(("127.", "::1", "localhost")):
        raise AssertionError(f"it reaches for {address}")
    return connect(self, address)


socket.socket.connect = at_home

if "mlflow" in trackers:
    from mlflow.tracking import MlflowClient

    MlflowClient().search_experiments()  # makes the tables, which takes seconds

import zoo
from zoo.registry import registry
from zoo.testing import check_logger

options = {"image_size": 16, "batch_size": 16, "augment": "none", "device": "cpu"}
zoo.train("tiny", bars, output=folder, loggers=", ".join(["csv", *trackers]), epochs=2, **options)
run = zoo.resume(folder, epochs=3)
rows = [{name: float(value) for name, value in row.items() if name != "phase"} for row in run.rows()]
final = {f"test_{name}": float(value) for name, value in run.info.metrics.items()}
memory = json.loads((folder / "tracking.json").read_text())
shared = {"rows": rows, "final": final, "options": run.recipe.options()}
answers = {tracker: {**shared, "memory": memory[tracker]} for tracker in trackers}
for tracker in trackers:
    check_logger(registry().logger(tracker).spec)
"""
READS = {
    "mlflow": """
client = MlflowClient()
(experiment,) = [each for each in client.search_experiments() if each.name == "visionzoo"]
mine = [each for each in client.search_runs([experiment.experiment_id]) if each.info.run_name == folder.name]
(found,) = mine
facts["name"], facts["identity"], facts["status"] = found.info.run_name, found.info.run_id, found.info.status
facts["config"], last = found.data.params, found.data.metrics
history = {name: client.get_metric_history(found.info.run_id, name) for name in last}
facts["history"] = [
    {"epoch": step} | {name: each.value for name in history for each in history[name] if each.step == step}
    for step in (1, 2, 3)
]
facts["last"] = {name: last[name] for name in final}
""",
    "wandb": """
import struct

from wandb.proto.wandb_internal_pb2 import Record


def records(path):
    # Blocks of 32 KiB, each record with a header of checksum, length and kind: the log format of LevelDB.
    data, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


parts = [record for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")) for record in records(path)]
runs = [record.run for record in parts if record.HasField("run")]
assert len(runs) == 2
((facts["name"], facts["identity"]),) = {(each.display_name, each.run_id) for each in runs}
facts["config"] = {each.key: str(json.loads(each.value_json)) for each in runs[0].config.update if each.key != "_wandb"}
value = lambda item: (item.key or item.nested_key[0], json.loads(item.value_json))
steps = [dict(map(value, record.history.item)) for record in parts if record.HasField("history")]
facts["history"] = [
    {"epoch": step["_step"]} | {name: each for name, each in step.items() if name[0] != "_"} for step in steps
]
facts["last"] = {}
for record in parts:
    if record.HasField("summary"):
        facts["last"].update(pair for pair in map(value, record.summary.update) if pair[0] in final)
facts["status"] = [record.exit.exit_code for record in parts if record.HasField("exit")]
""",
    "trackio": """
from trackio.sqlite_storage import SQLiteStorage

(name,) = [each for each in SQLiteStorage.get_runs("visionzoo") if each.startswith("tracked-")]
facts["identity"], facts["name"] = name, name.rpartition("-")[0]
config = SQLiteStorage.get_run_config("visionzoo", name)
facts["config"] = {key: str(value) for key, value in config.items() if key[0] != "_"}
logs = SQLiteStorage.get_logs("visionzoo", name)
facts["history"], facts["last"] = [], {}
for each in logs:
    figures = {key: value for key, value in each.items() if key not in ("step", "timestamp")}
    if figures.keys() == final.keys():
        facts["last"] = figures
    else:
        facts["history"].append({"epoch": each["step"]} | figures)
""",
}


@pytest.fixture(scope="module")
def tracked(bars, tmp_path_factory):
    """What each installed tracker holds of one training and its continuation."""
    tmp_path = tmp_path_factory.mktemp("tracked")
    installed = [tracker for tracker in LOGGERS if find_spec(tracker)]
    script = tmp_path / "script.py"
    reads = "".join(f"facts = answers[{tracker!r}]\n{READS[tracker]}" for tracker in installed)
    answer = f"\nPath({str(tmp_path / 'answer.json')!r}).write_text(json.dumps(answers))\n"
    script.write_text(TRAINS + reads + answer)
    variables = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "WANDB_ERROR_REPORTING": "false",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, script, bars, tmp_path / "tracked", *installed],
        env={**os.environ, **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""  # where results are printed
    return json.loads((tmp_path / "answer.json").read_text())


@pytest.mark.parametrize("tracker", LOGGERS)
def test_a_tracker_holds_options_epochs_and_final_figures_of_a_training_that_goes_on(tracked, tracker):
    if tracker not in tracked:
        pytest.skip(f"needs visionzoo[{tracker}]")
    facts = tracked[tracker]
    assert (facts["name"], facts["identity"]) == ("tracked", facts["memory"])
    assert [row["epoch"] for row in facts["rows"]] == [1, 2, 3]
    for row, held in zip(facts["rows"], facts["history"], strict=True):
        shared = {name: value for name, value in held.items() if name in row}
        assert shared == pytest.approx(row)
    assert facts["last"] == pytest.approx(facts["final"])
    epochs = "3" if tracker == "trackio" else "2"  # the others keep the options that a run begins with
    assert facts["config"] == {name: str(value) for name, value in facts["options"].items()} | {"epochs": epochs}
    if tracker == "mlflow":
        assert facts["status"] == "FINISHED"
    if tracker == "wandb":
        assert facts["status"] == [0, 0]


@pytest.mark.parametrize("tracker", LOGGERS)
def test_a_tracker_that_is_not_installed_is_an_extra(tmp_path, tracker, monkeypatch):
    monkeypatch.setitem(sys.modules, tracker, None)
    with pytest.raises(MissingExtraError, match=rf"'visionzoo\[{tracker}\]'"):
        LOGGERS[tracker](tmp_path)


@pytest.mark.parametrize("content", ["[]", "{", "3"])
def test_a_memory_that_is_damaged_counts_as_none(tmp_path, content):
    class Plain(TrackingLogger):
        tracker = "plain"

        def connect(self):
            pass

        def begin(self, known, options):
            assert (known, options) == (None, {})
            return "new"

        def send(self, figures, step):
            assert (figures, step) == ({"val_loss": 0.5}, 1)

        def end(self, status, final):
            pass

    (tmp_path / "tracking.json").write_text(content)
    Plain(tmp_path).log({"epoch": 1, "val_loss": 0.5})
    assert json.loads((tmp_path / "tracking.json").read_text()) == {"plain": "new"}


class Gone(TrackingLogger):
    """A tracker whose earlier runs were deleted."""

    tracker = "gone"

    def connect(self):
        pass

    def begin(self, known, options):
        if known or self.away:
            raise LookupError(f"no run {known}")
        return "new"

    def send(self, figures, step):
        self.sent.append(step)

    def end(self, status, final):
        pass


def test_a_tracked_run_that_is_gone_is_named_once_and_a_new_one_begins(tmp_path, capsys):
    (tmp_path / "tracking.json").write_text(json.dumps({"gone": "old", "other": "kept"}))
    logger = Gone(tmp_path)
    logger.sent, logger.away = [], False
    for epoch in (4, 5):
        logger.log({"epoch": epoch, "val_loss": 0.5})
    assert logger.sent == [4, 5]
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("cannot go on in its tracked run 'old'") == said.count("LookupError: no run old") == 1
    assert json.loads((tmp_path / "tracking.json").read_text()) == {"gone": "new", "other": "kept"}


def test_a_tracker_that_fails_altogether_keeps_its_memory(tmp_path):
    (tmp_path / "tracking.json").write_text(json.dumps({"gone": "old"}))
    logger = Gone(tmp_path)
    logger.away = True
    with pytest.raises(LookupError):
        logger.log({"epoch": 4, "val_loss": 0.5})
    assert json.loads((tmp_path / "tracking.json").read_text()) == {"gone": "old"}


def test_a_training_that_fails_is_marked_and_one_without_an_epoch_leaves_nothing(tmp_path):
    ended = []

    class Fake(MLflowLogger):
        def connect(self):
            pass

        def begin(self, known, options):
            return "one"

        def send(self, figures, step):
            assert figures == {"val_loss": 0.5}

        def end(self, status, final):
            ended.append((status, final))

    Fake(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
    logger = Fake(tmp_path)
    logger.log({"epoch": 1, "phase": "full", "val_loss": 0.5})
    (tmp_path / "run.json").write_text(json.dumps({"status": "failed"}))
    logger.close()
    assert ended == [("failed", {})]

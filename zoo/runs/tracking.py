"""Loggers for trackers of experiments: MLflow, Weights & Biases, trackio. Each needs the extra with its name.

A tracked run gets the options of the recipe, the numbers of each epoch with the epoch as step, and the final figures.
It begins with the first epoch: a training that ends earlier leaves nothing. `RUN/tracking.json` remembers it, so that a
resumed training goes on in it.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from contextvars import copy_context
from pathlib import Path
from typing import Any

from zoo.errors import MissingExtraError, raised
from zoo.files import write_text
from zoo.progress import Reporter
from zoo.specs import EpochMetrics

MEMORY = "tracking.json"
PROJECT = "visionzoo"
MLFLOW_STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}


class TrackingLogger(ABC):
    """What the three have in common.

    Attributes:
        tracker: name of the logger and of its extra.
        name: of the run.
    """

    tracker: str

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, folder.absolute().name
        self._begun = False
        try:
            self.connect()
        except ImportError:
            raise MissingExtraError(f"The logger '{self.tracker}'", self.tracker) from None

    @abstractmethod
    def connect(self) -> None:
        """Imports the tracker. Raises ImportError where it is not installed."""

    @abstractmethod
    def begin(self, known: str | None, options: Mapping[str, Any]) -> str:
        """Begins a tracked run, or goes on with the one that `known` names. Returns what names it."""

    @abstractmethod
    def send(self, figures: Mapping[str, float], step: int) -> None: ...

    @abstractmethod
    def end(self, status: str, final: Mapping[str, float]) -> None:
        """Ends the tracked run. Takes the status of the training and its final figures."""

    def log(self, row: EpochMetrics) -> None:
        if not self._begun:
            known = _read(self.folder / MEMORY, json.loads)
            options = _read(self.folder / "recipe.toml", tomllib.loads)
            begun = self._begin(known.get(self.tracker), options)
            self._begun = True
            write_text(self.folder / MEMORY, json.dumps({**known, self.tracker: begun}))
        figures = {name: float(value) for name, value in row.items() if not isinstance(value, str) and name != "epoch"}
        self.send(figures, int(row["epoch"]))

    def _begin(self, known: str | None, options: Mapping[str, Any]) -> str:
        """As `begin`, with a new tracked run in place of one that is gone."""
        if not known:
            return self.begin(None, options)
        try:
            return self.begin(known, options)
        except Exception as error:  # each tracker has classes of its own
            begun = self.begin(None, options)  # raises where the tracker itself fails
            Reporter().warn(
                f"The logger '{self.tracker}' cannot go on in its tracked run '{known}', so it begins a new one: "
                f"{raised(error)}."
            )
            return begun

    def close(self) -> None:
        if self._begun:
            info = _read(self.folder / "run.json", json.loads)
            split = info.get("metrics_split", "")
            final = {f"{split}_{name}": float(value) for name, value in info.get("metrics", {}).items()}
            self.end(info.get("status", "finished"), final)


class MLflowLogger(TrackingLogger):
    """Logs to the tracking server or store of MLFLOW_TRACKING_URI; by default to the one that MLflow chooses.

    The experiment is that of MLFLOW_EXPERIMENT_NAME, by default `visionzoo`.
    """

    tracker = "mlflow"

    def connect(self) -> None:
        from mlflow.tracking import MlflowClient

        self.client = MlflowClient()
        self.client.search_experiments(max_results=1)  # says before the training that a server does not answer

    def begin(self, known: str | None, options: Mapping[str, Any]) -> str:
        from mlflow.entities import Param

        if known:
            self.run = known
            self.client.update_run(known, status="RUNNING")
            return known
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self.client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else self.client.create_experiment(experiment)
        self.run = self.client.create_run(place, run_name=self.name).info.run_id
        self.client.log_batch(self.run, params=[Param(name, str(value)) for name, value in options.items()])
        return self.run

    def send(self, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run, [Metric(name, value, now, step) for name, value in figures.items()])

    def end(self, status: str, final: Mapping[str, float]) -> None:
        for name, value in final.items():
            self.client.log_metric(self.run, name, value)
        self.client.set_terminated(self.run, MLFLOW_STATUS.get(status, "FAILED"))


class WandbLogger(TrackingLogger):
    """Logs to Weights & Biases: offline, into RUN/wandb, unless WANDB_MODE says otherwise.

    The project is that of WANDB_PROJECT, by default `visionzoo`.
    """

    tracker = "wandb"

    def connect(self) -> None:
        import wandb

        self.wandb = wandb

    def begin(self, known: str | None, options: Mapping[str, Any]) -> str:
        name = known or secrets.token_hex(4)
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        with redirect_stdout(sys.stderr):
            self.run = self.wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=self.name,
                id=name,
                dir=str(self.folder),
                config=dict(options),
                mode=mode,
                resume="allow",
                reinit="create_new",
                settings=self.wandb.Settings(silent=True, console="off", x_disable_stats=True),
            )
        return name

    def send(self, figures: Mapping[str, float], step: int) -> None:
        self.run.log(dict(figures), step=step, commit=True)

    def end(self, status: str, final: Mapping[str, float]) -> None:
        self.run.summary.update(dict(final))
        self.run.finish(exit_code=int(status != "finished"))


class TrackioLogger(TrackingLogger):
    """Logs to trackio: on this machine, in TRACKIO_DIR, unless TRACKIO_SPACE_ID or TRACKIO_SERVER_URL says otherwise.

    The project is `visionzoo`. The name of the tracked run has an ending of its own, because trackio finds runs by it.
    """

    tracker = "trackio"

    def connect(self) -> None:
        import trackio

        self.trackio = trackio

    def begin(self, known: str | None, options: Mapping[str, Any]) -> str:
        name = known or f"{self.name}-{secrets.token_hex(3)}"
        with redirect_stdout(sys.stderr):  # it says where its data is
            # In a context of its own: what else the process logs with trackio.log goes elsewhere, and trackio does not
            # end the run again when the process ends.
            self.run = copy_context().run(
                self.trackio.init,
                project=PROJECT,
                name=name,
                config=dict(options),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        return name

    def send(self, figures: Mapping[str, float], step: int) -> None:
        self.run.log(dict(figures), step=step)
        self.last = step

    def end(self, status: str, final: Mapping[str, float]) -> None:  # noqa: ARG002  (trackio keeps no status)
        if final:
            self.run.log(dict(final), step=self.last)
        with redirect_stdout(sys.stderr):
            self.run.finish()  # type: ignore[no-untyped-call,unused-ignore]


def _read(path: Path, parse: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """What a file of the run folder holds; nothing where it does not exist yet or is damaged."""
    try:
        found: Any = parse(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}

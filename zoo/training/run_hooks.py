"""Tells the run hooks of plugins how a training goes. Only the first process calls them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import raised
from zoo.facts import Ending, EpochEnded, RunEnded, RunStarted
from zoo.progress import Reporter
from zoo.registry import registry
from zoo.registry.run_hooks import RunHooks
from zoo.runs.run import Run
from zoo.specs import EpochMetrics
from zoo.training.events import Listener


class HookListener(Listener):
    """Tells the hooks of each epoch, and of a training's beginning and end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.hooks = RunHooks(registry(), Reporter().warn)  # also where the training itself is quiet

    def on_epoch_end(self, row: EpochMetrics, *, better: bool) -> None:
        if self.hooks:
            facts = EpochEnded(
                run=self.folder, name=self.folder.name, epoch=int(row["epoch"]), row=dict(row), better=better
            )
            self.hooks.call("zoo_epoch_ended", facts)

    def started(self, run: Run, *, resumed: bool) -> None:
        """Calls the hooks at the beginning of a training, once the run folder has run.json."""
        if self.hooks:
            self.hooks.call("zoo_run_started", self._started(run, resumed=resumed))

    @contextmanager
    def end_told(self, run: Run) -> Iterator[None]:
        """Calls the hooks at the end of the context."""
        if not self.hooks:
            yield
            return
        try:
            yield
        except BaseException as error:
            status: Ending = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self.hooks.call("zoo_run_ended", self._ended(run, status, "" if status == "interrupted" else raised(error)))
            raise
        self.hooks.call("zoo_run_ended", self._ended(run, "finished", ""))

    def _started(self, run: Run, *, resumed: bool) -> RunStarted:
        return RunStarted(
            run=self.folder,
            name=self.folder.name,
            backbone=run.recipe.backbone,
            dataset=run.info.dataset.name,
            classes=tuple(run.classes),
            epochs=sum(phase.epochs for phase in run.info.plan.phases),
            options=run.recipe.options(),
            resumed=resumed,
        )

    def _ended(self, run: Run, status: Ending, error: str) -> RunEnded:
        info, weights = run.info, self.folder / "best.safetensors"
        return RunEnded(
            run=self.folder,
            name=self.folder.name,
            status=status,
            error=error,
            best_epoch=info.best_epoch,
            validation=info.validation,
            metrics_split=info.metrics_split,
            metrics=info.metrics,
            weights=weights if weights.exists() else None,
            training_seconds=info.training_seconds or 0.0,
        )

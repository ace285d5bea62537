"""What a training writes and says while it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from zoo.errors import PluginError, ZooError
from zoo.files import write_atomically
from zoo.progress import Reporter
from zoo.specs import EpochMetrics, Logger, LoggerSpec

MONITORED = {"loss": "val_loss", "accuracy": "val_top1"}
TIMED_STEPS = 10
LONG_SECONDS = 20 * 60


@dataclass(frozen=True, slots=True)
class Best:
    """The best epoch so far, and its validation figure."""

    epoch: int = 0
    value: float = math.nan


class History:
    """Metrics and best weights of one run folder.

    Attributes:
        rows: one per finished epoch.
        best: the epoch whose weights best.safetensors holds.
        monitored: the column of the rows that chooses it: `val_loss`, because a few hundred pictures tell losses
            apart better than accuracies, or `val_top1`.
        writes: whether this process is the one that writes.
    """

    def __init__(self, folder: Path, reporter: Reporter, monitor: str = "loss", *, writes: bool = True) -> None:
        self.folder, self.reporter, self.writes = folder, reporter, writes
        self.monitored = MONITORED[monitor]
        self.loggers: dict[str, Logger] = {}
        self.rows: list[EpochMetrics] = []
        self.best = Best()

    def open(self, name: str, spec: LoggerSpec) -> None:
        """Starts a logger. Raises `PluginError` where it cannot start, or the error that it has for the user."""
        if not self.writes:
            return
        try:
            self.loggers[name] = spec.create(self.folder)
        except ZooError:
            raise
        except Exception as error:
            raise PluginError(
                f"The logger '{name}' cannot start: {_said(error)}.", "Leave it out of --loggers."
            ) from error

    def restore(self, rows: Sequence[EpochMetrics], best: Best) -> None:
        """Goes on behind rows that the loggers have already."""
        self.rows, self.best = list(rows), best

    def add(self, row: EpochMetrics) -> bool:
        """Numbers an epoch's row, writes it everywhere, and tells whether it is the best so far."""
        row = {"epoch": len(self.rows) + 1, **row}
        self.rows.append(row)
        value = float(row[self.monitored])
        sign = -1 if self.monitored == "val_loss" else 1
        better = not self.best.epoch or sign * value > sign * self.best.value
        if better:
            self.best = Best(len(self.rows), value)
        for name, logger in list(self.loggers.items()):
            try:
                logger.log(row)
            except Exception as error:  # a figure less is no reason to lose a training
                with suppress(Exception):
                    self.loggers.pop(name).close()
                self.reporter.warn(f"The logger '{name}' failed and gets no further epochs: {_said(error)}.")
        self.reporter.say(
            f"{row['phase']:>8} {row['epoch']:>3}   loss {row['train_loss']:.4f}   train {row['train_top1']:7.2%}   "
            f"val {row['val_top1']:7.2%}{' *' if better else '  '}  {row['images_per_second']:>8,.0f} pictures/s"
        )
        return better

    def save_best(self, network: Mapping[str, Tensor]) -> None:
        """Writes best.safetensors: a network's state dict."""
        from safetensors.torch import save_file

        if self.writes:
            state = {name: value.detach().cpu().contiguous() for name, value in network.items()}
            write_atomically(self.folder / "best.safetensors", lambda path: save_file(state, path))

    def close(self) -> None:
        """Ends every logger, also where one of them raises."""
        while self.loggers:
            name, logger = self.loggers.popitem()
            try:
                logger.close()
            except Exception as error:  # as in add
                self.reporter.warn(f"The logger '{name}' failed at its end: {_said(error)}.")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ").removesuffix(".")


class ETA:
    """Says once, after the first steps, how long a number of steps will take."""

    def __init__(self, total_steps: int, reporter: Reporter) -> None:
        self.total, self.reporter = total_steps, reporter
        self.times: list[float] = []

    def before(self, advance: Callable[[int], None]) -> Callable[[int], None]:
        """Puts the clock before a progress bar's advance."""

        def tick(steps: int) -> None:
            self._tick()
            advance(steps)

        return tick

    def _tick(self) -> None:
        if len(self.times) > TIMED_STEPS:
            return
        self.times.append(time.perf_counter())
        if len(self.times) <= TIMED_STEPS:
            return
        seconds = float(np.median(np.diff(self.times))) * self.total
        words = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"  # noqa: PLR2004
        self.reporter.say(f"Expected training time: about {words}.")
        if seconds > LONG_SECONDS:
            self.reporter.say("Shorter: --strategy head, a smaller --image-size, or fewer --epochs.")

"""What a training writes and says while it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from zoo.errors import PluginError, ZooError
from zoo.files import write_atomically
from zoo.progress import Reporter
from zoo.specs import EpochMetrics, Logger, LoggerSpec

MONITORED = {"loss": "val_loss", "accuracy": "val_top1"}
HEADING = "  epoch  phase          loss accuracy  val loss   val acc      time  pictures/s"


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
        says: whether each epoch gets a line.
    """

    def __init__(
        self, folder: Path, reporter: Reporter, monitor: str = "loss", *, writes: bool = True, says: bool = True
    ) -> None:
        self.folder, self.reporter, self.writes, self.says = folder, reporter, writes, says
        self.monitored = MONITORED[monitor]
        self.loggers: dict[str, Logger] = {}
        self.rows: list[EpochMetrics] = []
        self.best = Best()
        self._epochs, self._headed = 0, False

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
        if self.says:
            self._say(row, better=better)
        return better

    def _say(self, row: EpochMetrics, *, better: bool) -> None:
        if not self._headed:
            what = "loss" if self.monitored == "val_loss" else "accuracy"
            self.reporter.say(f"\n* is the best validation {what} so far: the weights of that epoch are kept.")
            self.reporter.say(HEADING)
            self._headed = True
        self.reporter.say(self._line(row, better=better))

    def begin(self, epochs: int) -> None:
        """Says how many epochs there will be, if nothing ends the training before."""
        self._epochs, self._headed = epochs, False

    def _line(self, row: EpochMetrics, *, better: bool) -> str:
        stars = {name: "*" if better and name == self.monitored else " " for name in MONITORED.values()}
        epoch = f"{row['epoch']}/{self._epochs}"
        return (
            f"{epoch:>7}  {row['phase']:<10}{row['train_loss']:>9.4f}{row['train_top1']:>9.2%}"
            f"{row['val_loss']:>10.4f}{stars['val_loss']}{row['val_top1']:>9.2%}{stars['val_top1']}"
            f"{_time(float(row['seconds'])):>9}{row['images_per_second']:>12,.0f}"
        )

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


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"  # noqa: PLR2004


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ").removesuffix(".")

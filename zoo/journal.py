"""What a training writes and says while it runs."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zoo.progress import Reporter
from zoo.runs import write_atomically
from zoo.specs import Logger

Row = dict[str, float | int | str]

TIMED_STEPS = 10
LONG_SECONDS = 20 * 60


@dataclass(frozen=True, slots=True)
class Best:
    """The best epoch so far, by validation loss: a few hundred pictures tell losses apart better than accuracies."""

    epoch: int = 0
    loss: float = math.inf


class Journal:
    """Metrics and checkpoints of one run folder.

    Attributes:
        rows: one per finished epoch.
        best: the epoch whose weights best.safetensors holds.
    """

    def __init__(self, folder: Path, loggers: Sequence[Logger], reporter: Reporter) -> None:
        self.folder, self.loggers, self.reporter = folder, loggers, reporter
        self.rows: list[Row] = []
        self.best = Best()

    def add(self, row: Row) -> bool:
        """Numbers an epoch's row, writes it everywhere, and tells whether it is the best so far."""
        row = {"epoch": len(self.rows) + 1, **row}
        self.rows.append(row)
        better = float(row["val_loss"]) < self.best.loss
        if better:
            self.best = Best(len(self.rows), float(row["val_loss"]))
        write_atomically(self.folder / "metrics.csv", self._write_rows)
        for logger in self.loggers:
            logger.log(row)
        self.reporter.say(
            f"{row['phase']:>8} {row['epoch']:>3}   loss {row['train_loss']:.4f}   train {row['train_top1']:7.2%}   "
            f"val {row['val_top1']:7.2%}{' *' if better else '  '}  {row['images_per_second']:>8,.0f} pictures/s"
        )
        return better

    def save_best(self, network: nn.Module) -> None:
        """Writes best.safetensors."""
        from safetensors.torch import save_file

        state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        write_atomically(self.folder / "best.safetensors", lambda path: save_file(state, path))

    def save_last(self, state: Mapping[str, Any]) -> None:
        """Writes last.ckpt: tensors and plain values alone, so that it loads with `weights_only=True`."""
        whole = {"epoch": len(self.rows), "torch": torch.get_rng_state(), **state}
        write_atomically(self.folder / "last.ckpt", lambda path: torch.save(whole, path))

    def close(self) -> None:
        for logger in self.loggers:
            logger.close()

    def _write_rows(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)


class Clock:
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

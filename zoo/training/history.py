"""The epochs of a training so far, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from zoo.files import write_atomically
from zoo.specs import EpochMetrics

MONITORED = {"loss": "val_loss", "accuracy": "val_top1"}


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

    def __init__(self, folder: Path, monitor: str = "loss", *, writes: bool = True) -> None:
        self.folder, self.writes = folder, writes
        self.monitored = MONITORED[monitor]
        self.rows: list[EpochMetrics] = []
        self.best = Best()

    def restore(self, rows: Sequence[EpochMetrics], best: Best) -> None:
        """Goes on behind the rows of an interrupted run."""
        self.rows, self.best = list(rows), best

    def add(self, row: EpochMetrics) -> tuple[EpochMetrics, bool]:
        """Returns an epoch's row with its number, and whether it is the best so far."""
        row = {"epoch": len(self.rows) + 1, **row}
        self.rows.append(row)
        value = float(row[self.monitored])
        sign = -1 if self.monitored == "val_loss" else 1
        better = not self.best.epoch or sign * value > sign * self.best.value
        if better:
            self.best = Best(len(self.rows), value)
        return row, better

    def save_best(self, network: Mapping[str, Tensor]) -> None:
        """Writes best.safetensors: a network's state dict."""
        from safetensors.torch import save_file

        if self.writes:
            state = {name: value.detach().cpu().contiguous() for name, value in network.items()}
            write_atomically(self.folder / "best.safetensors", lambda path: save_file(state, path))

"""The built-in destinations for metrics, registered as anybody's plugin registers its own."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import MissingExtraError
from zoo.files import write_atomically
from zoo.hookspecs import hookimpl
from zoo.runs.tracking import MLflowLogger, TrackioLogger, WandbLogger
from zoo.specs import EpochMetrics, LoggerSpec

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class CsvLogger:
    """Writes metrics.csv anew after every epoch: who reads it finds whole rows.

    Of a file that is there already, the epochs before the first one logged stay.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "metrics.csv"
        self.rows: list[EpochMetrics] = []

    def log(self, row: EpochMetrics) -> None:
        if not self.rows and self.path.exists():
            self.rows = self._rows_before(int(row["epoch"]))
        self.rows.append(dict(row))
        write_atomically(self.path, self._write)

    def close(self) -> None:
        pass

    def _rows_before(self, epoch: int) -> list[EpochMetrics]:
        with self.path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if int(row["epoch"]) < epoch]

    def _write(self, path: Path) -> None:
        columns = dict.fromkeys(name for row in self.rows for name in row)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=columns)
            writer.writeheader()
            writer.writerows(self.rows)


class TensorBoardLogger:
    """Writes event files into RUN/tensorboard: a scalar for each number of a row, its step the epoch.

    `train_loss` and `val_loss` become `loss/train` and `loss/val`, which TensorBoard shows side by side.

    Raises `MissingExtraError` where the package `tensorboard` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtraError("The logger 'tensorboard'", "tensorboard") from None
        self.folder = folder / "tensorboard"
        self.create = SummaryWriter
        self.writer: SummaryWriter | None = None

    def log(self, row: EpochMetrics) -> None:
        step = int(row["epoch"])
        if self.writer is None:
            # Late, because a run that ends before its first epoch leaves nothing; purge_step hides what an
            # interrupted run had logged from this epoch on.
            self.writer = self.create(str(self.folder), purge_step=step)
        for name, value in row.items():
            if name != "epoch" and not isinstance(value, str):
                self.writer.add_scalar(scalar_name(name), value, step)
        self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def scalar_name(column: str) -> str:
    """TensorBoard's name for a column of metrics.csv; what stands before the slash groups the charts."""
    split, _, figure = column.partition("_")
    return f"{figure}/{split}" if split in ("train", "val") and figure else column


@hookimpl
def zoo_loggers() -> Iterable[LoggerSpec]:
    yield LoggerSpec(name="csv", create=CsvLogger, description="metrics.csv in the run folder")
    yield LoggerSpec(
        name="tensorboard",
        create=TensorBoardLogger,
        description="TensorBoard event files; needs visionzoo[tensorboard]",
    )
    yield LoggerSpec(name="mlflow", create=MLflowLogger, description="MLflow; needs visionzoo[mlflow]")
    yield LoggerSpec(name="wandb", create=WandbLogger, description="Weights & Biases; needs visionzoo[wandb]")
    yield LoggerSpec(name="trackio", create=TrackioLogger, description="trackio; needs visionzoo[trackio]")

"""What a training tells those who watch it: loggers, progress, tests and callers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zoo.specs import EpochMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStart:
    """A phase that begins or continues.

    Attributes:
        name: as in `metrics.csv`.
        epochs: its length.
        batches: of each epoch.
        steps: batches that are still to come in the phase.
        brief: whether an epoch takes only moments.
    """

    name: str
    epochs: int
    batches: int
    steps: int
    brief: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochStart:
    """An epoch that begins or continues.

    Attributes:
        phase: name of its phase.
        epoch, epochs: its number in that phase, from 1, and how many the phase has.
        batches: of the epoch.
        done: batches that an interrupted run had finished.
    """

    phase: str
    epoch: int
    epochs: int
    batches: int
    done: int


class Listener:
    """Told what happens, in this order. Override the methods that you need.

    The methods are called between two steps of the training, so the training waits for them.
    """

    def on_fit_start(self, epochs: int) -> None:
        """Takes the number of all epochs, if nothing ends the training early."""

    def on_phase_start(self, start: PhaseStart) -> None:
        """Other stages train from now on."""

    def on_epoch_start(self, start: EpochStart) -> None:
        """The first batch of an epoch comes next."""

    def on_batch_end(self, running: Callable[[], tuple[float, float]]) -> None:
        """Takes a function that returns the epoch's loss and accuracy so far. Calling it waits for the device."""

    def on_epoch_end(self, row: EpochMetrics, *, better: bool) -> bool | None:
        """Takes the epoch's row of `metrics.csv`, and whether it is the best epoch so far.

        If it returns True, the training ends with this epoch, and its best epoch is evaluated.
        """

    def on_fit_end(self) -> None:
        """The training ended: with its last epoch, early, or with an error."""

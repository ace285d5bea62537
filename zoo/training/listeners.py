"""The listeners of every training: the console and the loggers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from zoo.errors import PluginError, ZooError
from zoo.progress import Bar, Reporter
from zoo.registry import registry
from zoo.specs import EpochMetrics, Logger, LoggerSpec
from zoo.training.duration import ETA, TIMED_STEPS
from zoo.training.events import EpochStart, Listener, PhaseStart
from zoo.training.history import MONITORED

HEADING = "  epoch  phase          loss accuracy  val loss   val acc      time  pictures/s"


class Console(Listener):
    """Prints a table of the epochs, a bar for the batches, and how long a training will take.

    Args:
        monitored: the column of the rows that chooses the best epoch.
        every: batches between two printed lines; None for once a minute.
        table: whether to print a row for each epoch.
    """

    def __init__(self, reporter: Reporter, monitored: str, every: int | None = None, *, table: bool = True) -> None:
        self.reporter, self.monitored, self.every, self.table = reporter, monitored, every, table
        self._epochs, self._headed = 0, False
        self._eta: ETA | None = None
        self._bar: Bar | None = None
        self._open = ExitStack()

    def on_fit_start(self, epochs: int) -> None:
        self._epochs, self._headed = epochs, False

    def on_phase_start(self, start: PhaseStart) -> None:
        # A shorter epoch says itself how long it takes.
        timed = not start.brief and start.batches > TIMED_STEPS
        self._eta = ETA(start.steps, self.reporter) if timed else None

    def on_epoch_start(self, start: EpochStart) -> None:
        what = f"{start.phase} {start.epoch}/{start.epochs}"
        self._bar = self._open.enter_context(self.reporter.bar(what, start.batches, self.every))
        self._bar(start.done)

    def on_batch_end(self, running: Callable[[], tuple[float, float]]) -> None:
        if self._eta:
            self._eta.tick()
        if self._bar:
            self._bar(1, lambda: "loss {:.4f}, accuracy {:.2%}".format(*running()))

    def on_epoch_end(self, row: EpochMetrics, *, better: bool) -> None:
        self._open.close()
        if not self.table:
            return
        if not self._headed:
            what = "loss" if self.monitored == "val_loss" else "accuracy"
            self.reporter.say(f"\n* is the best validation {what} so far: the weights of that epoch are kept.")
            self.reporter.say(HEADING)
            self._headed = True
        self.reporter.say(self._line(row, better=better))

    def on_fit_end(self) -> None:
        self._open.close()

    def _line(self, row: EpochMetrics, *, better: bool) -> str:
        stars = {name: "*" if better and name == self.monitored else " " for name in MONITORED.values()}
        epoch = f"{row['epoch']}/{self._epochs}"
        return (
            f"{epoch:>7}  {row['phase']:<10}{row['train_loss']:>9.4f}{row['train_top1']:>9.2%}"
            f"{row['val_loss']:>10.4f}{stars['val_loss']}{row['val_top1']:>9.2%}{stars['val_top1']}"
            f"{_time(float(row['seconds'])):>9}{row['images_per_second']:>12,.0f}"
        )


class LoggerListener(Listener):
    """Gives a logger the rows. One that fails is named once, and gets no more: it must not end a training."""

    def __init__(self, name: str, logger: Logger, reporter: Reporter) -> None:
        self.name, self.reporter = name, reporter
        self.logger: Logger | None = logger

    def on_epoch_end(self, row: EpochMetrics, *, better: bool) -> None:  # noqa: ARG002
        if self.logger is None:
            return
        try:
            self.logger.log(dict(row))  # a copy: what it does to the row is its own affair
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too
            failed, self.logger = self.logger, None
            with suppress(Exception, SystemExit):
                failed.close()
            self.reporter.warn(f"The logger '{self.name}' failed and gets no further epochs: {_said(error)}.")

    def close(self) -> None:
        """Ends the logger."""
        if self.logger is None:
            return
        try:
            self.logger.close()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # as in on_epoch_end
            self.reporter.warn(f"The logger '{self.name}' failed at its end: {_said(error)}.")


def open_logger(name: str, spec: LoggerSpec, folder: Path, reporter: Reporter) -> LoggerListener:
    """Starts a logger. Raises `PluginError` where it cannot start, or the error that it has for the user."""
    try:
        made = spec.create(folder)
        lacks = [each for each in ("log", "close") if not callable(getattr(made, each, None))]
    except (ZooError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginError(
            f"The logger '{name}' cannot start: {_said(error)}.", "Leave it out of --loggers.", code="logger-failed"
        ) from error
    if lacks:
        raise PluginError(
            f"The logger '{name}' cannot be used: what its 'create' returned has no function '{lacks[0]}'.",
            "Leave it out of --loggers. Its author can give it log(row) and close().",
            code="logger-incomplete",
        )
    return LoggerListener(name, made, reporter)


@contextmanager
def open_loggers(names: Sequence[str], folder: Path, reporter: Reporter) -> Iterator[list[LoggerListener]]:
    """The registered loggers of these names, open while the context is. Raises `PluginError`."""
    with ExitStack() as stack:
        opened = []
        for name in names:
            found = registry().logger(name)
            opened.append(open_logger(found.name, found.spec, folder, reporter))
            stack.callback(opened[-1].close)
        yield opened


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"  # noqa: PLR2004


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ").removesuffix(".")

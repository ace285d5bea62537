"""The rules of loggers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import TimeoutError as LateError
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from zoo.errors import PluginError
from zoo.processes.threads import Threads
from zoo.registry.validation import spec_fault
from zoo.specs import EpochMetrics, Logger, LoggerSpec
from zoo.testing.rules import Report, Rule, broken, follow

SECONDS = 10.0  # of one call
T = TypeVar("T")
ROWS: tuple[dict[str, float | int | str], ...] = tuple(
    {
        "epoch": epoch,
        "phase": "all",
        "learning_rate": 0.01 / epoch,
        "train_loss": 1.5 / epoch,
        "train_top1": 0.5 + epoch / 10,
        "val_loss": 1.6 / epoch,
        "val_top1": 0.4 + epoch / 10,
        "seconds": 1.25,
    }
    for epoch in (1, 2, 3)
)


@dataclass(eq=False)
class LoggerCase:
    """A logger that is looked at, in a folder of its own. One thread makes all calls, as in a training."""

    spec: LoggerSpec
    folder: Path
    seconds: float = SECONDS
    _thread: Threads | None = None

    def create(self) -> Logger:
        return self.within("create", lambda: self.spec.create(self.folder))

    def within(self, what: str, call: Callable[[], T]) -> T:
        """Calls a function of the logger. One that takes too long is left to itself."""
        self._thread = self._thread or Threads(1)
        future = self._thread.submit(call)
        try:
            return future.result(self.seconds)
        except LateError:
            if future.done():  # the logger itself raised it
                raise
            self.end()
            raise broken(
                f"Its '{what}' did not return within {self.seconds:g} seconds.",
                "Send what takes long from a thread of its own, and give it a limit.",
            ) from None

    def end(self) -> None:
        """Ends the thread, if no call keeps it."""
        if self._thread:
            self._thread.shutdown(wait=False)
        self._thread = None


def _valid(case: LoggerCase) -> None:
    if fault := spec_fault(case.spec):
        raise broken(fault, "Give the field a value as zoo.specs.LoggerSpec describes it.")


def _creates(case: LoggerCase) -> None:
    logger = case.create()
    for name in ("log", "close"):
        if not callable(getattr(logger, name, None)):
            raise broken(f"What 'create' returns has no function '{name}'.", "Give it log(row) and close().")
    case.within("close", logger.close)


def _takes_rows(case: LoggerCase) -> None:
    logger = case.create()
    for row in ROWS:
        given: dict[str, float | int | str] = dict(row)
        _log(case, logger, given)
        if given != row:
            raise broken("Its 'log' changed the row that it got.", "Copy it first: dict(row).")
    case.within("close", logger.close)


def _takes_read_only(case: LoggerCase) -> None:
    logger = case.create()
    _log(case, logger, MappingProxyType(dict(ROWS[0])))
    case.within("close", logger.close)


def _takes_other_columns(case: LoggerCase) -> None:
    logger = case.create()
    _log(case, logger, ROWS[0])
    _log(case, logger, {**ROWS[1], "another_figure": 0.5})
    _log(case, logger, {key: value for key, value in ROWS[2].items() if key != "seconds"})
    case.within("close", logger.close)


def _goes_on(case: LoggerCase) -> None:
    for part in (ROWS[:2], ROWS[2:]):
        logger = case.create()
        for row in part:
            _log(case, logger, row)
        case.within("close", logger.close)


def _log(case: LoggerCase, logger: Logger, row: EpochMetrics) -> None:
    case.within("log", lambda: logger.log(row))


RULES: tuple[Rule[LoggerCase], ...] = (
    Rule(name="valid", says="The fields of the spec have the types and values of `LoggerSpec`.", check=_valid),
    Rule(
        name="creates",
        says="`create` takes a run folder and returns an object with `log` and `close`; each returns in time.",
        check=_creates,
        after=("valid",),
    ),
    Rule(name="takes-rows", says="`log` takes rows and does not change them.", check=_takes_rows, after=("creates",)),
    Rule(
        name="takes-read-only",
        says="`log` takes a row as a mapping that cannot be changed.",
        check=_takes_read_only,
        after=("takes-rows",),
    ),
    Rule(
        name="takes-other-columns",
        says="Later rows may have more or fewer columns.",
        check=_takes_other_columns,
        after=("takes-rows",),
    ),
    Rule(
        name="goes-on",
        says="A second logger goes on in the same folder, as a resumed training needs it.",
        check=_goes_on,
        after=("takes-rows",),
    ),
)


def report_logger(spec: LoggerSpec, seconds: float = SECONDS) -> Report:
    """Looks at all rules of a logger, in a temporary folder."""
    if not isinstance(spec, LoggerSpec):
        raise PluginError("What was given is not a LoggerSpec.", "Give one, as the hook zoo_loggers returns it.")
    with tempfile.TemporaryDirectory(prefix="zoo-testing-", ignore_cleanup_errors=True) as folder:
        case = LoggerCase(spec, Path(folder), seconds)
        try:
            return follow(f"the logger '{spec.name}'", RULES, case)
        finally:
            case.end()

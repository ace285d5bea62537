"""Rules that a plugin's parts keep, and reports of which were kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from zoo.errors import MissingExtraError, ZooError, raised

State = Literal["kept", "broken", "skipped"]
T = TypeVar("T")
Check = Callable[[T], None]


# Called with each result, and with the subject, the name and the sentence of a rule before it is looked at.
on_result: ContextVar[Callable[[Result], None]] = ContextVar("on_result", default=lambda _: None)
on_rule: ContextVar[Callable[[str, str, str], None]] = ContextVar("on_rule", default=lambda *_: None)


class ConformanceError(ZooError, AssertionError):
    """Something breaks rules of `zoo.testing`. The message names each rule, the cause and the remedy."""

    code = "conformance"

    def __init__(self, report: Report) -> None:
        rules = ", ".join(dict.fromkeys(f"'{result.rule}'" for result in report.broken))
        lines = "\n".join(map(_line, report.broken))
        super().__init__(f"These rules are broken: {rules}.", f"What to do about each:\n{lines}")
        self.report = report


class BrokenRuleError(ZooError):
    """A rule that does not hold. `zoo.testing` catches it."""

    code = "broken-rule"


class SkippedRuleError(Exception):
    """A rule that cannot be looked at here, with the reason as a sentence. `zoo.testing` catches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[T]):
    """One rule.

    Attributes:
        name: stays when its wording changes: `repeatable`.
        says: what must hold, as a sentence.
        check: raises `ZooError` where it does not hold, and `SkippedRuleError` where it cannot be looked at.
        after: the rules without which it makes no sense.
    """

    name: str
    says: str
    check: Check[T]
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one rule.

    Attributes:
        subject: what was looked at: `the backbone 'tiny'`.
        cause: what is wrong, or why the rule was skipped. Empty where it was kept.
        remedy: what to do about it.
    """

    subject: str
    rule: str
    says: str
    state: State
    cause: str = ""
    remedy: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """The results of all rules that were looked at."""

    results: tuple[Result, ...]

    @property
    def broken(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.state == "broken")

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of the rules that were kept."""
        return tuple(result.rule for result in self.results if result.state == "kept")

    @property
    def passed(self) -> bool:
        return not self.broken

    def __add__(self, other: Report) -> Report:
        return Report((*self.results, *other.results))

    def __str__(self) -> str:
        return "\n".join(map(_line, self.results))

    def raise_if_broken(self) -> Report:
        """The report itself. Raises `ConformanceError` where a rule is broken."""
        if not self.passed:
            raise ConformanceError(self)
        return self


def _line(result: Result) -> str:
    tail = f": {result.cause} {result.remedy}".rstrip() if result.cause else ""
    return f"{result.subject}, {result.rule}, {result.state}{tail}"


def broken(cause: str, remedy: str) -> BrokenRuleError:
    """The error for a rule that does not hold."""
    return BrokenRuleError(cause, remedy)


def follow(subject: str, rules: Sequence[Rule[T]], case: T) -> Report:
    """Looks at all rules in their order. A rule after one that is not kept is skipped."""
    results: list[Result] = []
    for rule in rules:
        kept = {result.rule for result in results if result.state == "kept"}
        first = next((each for each in rule.after if each not in kept), None)
        on_rule.get()(subject, rule.name, rule.says)
        begun = time.perf_counter()
        state, cause, remedy = _looked_at(rule, case) if first is None else ("skipped", f"Rule '{first}' is first.", "")
        seconds = time.perf_counter() - begun
        result = Result(
            subject=subject,
            rule=rule.name,
            says=rule.says,
            state=state,
            cause=cause,
            remedy=remedy,
            seconds=round(seconds, 3),
        )
        on_result.get()(result)
        results.append(result)
    return Report(tuple(results))


def _looked_at(rule: Rule[T], case: T) -> tuple[State, str, str]:
    try:
        rule.check(case)
    except SkippedRuleError as reason:
        return "skipped", str(reason), ""
    except MissingExtraError as missing:  # of visionzoo, not a fault of the plugin
        return "skipped", str(missing), ""
    except ZooError as error:
        return "broken", error.cause, error.remedy
    except (Exception, SystemExit) as error:  # other people's code
        return "broken", f"It raised {raised(error)}.", "Fix the code that raises it."
    return "kept", "", ""

"""How the report of a check shows itself: one line, and tables in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.html import count, table, text

if TYPE_CHECKING:
    from zoo.audit.findings import Report


def line_of(report: Report) -> str:
    """One line: what was checked, and how many problems there are."""
    pictures = count(sum(facts["pictures"] for facts in report.splits.values()), "picture")
    classes = count(len(report.classes), "class", "es")
    warnings = count(len(report.problems) - report.errors, "warning")
    return f"Report({report.name or 'dataset'}: {pictures}, {classes}, {count(report.errors, 'error')}, {warnings})"


def html_of(report: Report) -> str:
    """The splits, and the problems."""
    splits = (
        (text(name), f"{facts['pictures']:,}", f"{facts['unreadable']:,}") for name, facts in report.splits.items()
    )
    problems = (
        (problem.severity, text(f"{problem.message} {problem.remedy}"), f"{len(problem.examples):,}")
        for problem in report.problems
    )
    shown = table("Splits", ("split", "pictures", "unreadable"), splits, names={0})
    if not report.problems:
        return f"{shown}<p>No problems found.</p>"
    return shown + table("Problems", ("severity", "problem", "examples"), problems, names={0, 1})

"""The runs of a folder side by side, as `zoo list runs` compares them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

HEADERS = ("run", "accuracy", "macro F1", "strategy", "epochs", "px", "time", "status", "backbone", "dataset")


def runs(*, by_accuracy: bool = False) -> list[dict[str, Any]]:
    """The runs under ./runs, newest or most accurate first; a folder whose run.json is damaged is named as such."""
    from zoo.runs.run import RUNS

    found = [_run(file) for file in RUNS.glob("*/run.json")]
    found.sort(key=lambda run: str(run.get("created", "")), reverse=True)
    if by_accuracy:
        found.sort(key=lambda run: -1 if run.get("top1") is None else run["top1"], reverse=True)
    return found


def _run(file: Path) -> dict[str, Any]:
    from zoo.runs.info import RunInfo

    folder = {"name": file.parent.name, "path": str(file.parent)}
    try:
        info = RunInfo.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {**folder, "status": "damaged: run.json cannot be read"}
    best = file.with_name("best.safetensors")
    return {
        **folder,
        "backbone": info.backbone,
        "weights": info.weights.name,
        "dataset": info.dataset.name,
        "status": info.status,
        "created": info.created,
        "metrics_split": info.metrics_split,
        "top1": info.metrics.get("top1"),
        "macro_f1": info.metrics.get("macro_f1"),
        "metrics": info.metrics,
        "strategy": info.plan.strategy,
        "epochs": sum(phase.epochs for phase in info.plan.phases) or info.plan.epochs,
        "best_epoch": info.best_epoch,
        "image_size": info.plan.preprocess.image_size,
        "plan": info.facts()["plan"],
        "training_seconds": info.training_seconds,
        "weights_bytes": best.stat().st_size if best.exists() else None,
    }


def run_columns(records: Sequence[dict[str, Any]]) -> tuple[Sequence[str], list[list[str]]]:
    """Headers and rows for people.

    The columns `status`, `backbone` and `dataset` are left out where they say nothing new: all runs are finished, or
    named after what they trained, as they are by default.
    """
    new = {
        "status": any(record["status"] != "finished" for record in records),
        "backbone": any(record.get("backbone", "") not in record["name"] for record in records),
        "dataset": any(record.get("dataset", "") not in record["name"] for record in records),
    }
    shown = [column for column, header in enumerate(HEADERS) if new.get(header, True)]
    rows = [_cells(record) for record in records]
    return [HEADERS[column] for column in shown], [[str(row[column]) for column in shown] for row in rows]


def _cells(run: dict[str, Any]) -> tuple[object, ...]:
    return (
        run["name"],
        "-" if run.get("top1") is None else f"{_short(run['metrics_split'])} {run['top1']:.2%}",
        "-" if run.get("macro_f1") is None else f"{run['macro_f1']:.2%}",
        _known(run.get("strategy")),
        _known(run.get("epochs")),
        _known(run.get("image_size")),
        _duration(run.get("training_seconds")),
        run["status"],
        _known(run.get("backbone")),
        _known(run.get("dataset")),
    )


def _known(value: object) -> object:
    return "-" if value is None else value


def _short(split: object) -> str:
    return "val" if split == "validation" else str(split)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 100:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"  # noqa: PLR2004

"""Predictions as rows: what `zoo predict --json` prints and `zoo serve` answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.artifacts.predictor import Prediction


def json_row(file: str, prediction: Prediction) -> dict[str, Any]:
    """One picture's answer, for JSON: its file, the most probable class, and the classes that come next."""
    return {
        "file": file,
        "label": prediction.label,
        "probability": prediction.probability,
        "top": [{"label": label, "probability": share} for label, share in prediction.top],
    }

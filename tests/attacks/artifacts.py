"""Hostile artifacts that `artifacts/damage.py` does not make: each with what must come back, and what it may cost."""

from __future__ import annotations

from .artifacts_answers import ANSWERS
from .artifacts_cards import CARDS
from .artifacts_onnx import ONNX
from .artifacts_torch import TORCH
from .attack import Artifact

ARTIFACTS: dict[str, Artifact] = {artifact.name: artifact for artifact in (*CARDS, *ANSWERS, *ONNX, *TORCH)}

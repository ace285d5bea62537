"""The card of an artifact that never was exported: whatever a test does not care for."""

from __future__ import annotations

from typing import Any

from zoo.artifacts.card import Card

ANY = {
    "name": "colours",
    "format": "onnx",
    "created": "2026-01-02T03:04:05+0000",
    "classes": ("red", "green", "blue"),
    "preprocess": {"image_size": 28},
    "backbone": "means",
    "backbone_plugin": "visionzoo 1.0",
    "weights": "none",
    "dataset": {"name": "colours"},
    "recipe": {},
    "metrics": {"top1": 0.9},
    "metrics_split": "test",
    "parity": {},
    "versions": {},
    "content_hash": "sha256:0",
}


def any_card(**changes: Any) -> Card:
    """A card of three classes; `changes` are fields of it."""
    return Card.model_validate(ANY | changes)

"""EfficientNet-Lite backbones for visionzoo."""

from __future__ import annotations

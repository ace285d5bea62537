"""The image classifiers of timm as backbones for visionzoo."""

from __future__ import annotations

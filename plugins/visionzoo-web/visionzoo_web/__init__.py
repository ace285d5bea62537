"""Web pages that run exported models in their visitors' browsers."""

from __future__ import annotations

"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

ArtifactDevice = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where to compute.")]

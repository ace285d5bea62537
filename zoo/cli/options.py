"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

TimeLimit = Annotated[
    float,
    typer.Option(
        "--time-limit",
        metavar="SECONDS",
        help="Longest time for one answer of the file, for example 600. Opening the file gets 60 s or more.",
    ),
]
ArtifactDevice = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where to compute.")]

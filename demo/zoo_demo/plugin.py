"""The command `zoo demo`; what it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import ArtifactDevice
from zoo.hookspecs import hookimpl


@hookimpl
def zoo_commands(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    artifacts: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="ARTIFACT",
            help="Files that `zoo export` wrote. Several make a menu; none, the newest run's.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, show_default=False, help="By default 7860, or the next free one."),
    ] = None,
    device: ArtifactDevice = "cpu",
) -> None:
    """Try a model in the browser.

    Upload pictures or, for digits and letters, draw them.
    """
    from zoo.cli.console import stderr, stdout, warn
    from zoo_demo.models import load_models, newest_artifact
    from zoo_demo.server import LOOPBACK, free_port, running, wait_for_interrupt

    paths = artifacts or [newest_artifact()]
    if not artifacts:
        stderr().print(f"Showing {paths[0]}, the newest exported model.", markup=False)
    free_port(host, port)  # before models are loaded in vain
    models = load_models(paths, device)
    with running(models, host, port) as url:
        if host not in LOOPBACK:
            warn("Everybody who can reach this machine over the network can use the demo.")
        stdout().print(f"The demo is at {url} (Ctrl-C ends it).", markup=False)
        wait_for_interrupt()
    stderr().print("The demo has ended.")

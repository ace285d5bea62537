"""The command `zoo demo`; what it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from zoo.cli.options import ArtifactDevice
from zoo.hookspecs import hookimpl
from zoo_demo.limits import PICTURE_SECONDS


@hookimpl
def zoo_commands(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    artifacts: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="ARTIFACT_OR_FOLDER",
            help="Files from `zoo export`, or folders of them; several give a menu. Default: the file of the newest "
            "run.",
            show_default=False,
        ),
    ] = None,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on. 0.0.0.0 lets other machines connect.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, show_default=False, help="Port to listen on. Default: 7860, or the next free port."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="Another host name of the page, for example of a proxy or a tunnel. *.example.org means all its "
            "subdomains. Repeat the option for more names.",
        ),
    ] = None,
    time_limit: Annotated[float, typer.Option(min=0.1, help="Seconds for one picture.")] = PICTURE_SECONDS,
    language: Annotated[
        Literal["en", "zh"] | None,
        typer.Option(show_default=False, help="Language of the page. Default: that of each visitor's browser."),
    ] = None,
    device: ArtifactDevice = "cpu",
) -> None:
    """Try a model in the browser.

    Upload pictures or, for digits and letters, draw them.
    """
    from zoo.progress import Reporter
    from zoo_demo.models import LeftOut, loaded, newest_artifact
    from zoo_demo.server import free_port, running, wait_for_interrupt
    from zoo_serve.hosts import check_patterns, is_loopback

    names = check_patterns(allow_host or [])
    reporter, paths = Reporter(), artifacts or [newest_artifact()]
    if not artifacts:
        reporter.say(f"Showing {paths[0]}, the newest exported model.")
    free_port(host, port)  # before the models load
    left_out: list[LeftOut] = []
    with (
        loaded(paths, device, time_limit, left_out=left_out) as models,
        running(models, host, port, allowed_hosts=names, left_out=left_out, language=language) as url,
    ):
        for each in left_out:
            reporter.warn(f"'{each.file}' is left out: {each.reason}")
        if not is_loopback(host):
            reporter.warn("Everyone who can reach this machine over the network can use the demo.")
        typer.echo(f"The demo is at {url} (Ctrl-C ends it).")
        wait_for_interrupt()
    reporter.say("The demo has ended.")

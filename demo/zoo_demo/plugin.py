"""The command `zoo demo`; what it needs is imported when it runs."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zoo.cli.options import ArtifactDevice
from zoo.hookspecs import hookimpl
from zoo_demo.limits import PICTURE_SECONDS

if TYPE_CHECKING:
    from zoo.progress import Reporter


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
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="USER[:PASSWORD]",
            show_default=False,
            help="User name and password of the page and of /api. Without the password, it is asked for. Default: the "
            "variable ZOO_DEMO_AUTH.",
        ),
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help="Open a public address, too. Pictures travel over servers of Gradio.")
    ] = False,
    device: ArtifactDevice = "cpu",
) -> None:
    """Try a model in the browser.

    Upload pictures or, for digits and letters, draw them.
    """
    from zoo.progress import Reporter
    from zoo_demo.access import Access, credentials_from
    from zoo_demo.models import LeftOut, loaded, newest_artifact
    from zoo_demo.server import free_port, running, wait_for_interrupt
    from zoo_demo.tunnel import public_address
    from zoo_serve.hosts import check_patterns, is_loopback
    from zoo_serve.settings import TOKEN, token_from

    names, credentials = [*check_patterns(allow_host or [])], credentials_from(auth)
    token = token_from(None, ask=False) if credentials else None
    os.environ.pop(TOKEN, None)  # the models' processes need not know it
    access = Access(credentials, token) if credentials else None
    reporter, paths = Reporter(), artifacts or [newest_artifact()]
    if not artifacts:
        reporter.say(f"Showing {paths[0]}, the newest exported model.")
    free_port(host, port)  # before the models load
    left_out: list[LeftOut] = []
    page: dict[str, Any] = {"allowed_hosts": names, "left_out": left_out, "language": language, "access": access}
    with (
        loaded(paths, device, time_limit, left_out=left_out) as models,
        running(models, host, port, **page) as url,
        public_address(url, names) if share else nullcontext() as public,
    ):
        for each in left_out:
            reporter.warn(f"'{each.file}' is left out: {each.reason}")
        if not is_loopback(host) and access is None:
            reporter.warn(
                "Everyone who can reach this machine over the network can use the demo. Set a password with --auth."
            )
        typer.echo(f"The demo is at {url} (Ctrl-C ends it).")
        if public:
            _tell_public(public, reporter, protected=access is not None)
        wait_for_interrupt()
    reporter.say("The demo has ended.")


def _tell_public(address: str, reporter: Reporter, *, protected: bool) -> None:
    typer.echo(f"It is also at {address}")
    reporter.warn("Pictures and answers of this public address travel over servers of Gradio.")
    if not protected:
        reporter.warn("Everyone who has the public address can use the demo. Set a password with --auth.")

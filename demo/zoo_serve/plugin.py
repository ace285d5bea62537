"""The command `zoo serve`; what it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import ArtifactDevice
from zoo.errors import MissingExtraError
from zoo.hookspecs import hookimpl
from zoo_serve.limits import (
    BATCH_SIZE,
    MAX_FORM_BYTES,
    MAX_SECONDS,
    MAX_UPLOAD_BYTES,
    MAX_WAITING,
    PICTURE_SECONDS,
    Limits,
)


@hookimpl
def zoo_commands(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(
    artifacts: Annotated[
        list[Path],
        typer.Argument(metavar="ARTIFACT...", help="Files from `zoo export`; the first one is the default."),
    ],
    *,
    host: Annotated[str, typer.Option(help="Address to listen on. 0.0.0.0 lets other machines connect.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="Another host name of the service, for example of a proxy. *.example.org means all its subdomains. "
            "Repeat the option for more names.",
        ),
    ] = None,
    root_path: Annotated[str, typer.Option(help="Path before all routes, for example of a proxy: /models")] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="File with the token that requests must have. Default: the variable ZOO_SERVE_TOKEN.",
        ),
    ] = None,
    ask_token: Annotated[bool, typer.Option("--ask-token", help="Ask for the token at the start.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes, each with its own models and queue.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=False,
            help="Threads of each model. Default: the cores of a worker but one, for decoding.",
        ),
    ] = None,
    time_limit: Annotated[
        float, typer.Option(min=0.1, max=MAX_SECONDS, help="Seconds from a request to its answer.")
    ] = PICTURE_SECONDS,
    queue: Annotated[int, typer.Option(min=1, help="Pictures that may wait or run at once.")] = MAX_WAITING,
    batch: Annotated[int, typer.Option(min=1, max=1024, help="Most pictures in one run of a model.")] = BATCH_SIZE,
    max_megabytes: Annotated[
        float, typer.Option(min=0.001, max=MAX_FORM_BYTES / 1e6, help="Largest file of a picture.")
    ] = MAX_UPLOAD_BYTES / 1e6,
    device: ArtifactDevice = "cpu",
) -> None:
    """Answer HTTP requests of programs with exported models.

    POST a picture's file to /predict; /docs describes all addresses. Ctrl-C or SIGTERM ends the service after the
    requests that it has taken.
    """
    from zoo.artifacts.predictor import read_card
    from zoo.progress import Reporter
    from zoo_serve.cores import core_share
    from zoo_serve.hosts import check_patterns, is_loopback
    from zoo_serve.ports import address_of
    from zoo_serve.settings import Settings, check_root_path, token_from

    try:
        from zoo_serve.server import serve as run
    except ImportError:
        raise MissingExtraError("The HTTP service", "serve") from None
    for path in artifacts:  # before anything listens
        read_card(path)
    cores = max(1, core_share() // workers)
    settings = Settings(
        artifacts=tuple(str(path.absolute()) for path in artifacts),
        device=device,
        host=host,
        port=port,
        allowed_hosts=tuple(check_patterns(allow_host or [])),
        root_path=check_root_path(root_path),
        workers=workers,
        threads=threads or max(1, cores - 1),
        decoders=cores,
        token=token_from(token_file, ask_token),
        limits=Limits(seconds=time_limit, waiting=queue, batch=batch, file_bytes=round(max_megabytes * 1e6)),
    )
    reporter = Reporter()
    if not is_loopback(host) and settings.token is None:
        reporter.warn("Everyone who can reach this machine over the network can use the service. Set ZOO_SERVE_TOKEN.")
    run(settings, lambda: typer.echo(f"The service is at {address_of(host, port)} (Ctrl-C ends it)."))
    reporter.say("The service has ended.")

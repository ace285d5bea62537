"""The command `zoo`: one thin module per command, heavy imports inside the commands."""

from __future__ import annotations

import os
import sys

import typer

from zoo._version import __version__
from zoo.cli import (
    adopt,
    bench,
    cache,
    check,
    evaluate,
    export,
    info,
    listing,
    lr_find,
    plugins,
    predict,
    preview,
    train,
    verify,
)
from zoo.cli.console import accept_all_text, fail, flush, refused, warn
from zoo.cli.option_groups import GroupedCommand
from zoo.cli.parsing import Group
from zoo.cli.plugin_files import with_plugin_files
from zoo.errors import PluginError, ZooError
from zoo.processes.children import guard

INTERRUPTED = (130, 143)  # exit codes of Ctrl-C and SIGTERM

HELP = """Fine-tune an image classifier with one command, export it, and trust what you deploy.

First steps:

    zoo train resnet18 mnist

    zoo export --onnx

    zoo demo
"""

app = typer.Typer(
    name="zoo",
    cls=Group,
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,  # Typer's panels import rich.markdown: more CPU than all the rest of `zoo --help`
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order of use.
app.command("check")(with_plugin_files(check.check))
app.command("preview")(preview.preview)
app.command("lr-find", cls=GroupedCommand)(lr_find.lr_find)
app.command("train", cls=GroupedCommand)(train.train)
app.command("adopt")(with_plugin_files(adopt.adopt))
app.command("evaluate")(with_plugin_files(evaluate.evaluate))
app.command("export")(with_plugin_files(export.export))
app.command("verify")(with_plugin_files(verify.verify))
app.command("predict")(with_plugin_files(predict.predict))
app.command("bench")(with_plugin_files(bench.bench))
app.command("list")(with_plugin_files(listing.list_))
app.command("info")(with_plugin_files(info.info))
app.command("cache")(cache.cache)
app.add_typer(plugins.app, name="plugins")


def _version(show: bool) -> None:
    if show:
        typer.echo(f"zoo {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    pass


def main() -> None:
    """Runs a command; a `ZooError`, or what the operating system refuses, becomes a sentence and an exit code."""
    from zoo.cli.tables import warn_problems
    from zoo.registry import registry
    from zoo.registry.configuration import disabled_names

    guard()
    accept_all_text()
    try:
        try:
            disabled_names()
        except PluginError as damaged:
            warn(str(damaged))
        registry().add_commands(app, sys.argv[1:])
        warn_problems(registry().problems)
        _run()
    except ZooError as error:
        fail(error)
    except KeyboardInterrupt:
        warn("Interrupted.")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe (`zoo list | head`) may leave early: https://docs.python.org/3/library/signal.html
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        fail(refused(error))


def _run() -> None:
    try:
        app()
    except SystemExit as end:
        flush()
        if isinstance(end.code, int) and end.code in INTERRUPTED:
            _leave(end.code)
        raise


def _leave(code: int) -> None:
    """Ends the process at once where a runtime is still at work: the interpreter does not end well beside it."""
    from zoo.processes.threads import busy

    if busy():
        sys.stderr.flush()
        os._exit(code)

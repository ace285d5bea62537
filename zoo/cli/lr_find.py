"""`zoo lr-find`: the options of `zoo train`, a sweep of the learning rate."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.train import JSON, given_recipe, with_options
from zoo.errors import MissingExtraError
from zoo.recipes.values import flag


def lr_find(**options: Any) -> None:
    """Find a learning rate: a short sweep from far too small to far too large.

    It takes the options of `zoo train`, trains what that would train before its last step (the head, for
    finetune), and leaves nothing but a plot and a table.
    """
    from zoo.progress import Reporter
    from zoo.runs.folder import create_folder_at

    output: Path = options.pop("output")
    as_json: bool = options.pop("json")
    given = dict(options)
    recipe = given_recipe({**options, "learning_rate": None})  # the one that is to be replaced
    try:
        from zoo.training.lr_find import lr_find as sweep_rates
        from zoo.training.lr_find import write_sweep
    except ImportError:
        raise MissingExtraError("Training", "train") from None

    made = not output.exists()
    create_folder_at(output)
    try:
        sweep = sweep_rates(recipe, Reporter())
        plot, table = write_sweep(sweep, output)
    finally:
        if made:
            with suppress(OSError):  # it holds the plot
                output.rmdir()
    command = _command(given, sweep.suggestion)
    found = {"suggestion": sweep.suggestion, "present": sweep.present, "reason": sweep.reason}
    if as_json:
        import json

        rows = {"learning_rates": sweep.rates.tolist(), "losses": sweep.losses.tolist()}
        typer.echo(json.dumps({**found, "command": command, "plot": str(plot), **rows}))
        return
    if sweep.suggestion is None:
        said = f"No suggestion: {sweep.reason}. Keep the present rate, {sweep.present:.2g}."
    else:
        said = f"Suggested learning rate: {sweep.suggestion:.2g}, where the loss falls fastest"
        said += f" (now: {sweep.present:.2g})"
    typer.echo(f"\n{said}\nPlot:  {plot}\nTable: {table}\nNext:  {command}")


def _command(given: Mapping[str, Any], learning_rate: float | None) -> str:
    """The `zoo train` of the same options: with others the suggestion would be another. None leaves the default."""
    words = ["zoo", "train"]
    for name, value in given.items():
        if value in (None, []) or name == "learning_rate":
            continue
        if name in ("backbone", "dataset"):
            words.append(str(value))
        elif isinstance(value, bool):
            words.append(flag(name if value else f"no_{name}"))
        else:
            for each in value if isinstance(value, list) else [value]:
                words += [flag(name), str(each)]
    return shlex.join(words if learning_rate is None else [*words, "--learning-rate", f"{learning_rate:.2g}"])


_OUTPUT = typer.Option("--output", help="Folder for lr-find.png and lr-find.csv; files of these names are replaced.")
with_options(lr_find, output=(Annotated[Path, _OUTPUT], Path()), json=JSON)

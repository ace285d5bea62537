"""`zoo lr-find`: the options of `zoo train`, a sweep of the learning rate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.train import JSON, given_recipe, with_options
from zoo.errors import MissingExtraError


def lr_find(**options: Any) -> None:
    """Find a learning rate: a short sweep from far too small to far too large.

    It takes the options of `zoo train`, trains what that would train before its last step (the head, for
    finetune), and leaves nothing but a plot and a table.
    """
    from zoo.progress import Reporter
    from zoo.runs import create_folder_at

    output: Path = options.pop("output")
    as_json: bool = options.pop("json")
    recipe = given_recipe(options)
    create_folder_at(output)
    try:
        from zoo.lr_find import lr_find as sweep_rates
        from zoo.lr_find import write_sweep
    except ImportError:
        raise MissingExtraError("Training", "train") from None

    sweep = sweep_rates(recipe, Reporter())
    plot, table = write_sweep(sweep, output)
    if as_json:
        import json

        rows = {"learning_rates": sweep.rates.tolist(), "losses": sweep.losses.tolist()}
        typer.echo(json.dumps({"suggestion": sweep.suggestion, "plot": str(plot), **rows}))
        return
    typer.echo(
        f"\nSuggested learning rate: {sweep.suggestion:.2g} (where the loss falls fastest)\n"
        f"Plot:  {plot}\n"
        f"Table: {table}\n"
        f"Next:  zoo train with the same options and --learning-rate {sweep.suggestion:.2g}"
    )


_OUTPUT = typer.Option("--output", help="Folder for lr-find.png and lr-find.csv; files of these names are replaced.")
with_options(lr_find, output=(Annotated[Path, _OUTPUT], Path()), json=JSON)

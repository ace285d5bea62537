"""`zoo train`: its options are the fields of `zoo.recipe.Recipe`."""

from __future__ import annotations

import dataclasses
import inspect
import signal
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from zoo.errors import MissingExtraError
from zoo.recipe import Recipe


def train(**options: Any) -> None:
    """Fine-tune a backbone on pictures, and write a run folder.

    Examples:

        zoo train resnet18 mnist

        zoo train efficientnet_b0 ./photos --epochs 10

        zoo train --recipe runs/NAME/recipe.toml --seed 1
    """
    from zoo.data.prepare import find_dataset
    from zoo.registry import registry

    output: Path | None = options.pop("output")
    recipe_file: Path | None = options.pop("recipe")
    as_json: bool = options.pop("json")
    given = {name: value for name, value in options.items() if value is not None}
    stored = Recipe.read(recipe_file) if recipe_file else {}
    recipe = Recipe.make(**{**stored, **given})
    registry().backbone(recipe.backbone)
    find_dataset(recipe)
    # Late: a wrong name must not wait for torch.
    from zoo.progress import Reporter

    try:
        from zoo.training import train_recipe
    except ImportError:
        raise MissingExtraError("Training", "train") from None

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends a job loses no epoch
    run = train_recipe(recipe, output, Reporter())
    if as_json:
        import json

        typer.echo(json.dumps({"run": str(run.path), **run.info}))
        return
    figures = run.metrics
    page = run.path / "report.html"
    report = f"Report: {page}\n" if page.exists() else ""  # a warning has said why not
    typer.echo(
        f"\n{run.info['metrics_split']} accuracy {figures['top1']:.2%} on {figures['num_pictures']:,} pictures "
        f"(weights of epoch {run.info['best_epoch']}, {run.info['training_seconds']:.0f} s of training)\n"
        f"Run:    {run.path}\n"
        f"Plots:  {run.path / 'curves.png'}, {run.path / 'confusion.png'}\n"
        f"{report}"
        f"Next:   zoo export {run.path} --onnx --torchscript"
    )


def _signature() -> inspect.Signature:
    """Typer reads a command's options from its signature; this one is made from the recipe's fields."""
    hints = get_type_hints(Recipe, include_extras=True)
    parameters = []
    for field in dataclasses.fields(Recipe):
        kind, help_text = get_args(hints[field.name])
        required = field.default is dataclasses.MISSING
        if required:
            info: Any = typer.Argument(help=help_text, metavar=field.name.upper(), show_default=False)
        else:
            if field.default not in (None, "", False):
                help_text += f" Default: {field.default}."
            info = typer.Option("--" + field.name.replace("_", "-"), help=help_text, show_default=False)
        # None means "not given", so that a recipe file can say otherwise.
        annotation: Any = Annotated[kind | None, info]
        parameters.append(
            inspect.Parameter(field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)
        )
    extra: dict[str, tuple[Any, Any]] = {
        "recipe": (
            Annotated[
                Path | None,
                typer.Option("--recipe", help="Recipe file to start from; options given here win."),
            ],
            None,
        ),
        "output": (Annotated[Path | None, typer.Option("--output", help="Run folder to make.")], None),
        "json": (Annotated[bool, typer.Option("--json", help="Print the run as JSON.")], False),
    }
    for name, (annotation, default) in extra.items():
        kind_of = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(inspect.Parameter(name, kind_of, default=default, annotation=annotation))
    return inspect.Signature(parameters)


train.__signature__ = _signature()  # type: ignore[attr-defined]
train.__annotations__ = {name: p.annotation for name, p in train.__signature__.parameters.items()}  # type: ignore[attr-defined]

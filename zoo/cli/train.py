"""`zoo train`: its options are the fields of `zoo.recipe.Recipe`."""

from __future__ import annotations

import dataclasses
import inspect
import signal
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from zoo.errors import MissingExtraError, UsageError
from zoo.recipe import Recipe
from zoo.recipe_check import flag


def train(**options: Any) -> None:
    """Fine-tune a backbone on pictures, and write a run folder.

    Examples:

        zoo train resnet18 mnist

        zoo train efficientnet_b0 ./photos --epochs 10

        zoo train --recipe folder-resnet18 ./photos

        zoo train --recipe runs/NAME/recipe.toml --seed 1
    """
    output: Path | None = options.pop("output")
    as_json: bool = options.pop("json")
    recipe = given_recipe(options)
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


def given_recipe(options: dict[str, Any], usage: str = "zoo train", *, backbone_first: bool = True) -> Recipe:
    """The recipe that a command line describes, with names that exist. A wrong name must not wait for torch.

    Args:
        usage: how the command begins, for a remedy.
        backbone_first: whether the backbone stands before the dataset; otherwise it is an option.
    """
    from zoo.data.prepare import find_dataset
    from zoo.recipe_book import find
    from zoo.registry import registry

    file: str | None = options.pop("recipe")
    given = {name: value for name, value in options.items() if value is not None}
    stored = Recipe.read(find(file)) if file else {}
    if backbone_first and "backbone" in stored and "dataset" not in given and "backbone" in given:
        given["dataset"] = given.pop("backbone")  # `zoo train --recipe NAME DATASET`
    merged = {**stored, **given}
    if file and "dataset" not in merged:
        raise UsageError(f"The recipe {file} leaves the dataset to you.", f"Write: {usage} --recipe {file} DATASET")
    recipe = Recipe.make(**merged)
    registry().backbone(recipe.backbone)
    find_dataset(recipe)
    return recipe


def signature(extra: Mapping[str, tuple[Any, Any]], only: Collection[str] | None = None) -> inspect.Signature:
    """Typer reads a command's options from its signature; this one is made from the recipe's fields, or `only` some."""
    hints = get_type_hints(Recipe, include_extras=True)
    parameters = []
    for field in dataclasses.fields(Recipe):
        if only is not None and field.name not in only:
            continue
        kind, help_text = get_args(hints[field.name])
        required = field.default is dataclasses.MISSING
        if required:
            info: Any = typer.Argument(help=help_text, metavar=field.name.upper(), show_default=False)
        else:
            if field.default not in (None, "", False):
                help_text += f" Default: {field.default}."
            name = flag(field.name)
            # A recipe may say yes where the command line says no.
            names = f"{name}/{flag('no_' + field.name)}" if kind in (bool, bool | None) else name
            info = typer.Option(names, help=help_text, show_default=False)
        # None means "not given", so that a recipe file can say otherwise.
        annotation: Any = Annotated[kind | None, info]
        parameters.append(
            inspect.Parameter(field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)
        )
    recipe_option = typer.Option("--recipe", help="Recipe to start from, by name or file; options given here win.")
    extra = {"recipe": (Annotated[str | None, recipe_option], None), **extra}
    for name, (annotation, default) in extra.items():
        kind_of = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(inspect.Parameter(name, kind_of, default=default, annotation=annotation))
    return inspect.Signature(parameters)


def with_options(
    command: Callable[..., None], *, only: Collection[str] | None = None, **extra: tuple[Any, Any]
) -> None:
    """Gives a command the options of a recipe, all or `only` some, and further ones: their annotation and default."""
    command.__signature__ = signature(extra, only)  # type: ignore[attr-defined]
    parameters = command.__signature__.parameters  # type: ignore[attr-defined]
    command.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}


JSON = (Annotated[bool, typer.Option("--json", help="Print JSON.")], False)

with_options(
    train,
    output=(Annotated[Path | None, typer.Option("--output", help="Run folder to make.")], None),
    json=JSON,
)

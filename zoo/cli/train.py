"""`zoo train`: its options are the fields of `zoo.recipes.recipe.Recipe`."""

from __future__ import annotations

import dataclasses
import inspect
import signal
from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from zoo.cli.console import process_number
from zoo.cli.option_groups import HELP_ALL
from zoo.cli.plugin_files import add_files
from zoo.errors import MissingExtraError, UsageError
from zoo.recipes.place import with_files
from zoo.recipes.recipe import PLACES, Recipe
from zoo.recipes.values import Written, flag

if TYPE_CHECKING:
    from zoo.runs.run import Run


def train(**options: Any) -> None:
    """Fine-tune a backbone on pictures and write a run folder.

    Examples:

        zoo train resnet18 mnist

        zoo train efficientnet_b0 ./photos --epochs 10

        zoo train --recipe folder-resnet18 ./photos

        zoo train --recipe runs/NAME/recipe.toml --seed 1

        zoo train --resume runs/NAME

        zoo train --resume runs/NAME --epochs 20
    """
    output: Path | None = options.pop("output")
    as_json: bool = options.pop("json")
    resumed: Path | None = options.pop("resume")
    if resumed:
        places = _places(resumed, options, output)
    else:
        recipe = given_recipe(options)
    # Late: a wrong name must not wait for torch.
    from zoo.progress import Reporter

    try:
        from zoo.training.train import resume_run, train_recipe
    except ImportError:
        raise MissingExtraError("Training", "train") from None

    try:
        run = resume_run(resumed, places, Reporter()) if resumed else train_recipe(recipe, output, Reporter())
    except KeyboardInterrupt as error:  # SIGTERM names its number
        raise typer.Exit(128 + (error.args[0] if error.args else signal.SIGINT)) from None
    if not process_number():
        _print(run, as_json=as_json)


def _print(run: Run, *, as_json: bool) -> None:
    if as_json:
        import json

        typer.echo(json.dumps({"run": str(run.path), **run.info.facts()}))
        return
    page = run.path / "report.html"
    report = f"Report: {page}\n" if page.exists() else ""  # a warning has said why not
    typer.echo(
        f"\n{_figures(run)}"
        f"Run:    {run.path}\n"
        f"Plots:  {run.path / 'curves.png'}, {run.path / 'confusion.png'}\n"
        f"{report}"
        f"Next:   zoo export {run.path} --onnx --torchscript"
    )


def _figures(run: Run) -> str:
    """What came of a training, a line each."""
    from zoo.progress import in_words

    info, figures, best = run.info, run.metrics, run.info.validation
    split, plan = info.metrics_split, info.plan
    final = f"{split} accuracy {figures['top1']:.2%}, loss {figures['loss']:.4f}, {figures['num_pictures']:,} pictures"
    lines = [f"Final:  {final}"]
    if split == "validation" and f"{best['val_top1']:.2%}" != f"{figures['top1']:.2%}":
        low = {plan.precision, plan.frozen_precision} - {"fp32"}
        computed = f", and computed in {' and '.join(sorted(low))}" if low else ""
        lines += [
            "        (the pictures of the epochs above, but from their files and in fp32, as in an export;",
            f"        above they were shrunk beforehand and rounded to 8 bits{computed})",
        ]
    kept = f"epoch {info.best_epoch}, validation accuracy {best['val_top1']:.2%}, loss {best['val_loss']:.4f}"
    lines += [f"Best:   {kept}", f"Time:   {in_words(info.training_seconds or 0)} of training"]
    if info.parameters:
        total, trainable = info.parameters.total, info.parameters.trainable
        lines.append(f"Size:   {total:,} parameters, {trainable:,} of them trainable")
    return "\n".join(lines) + "\n"


def _places(run: Path, options: dict[str, Any], output: Path | None) -> dict[str, Any]:
    """The options beside --resume. Raises `UsageError` for one that a run cannot change."""
    from zoo.runs.run import Run

    given = {name: value for name, value in {**options, "output": output}.items() if value not in (None, [])}
    if "backbone" in given and "dataset" not in given:
        given["dataset"] = given.pop("backbone")  # `zoo train --resume RUN DATASET`
    fixed = [name for name in given if name not in (*PLACES, "epochs")]
    if fixed:
        named = fixed[0].upper() if fixed[0] in ("backbone", "dataset") else flag(fixed[0])
        raise UsageError(
            f"A resumed run keeps its options, so {named} cannot be used with --resume.",
            f"For other options, start a new run: zoo train --recipe {run / 'recipe.toml'} …",
            code="resume-fixed-option",
        )
    Run(run)  # refuses what is not a run, before torch is loaded
    return given


def given_recipe(options: dict[str, Any], usage: str = "zoo train", *, backbone_first: bool = True) -> Recipe:
    """The recipe that a command line describes, with names that exist. A wrong name must not wait for torch.

    Args:
        usage: how the command begins, for a remedy.
        backbone_first: whether the backbone stands before the dataset; otherwise it is an option.
    """
    from zoo.data.prepare import find_dataset
    from zoo.recipes.stored import merged, read_stored
    from zoo.registry import registry

    file: str | None = options.pop("recipe")
    given = {name: value for name, value in options.items() if value not in (None, [])}
    stored = read_stored(file)
    if "plugins" in given:
        given["plugins"] = with_files(stored.get("plugins", ()), given["plugins"])
    if backbone_first and "backbone" in stored and "dataset" not in given and "backbone" in given:
        given["dataset"] = given.pop("backbone")  # `zoo train --recipe NAME DATASET`
    found = merged(stored, given)
    if file and not found.get("dataset"):
        raise UsageError(
            f"The recipe {file} names no dataset.", f"Write: {usage} --recipe {file} DATASET", code="missing-option"
        )
    recipe = Recipe.make(**found)
    add_files(recipe.plugins)
    registry().backbone(recipe.backbone)
    find_dataset(recipe.place)
    return recipe


@cache
def _recipe_parameters() -> dict[str, inspect.Parameter]:
    """The recipe's fields as parameters. None means "not given", so that a recipe file can say otherwise."""
    hints = get_type_hints(Recipe, include_extras=True)
    parameters = {}
    for field in dataclasses.fields(Recipe):
        kind, help_text, *how = get_args(hints[field.name])
        written: Written | None = how[0] if how else None
        kind = str if written else kind
        info: Any
        if field.name == "plugins":
            kind, info = list[str], typer.Option("--plugin", metavar="FILE", help=help_text, show_default=False)
        elif field.default is dataclasses.MISSING:
            info = typer.Argument(help=help_text, metavar=field.name.upper(), show_default=False)
        else:
            if field.default not in (None, "", False):
                help_text += f" Default: {written.text(field.default) if written else field.default}."
            name = flag(field.name)
            # A recipe may say yes where the command line says no.
            names = f"{name}/{flag('no_' + field.name)}" if kind in (bool, bool | None) else name
            info = typer.Option(names, help=help_text, show_default=False)
        parameters[field.name] = _parameter(field.name, Annotated[kind | None, info], None)
    return parameters


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def signature(extra: Mapping[str, tuple[Any, Any]], only: Collection[str] | None = None) -> inspect.Signature:
    """Typer reads a command's options from its signature; this one is made from the recipe's fields, or `only` some."""
    chosen = [each for name, each in _recipe_parameters().items() if only is None or name in only]
    recipe_option = typer.Option("--recipe", help="Recipe to start from, by name or file; options given here win.")
    further = {"recipe": (Annotated[str | None, recipe_option], None), **extra}
    if only is None:
        further["help_all"] = (HELP_ALL, None)
    return inspect.Signature([*chosen, *(_parameter(name, *each) for name, each in further.items())])


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
    resume=(
        Annotated[
            Path | None,
            typer.Option(
                "--resume", help="Folder of an interrupted run to continue, or of a finished one to give more --epochs."
            ),
        ],
        None,
    ),
    output=(Annotated[Path | None, typer.Option("--output", help="Run folder to make.")], None),
    json=JSON,
)

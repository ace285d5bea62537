"""Training from Python: `zoo.train` and `zoo.resume`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

from zoo.progress import Reporter, in_notebook
from zoo.recipes.options import TrainOptions, spelled_out
from zoo.recipes.recipe import Recipe
from zoo.recipes.stored import merged, read_stored
from zoo.runs.run import Run
from zoo.specs import BackboneSpec
from zoo.training.distributed import leave_if_helper
from zoo.training.events import Listener
from zoo.training.own import Factory, backbone_name, dataset_name
from zoo.training.train import Interrupted, resume_run, train_recipe


@spelled_out
def train(
    backbone: str | BackboneSpec | Factory | None = None,
    dataset: Any = None,
    *,
    recipe: Path | str | None = None,
    head: str | None = None,
    output: Path | str | None = None,
    progress: bool | None = None,
    listeners: Sequence[Listener] = (),
    **options: Unpack[TrainOptions],
) -> Run:
    """Fine-tunes a backbone on a dataset.

    Args:
        backbone: a registered name, a `BackboneSpec`, or a function that takes the number of classes and returns a
            network, as `BackboneSpec.build` does. Its stages are then its top-level children.
        dataset: a registered name; the path of a folder or a list file; or what `zoo.data.as_dataset` takes: pictures
            with labels, or a dataset of another library.
        recipe: name or file of a recipe to start from; other arguments win over it.
        head: of a function's network, the qualified name of its last layer (`fc`). By default it is found.
        output: the run folder to make; by default one under `runs/`.
        progress: whether to print what `zoo train` prints. By default only in a notebook.
        listeners: told what happens, and may stop the training: `zoo.training.events.Listener`.
        options: the other fields of `zoo.recipes.recipe.Recipe`, as `zoo train --help-all` explains them.

    With several processes on this machine, each runs the calling script from its beginning. They end where this
    function returns, and the first one goes on alone.

    In a notebook, an interrupt ends the training and returns the run so far, if an epoch has ended.

    Raises:
        ZooError: with a cause and a remedy.
    """
    stored = read_stored(None if recipe is None else str(recipe))
    given: dict[str, Any] = {name: _text(value) for name, value in options.items()}
    if backbone is not None:
        given["backbone"] = backbone_name(backbone, head)
    if dataset is not None:
        given["dataset"] = dataset_name(dataset)
    found = Recipe.make(**merged(stored, given))
    folder = Path(output) if output else None
    return _run(lambda reporter: train_recipe(found, folder, reporter, listeners), progress)


def _text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def resume(run: Path | str, *, progress: bool | None = None, listeners: Sequence[Listener] = (), **places: Any) -> Run:
    """Goes on with a training that was interrupted, or is to take longer, from its last checkpoint.

    Args:
        run: its folder.
        progress: whether to print what `zoo train` prints. By default only in a notebook.
        listeners: told what happens: `zoo.training.events.Listener`.
        places: options of `zoo.recipes.recipe.PLACES` that are to differ from the recorded ones; for a finished run,
            `epochs`: how many it shall have in all.

    Raises:
        ZooError: with a cause and a remedy.
    """
    return _run(lambda reporter: resume_run(Path(run), places, reporter, listeners), progress)


def _run(work: Callable[[Reporter], Run], progress: bool | None) -> Run:
    """The run that `work` makes, for a caller in this process."""
    reporter = Reporter(quiet=not (in_notebook() if progress is None else progress))
    try:
        run = work(reporter)
    except Interrupted as interrupt:
        if interrupt.args or not in_notebook() or not (interrupt.folder / "best.safetensors").exists():
            raise
        if reporter.console.quiet:
            Reporter().warn(interrupt.kept)
        return Run(interrupt.folder)
    leave_if_helper()
    return run

"""Training, from a recipe to a run folder."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from zoo.data.prepare import anchored
from zoo.errors import UsageError
from zoo.files import write_atomically
from zoo.progress import Reporter
from zoo.recipes.parsing import seconds
from zoo.recipes.recipe import PLACES, Recipe
from zoo.registry import Registered, registry
from zoo.report.plots import plot_curves
from zoo.runs.run import Run, create_folder, in_use, remove_unfinished
from zoo.specs import BackboneSpec
from zoo.training import checkpoint
from zoo.training.advice import advice_after, advice_before, within_memory
from zoo.training.devices import choose_machine
from zoo.training.distributed import World, count_processes
from zoo.training.final_evaluation import final_figures
from zoo.training.history import History
from zoo.training.learner import check_compiler
from zoo.training.loop import Trainer
from zoo.training.manners import put_back
from zoo.training.plan import check_size
from zoo.training.resume import changes, fingerprint, machine, same_pictures
from zoo.training.setup import Setup, decode_splits, prepare
from zoo.training.summary import STAGE_HEADERS, count_parameters, stage_rows, summary
from zoo.training.time_budget import TimeBudget

RECORDED = ("visionzoo", "torch", "torchvision", "lightning-fabric", "numpy", "pillow")


def train(
    backbone: str, dataset: str | Path, *, output: Path | str | None = None, progress: bool = False, **options: Any
) -> Run:
    """Fine-tunes a backbone on a dataset.

    Args:
        backbone: a registered name.
        dataset: a registered name, or the path of a folder or a list file.
        output: the run folder to make; by default one under `runs/`.
        progress: whether to print what `zoo train` prints.
        options: the other fields of `zoo.recipes.recipe.Recipe`.

    Raises:
        ZooError: with a cause and a remedy.
    """
    given = {"backbone": backbone, "dataset": dataset, **options}
    recipe = Recipe.make(**{name: str(value) if isinstance(value, Path) else value for name, value in given.items()})
    return train_recipe(recipe, Path(output) if output else None, Reporter(quiet=not progress))


def resume(run: Path | str, *, progress: bool = False, **places: Any) -> Run:
    """Goes on with a training that was interrupted, from its last checkpoint.

    Args:
        run: its folder.
        progress: whether to print what `zoo train` prints.
        places: options of `zoo.recipes.recipe.PLACES` that are to differ from the recorded ones.

    Raises:
        ZooError: with a cause and a remedy.
    """
    return resume_run(Path(run), places, Reporter(quiet=not progress))


def train_recipe(recipe: Recipe, output: Path | None, reporter: Reporter) -> Run:
    """Runs a recipe; what `train` does behind its arguments."""
    recipe = anchored(recipe)
    with put_back(deterministic=recipe.deterministic):
        world, reporter = _start(recipe, reporter)
        folder, made = world.from_rank_zero(lambda: create_folder(recipe, output))
        try:
            return _guarded(recipe, Run.at(folder, recipe, {}), world, reporter)
        finally:
            if world.first and not any((folder / name).exists() for name in ("best.safetensors", checkpoint.NAME)):
                remove_unfinished(folder, made=made)


def resume_run(folder: Path, places: dict[str, Any], reporter: Reporter) -> Run:
    """What `resume` does behind its arguments."""
    run = Run(folder)
    strangers = [name for name in places if name not in PLACES]
    if strangers:
        raise UsageError(
            f"A run goes on with the options that it began with, so {strangers[0]} cannot be given.",
            f"For other options begin anew: zoo train --recipe {folder / 'recipe.toml'} …",
        )
    if run.info.get("status") == "finished":
        raise UsageError(
            f"The run {run.name} is finished.", f"Train another one: zoo train --recipe {folder / 'recipe.toml'}"
        )
    recipe = anchored(Recipe.make(**{**run.recipe.options(), **places}))
    with put_back(deterministic=recipe.deterministic):
        world, reporter = _start(recipe, reporter)
        return _guarded(recipe, run, world, reporter)


def _start(recipe: Recipe, reporter: Reporter) -> tuple[World, Reporter]:
    """Checks what can be checked before anything is written, and starts the processes of the training."""
    backbone = registry().backbone(recipe.backbone)
    for name in _loggers(recipe):
        registry().logger(name)
    if recipe.image_size is not None:
        check_size(recipe.image_size, backbone.spec)
    device = choose_machine(recipe)[0]
    processes = count_processes(recipe, device)
    if recipe.compile:
        check_compiler()
    world = World(device, *processes)
    return world, reporter if world.first else Reporter(quiet=True)


def _loggers(recipe: Recipe) -> list[str]:
    return [name.strip() for name in recipe.loggers.split(",") if name.strip()]


def _guarded(recipe: Recipe, run: Run, world: World, reporter: Reporter) -> Run:
    """Trains with what has to be undone afterwards."""
    history = History(run.path, reporter, recipe.monitor, writes=world.first)
    try:
        with in_use(run.path, here=world.first):
            for name in _loggers(recipe):
                logger = registry().logger(name)
                history.open(logger.name, logger.spec)
            return _train(recipe, run, history, world)
    except KeyboardInterrupt:
        best, goes_on = history.best.epoch, (run.path / checkpoint.NAME).exists()
        kept = f"{run.path} keeps epoch {best}, the best so far." if best else "No epoch had ended."
        again = f"Go on with: zoo train --resume {run.path}" if goes_on else "Nothing else is kept."
        reporter.warn(f"Interrupted. {kept} {again}")
        raise
    finally:
        history.close()


def _train(recipe: Recipe, run: Run, history: History, world: World) -> Run:
    reporter = history.reporter
    saved = checkpoint.load(run.path) if run.info else None
    budget = TimeBudget(seconds(recipe.time_budget), world, saved["spent"] if saved else 0.0)
    backbone = registry().backbone(recipe.backbone)
    setup = world.rank_zero_first(lambda: prepare(recipe, backbone.spec, reporter, run if saved else None))
    if saved:
        same_pictures(run, setup)
        for sentence in changes(run, setup, world):
            reporter.warn(sentence)
        run.info.setdefault("resumed", []).append(_now())
        run.info.setdefault("parameters", count_parameters(setup))  # older runs do not hold it
    else:
        run.info |= _describe(setup, backbone, world)
    run.info["status"] = "running"
    _write(world, run.save)
    facts = {**summary(setup, world), "writes to": f"{run.path}"}
    reporter.facts("Training", facts)
    reporter.table(STAGE_HEADERS, stage_rows(setup.plan, setup.stages, setup.network))
    for sentence in [] if saved else advice_before(setup, world.size):
        reporter.warn(sentence)
    stores = decode_splits(setup, reporter, processes=world.devices)
    run.info["unreadable"] = [sentence for store in stores for sentence in store.unreadable]
    with within_memory(setup, world.size):
        trainer = Trainer(setup, stores, history, world, budget)
        _fit(trainer, saved, run)
        for sentence in advice_after(setup, history.rows, history.best.epoch):
            reporter.warn(sentence)
        return final_figures(run, setup.dataset, world, reporter)


def _fit(trainer: Trainer, saved: dict[str, Any] | None, run: Run) -> None:
    started, before = time.perf_counter(), run.info.get("training_seconds", 0.0)
    history, run.info["status"] = trainer.history, "failed"
    try:
        trainer.fit(trainer.plan.phases, saved)
        run.info["status"] = "trained"
    except KeyboardInterrupt:
        run.info["status"] = "interrupted"
        raise
    finally:
        if history.rows:
            run.info["best_epoch"] = history.best.epoch
            best = history.rows[history.best.epoch - 1] if history.best.epoch else {}
            run.info["validation"] = {name: best[name] for name in ("val_loss", "val_top1") if name in best}
            run.info["training_seconds"] = round(before + time.perf_counter() - started, 1)
            _write(trainer.world, run.save)
            curves = run.path / "curves.png"
            _write(trainer.world, lambda: write_atomically(curves, lambda path: plot_curves(history.rows, path)))


def _write(world: World, write: Callable[[], None]) -> None:
    if world.first:
        write()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _limit_notes(setup: Setup) -> list[str]:
    trained, there = len(setup.splits[0]), setup.trainable_pictures
    return [f"Trained on {trained:,} of {there:,} training pictures (--limit)."] if trained < there else []


def _describe(setup: Setup, backbone: Registered[BackboneSpec], world: World) -> dict[str, Any]:
    """What run.json says before training begins."""
    return {
        "created": _now(),
        "backbone": backbone.name,
        "backbone_plugin": f"{backbone.distribution} {backbone.version}",
        "weights": {
            "name": setup.weights.name,
            "pretrained": setup.weights.pretrained,
            "note": setup.weights.note,
            "licence": setup.weights.licence,
        },
        "dataset": {
            "name": setup.data.name,
            "source": setup.dataset.source,
            "licence": setup.data.licence,
            "drawable": setup.data.drawable,
            "notes": [*setup.dataset.notes, *_limit_notes(setup)],
            "fingerprint": fingerprint(setup.splits),
        },
        "classes": list(setup.dataset.classes),
        "parameters": count_parameters(setup),
        "preprocess": asdict(setup.plan.preprocess),
        "plan": {name: value for name, value in asdict(setup.plan).items() if name != "preprocess"},
        "machine": machine(world),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in RECORDED}},
    }

"""Training, from a recipe to a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import UsageError, ZooError
from zoo.files import file_sha256, write_atomically
from zoo.models.image_size import check_size
from zoo.progress import Reporter, timestamp
from zoo.recipes.recipe import PLACES, Recipe
from zoo.registry import registry
from zoo.report.plots import plot_curves
from zoo.runs.backbones import backbone_of
from zoo.runs.folder import create_folder, in_use, remove_unfinished
from zoo.runs.info import RunInfo
from zoo.runs.plugins import resumed_files
from zoo.runs.run import Run
from zoo.training import checkpoint
from zoo.training.advice import advice_after, advice_before, within_memory
from zoo.training.before import check_space, check_test_pictures
from zoo.training.describe import describe
from zoo.training.devices import choose_machine, possible_precision
from zoo.training.distributed import World, check_processes, count_processes, note_end
from zoo.training.events import Listener
from zoo.training.final_evaluation import final_figures
from zoo.training.history import History
from zoo.training.learner import check_compiler
from zoo.training.listeners import Console, open_loggers
from zoo.training.loop import Trainer
from zoo.training.manners import put_back
from zoo.training.own import dataset_name
from zoo.training.resume import changes, same_pictures, with_more_epochs
from zoo.training.run_hooks import HookListener
from zoo.training.setup import Resolved, Setup, decode_splits, prepare, resolve
from zoo.training.summary import STAGE_HEADERS, stage_rows, summary
from zoo.training.time_budget import TimeBudget


class Interrupted(KeyboardInterrupt):
    """A training that was interrupted.

    Args:
        folder: of the run.
        kept: says what it leaves, one sentence or two.
        number: of the signal, if it was not Ctrl-C.
    """

    def __init__(self, folder: Path, kept: str, *number: object) -> None:
        super().__init__(*number)
        self.folder, self.kept = folder, kept


def train_recipe(recipe: Recipe, output: Path | None, reporter: Reporter, listeners: Sequence[Listener] = ()) -> Run:
    """Runs a recipe; what `train` does behind its arguments."""
    resolved = resolve(recipe)
    with put_back(deterministic=recipe.deterministic):
        world, reporter = _start(resolved, reporter)
        folder, made = world.from_rank_zero(lambda: create_folder(resolved.recipe, output))
        try:
            return _guarded(_Job(resolved, folder, None, world, reporter), listeners)
        finally:
            if world.first and not any((folder / name).exists() for name in ("best.safetensors", checkpoint.NAME)):
                remove_unfinished(folder, made=made)


def resume_run(folder: Path, places: dict[str, Any], reporter: Reporter, listeners: Sequence[Listener] = ()) -> Run:
    """What `resume` does behind its arguments."""
    run, places = Run(folder), dict(places)
    epochs: int | None = places.pop("epochs", None)
    fixed = [name for name in places if name not in PLACES]
    if fixed:
        raise UsageError(
            f"A resumed run keeps its options, so {fixed[0]} cannot change.",
            f"For other options, start a new run: zoo train --recipe {folder / 'recipe.toml'} …",
            code="resume-fixed-option",
        )
    if run.adopted:
        raise UsageError(
            f"The run {run.name} was adopted: it has weights from elsewhere, and no training to continue.",
            f"Start one from its weights: zoo train --recipe {folder / 'recipe.toml'} DATASET",
            code="run-adopted",
        )
    info = run.info if epochs is None else with_more_epochs(run, epochs, reporter)
    if epochs is None and info.status == "finished":
        raise UsageError(
            f"The run {run.name} is finished.",
            f"Train it longer: zoo train --resume {folder} --epochs N. "
            f"Or start a new one: zoo train --recipe {folder / 'recipe.toml'}",
            code="run-finished",
        )
    recipe = run.moved(dataset_name(places.pop("dataset"))).recipe if "dataset" in places else run.recipe
    longer = {} if epochs is None else {"epochs": epochs, "time_budget": None}
    options = {**recipe.options(), **longer, **places, "plugins": resumed_files(run, places.get("plugins", ()))}
    options["precision"] = possible_precision(options["device"], options["precision"])
    backbone_of(run)  # says which plugin is gone
    resolved = resolve(Recipe.make(**options))
    with put_back(deterministic=resolved.recipe.deterministic):
        world, reporter = _start(resolved, reporter)
        return _guarded(_Job(resolved, folder, info, world, reporter), listeners)


@dataclass(slots=True)
class _Job:
    """What one call trains, where, and for whom; `recorded` is the run.json of a resumed run."""

    resolved: Resolved
    folder: Path
    recorded: RunInfo | None
    world: World
    reporter: Reporter
    listeners: Sequence[Listener] = ()
    hooks: HookListener | None = None
    checkpoint: dict[str, Any] | None = None


def _start(resolved: Resolved, reporter: Reporter) -> tuple[World, Reporter]:
    """Checks what can be checked before anything is written, and starts the processes of the training."""
    recipe = resolved.recipe
    for name in recipe.loggers:
        registry().logger(name)
    if recipe.image_size is not None:
        check_size(recipe.image_size, resolved.backbone.spec)
    device = choose_machine(recipe.device, recipe.precision)[0]
    processes = count_processes(device, recipe.devices, recipe.nodes, recipe.batch_size)
    if recipe.compile:
        check_compiler()
    check_processes(processes[0])
    world = World(device, *processes)
    return world, reporter if world.first else Reporter(quiet=True)


def _guarded(job: _Job, listeners: Sequence[Listener]) -> Run:
    """Trains with what has to be undone afterwards."""
    recipe, folder, reporter, first = job.resolved.recipe, job.folder, job.reporter, job.world.first
    history = History(folder, recipe.monitor, writes=first)
    console = Console(reporter, history.monitored, recipe.log_every)
    try:
        with (
            in_use(folder, here=first),
            open_loggers(recipe.loggers if first else (), folder, reporter) as loggers,
        ):
            job.hooks = HookListener(folder) if first else None
            hooks = [job.hooks] if job.hooks else []
            job.listeners = [*loggers, console, *hooks, *(listeners if first else ())]
            return _train(job, history)
    except KeyboardInterrupt as interrupt:
        kept = f"Interrupted. {_kept(folder, history)}"
        if first:
            reporter.warn(kept)
        raise Interrupted(folder, kept, *interrupt.args) from None
    finally:
        note_end(job.world.size)


def _kept(folder: Path, history: History) -> str:
    """What an interrupted run leaves, in words."""
    saved = None
    with suppress(ZooError):
        saved = checkpoint.load(folder)
    best = history.best.epoch or (saved["best"]["epoch"] if saved else 0)
    if not (folder / "best.safetensors").exists():
        best = 0
    kept = f"{folder} keeps epoch {best}, the best so far." if best else "No epoch had ended."
    return f"{kept} Continue with: zoo train --resume {folder}" if saved else f"{kept} Nothing else is kept."


def _train(job: _Job, history: History) -> Run:
    world, reporter, recipe = job.world, job.reporter, job.resolved.recipe
    saved = job.checkpoint = checkpoint.load(job.folder) if job.recorded else None
    recorded = job.recorded if saved else None  # without a checkpoint, a run begins again
    budget = TimeBudget(recipe.time_budget, world, saved["spent"] if saved else 0.0)
    setup = world.rank_zero_first(lambda: prepare(job.resolved, reporter, recorded))
    if recorded:
        run = Run(job.folder, recipe, recorded)
        run.info.plugins = [registry().add_file(path) for path in recipe.plugins]
        same_pictures(run, setup)
        for sentence in changes(run, setup, world):
            reporter.warn(sentence)
        run.info.resumed.append(timestamp())
        run.info.status, run.info.weights_sha256 = "running", ""  # this training will write other weights
    else:
        run = Run(job.folder, recipe, describe(setup, world))
    with job.hooks.end_told(run) if job.hooks else nullcontext(), _status_of(run, world):
        if job.hooks:
            job.hooks.started(run, resumed=bool(recorded))
        return _fit_and_evaluate(job, run, setup, history, budget)


@contextmanager
def _status_of(run: Run, world: World) -> Iterator[None]:
    """Lets run.json say how a training ended, whatever ends it."""
    _write(world, run.save)
    try:
        yield
    except BaseException as error:
        if run.info.status == "running":
            run.info.status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            with suppress(OSError):  # an error is on its way already
                _write(world, run.save)
        raise


def _fit_and_evaluate(job: _Job, run: Run, setup: Setup, history: History, budget: TimeBudget) -> Run:
    world, reporter, saved = job.world, job.reporter, job.checkpoint
    facts = {**summary(setup, world), "writes to": f"{run.path}"}
    reporter.facts("Training", facts)
    reporter.table(STAGE_HEADERS, stage_rows(setup.plan, setup.stages, setup.network))
    for sentence in [] if saved else advice_before(setup, world.size):
        reporter.warn(sentence)
    check_space(run.path, setup, world, resumed=bool(saved))
    check_test_pictures(setup.dataset, setup.recipe.max_unreadable, world, reporter)
    stores = decode_splits(setup, reporter, processes=world.devices)
    run.info.unreadable = [sentence for store in stores for sentence in store.unreadable]
    with within_memory(setup, world.size):
        trainer = Trainer(setup, stores, history, world, budget, reporter=reporter, listeners=job.listeners)
        _fit(trainer, saved, run)
        for sentence in advice_after(setup, history.rows, history.best.epoch):
            reporter.warn(sentence)
        return final_figures(run, setup.dataset, world, reporter)


def _fit(trainer: Trainer, saved: dict[str, Any] | None, run: Run) -> None:
    started, before = time.perf_counter(), run.info.training_seconds or 0.0
    history = trainer.history
    try:
        trainer.fit(trainer.plan.phases, saved)
        run.info.status = "trained"
    finally:
        if history.rows:
            run.info.best_epoch = history.best.epoch
            best = history.rows[history.best.epoch - 1] if history.best.epoch else {}
            run.info.validation = {name: float(best[name]) for name in ("val_loss", "val_top1") if name in best}
            run.info.training_seconds = round(before + time.perf_counter() - started, 1)
            _write(trainer.world, lambda: _save(run, history))


def _save(run: Run, history: History) -> None:
    weights = run.path / "best.safetensors"
    if weights.exists():
        run.info.weights_sha256 = file_sha256(weights)
    run.save()
    write_atomically(run.path / "curves.png", lambda path: plot_curves(history.rows, path))


def _write(world: World, write: Callable[[], None]) -> None:
    if world.first:
        write()

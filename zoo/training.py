"""Training, from a recipe to a run folder."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from zoo.data import Dataset
from zoo.data.prepare import anchored, final_split
from zoo.data.store import check_unreadable
from zoo.errors import TrainingError
from zoo.evaluate import Evaluation, answers, classifier_stream
from zoo.fit import Fitter
from zoo.job import Job, decode_splits, prepare
from zoo.journal import Journal
from zoo.learner import check_compiler
from zoo.memory import keep_freed_memory
from zoo.plan import check_size, choose_machine
from zoo.plots import plot_curves
from zoo.progress import Reporter
from zoo.recipe import Recipe
from zoo.recipe_check import seconds
from zoo.registry import Registered, registry
from zoo.report import draw_run
from zoo.runs import Run, create_folder, remove_unfinished, write_atomically
from zoo.specs import BackboneSpec
from zoo.steps import Step
from zoo.summary import STAGE_HEADERS, stage_rows, summary

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
        options: the other fields of `zoo.recipe.Recipe`.

    Raises:
        ZooError: with a cause and a remedy.
    """
    given = {"backbone": backbone, "dataset": dataset, **options}
    recipe = Recipe.make(**{name: str(value) if isinstance(value, Path) else value for name, value in given.items()})
    return train_recipe(recipe, Path(output) if output else None, Reporter(quiet=not progress))


def train_recipe(recipe: Recipe, output: Path | None, reporter: Reporter) -> Run:
    """Runs a recipe; what `train` does behind its arguments."""
    keep_freed_memory()
    recipe = anchored(recipe)
    backbone = registry().backbone(recipe.backbone)
    loggers = [registry().logger(name.strip()) for name in recipe.loggers.split(",") if name.strip()]
    if recipe.image_size is not None:
        check_size(recipe.image_size, backbone.spec)
    choose_machine(recipe)
    if recipe.compile:
        check_compiler()
    folder, made = create_folder(recipe, output)
    journal = Journal(folder, reporter, recipe.monitor)
    try:
        for logger in loggers:
            journal.open(logger.name, logger.spec)
        with _deterministic(recipe):
            return _train(recipe, backbone, journal)
    except KeyboardInterrupt:
        best = journal.best.epoch
        kept = f"{folder} keeps epoch {best}, the best so far." if best else "Nothing is kept: no epoch had ended."
        reporter.warn(f"Interrupted. {kept}")
        raise
    finally:
        journal.close()
        if not journal.best.epoch:
            remove_unfinished(folder, made=made)


def _train(recipe: Recipe, backbone: Registered[BackboneSpec], journal: Journal) -> Run:
    reporter, folder, started = journal.reporter, journal.folder, time.perf_counter()
    job = prepare(recipe, backbone.spec, reporter)
    run = Run.create(folder, recipe, _describe(job, backbone))
    facts = {"backbone": f"{backbone.name}, weights: {job.weights.name}", **summary(job), "writes to": f"{folder}"}
    reporter.facts("Training", facts)
    reporter.table(STAGE_HEADERS, stage_rows(job.plan, job.stages, job.network))
    stores = decode_splits(job, reporter)
    run.info["unreadable"] = [sentence for store in stores for sentence in store.unreadable]
    fitter = Fitter(job, stores, journal, deadline=started + (seconds(recipe.time_budget) or math.inf))
    _fit(fitter, job.plan.steps, run, journal)
    return _finish(run, job.dataset, fitter.device, reporter)


def _fit(fitter: Fitter, steps: Sequence[Step], run: Run, journal: Journal) -> None:
    started = time.perf_counter()
    run.info["status"] = "failed"
    try:
        fitter.fit(steps)
        run.info["status"] = "trained"
    except KeyboardInterrupt:
        run.info["status"] = "interrupted"
        raise
    except torch.OutOfMemoryError:
        raise TrainingError(
            "The GPU has too little memory for this training.", "Give a smaller --batch-size or --image-size."
        ) from None
    finally:
        if journal.rows:
            run.info["best_epoch"] = journal.best.epoch
            run.info["training_seconds"] = round(time.perf_counter() - started, 1)
            run.save_info()
            write_atomically(run.path / "curves.png", lambda path: plot_curves(journal.rows, path))


@contextmanager
def _deterministic(recipe: Recipe) -> Iterator[None]:
    """Reproducible algorithms while the context is open, where the recipe asks for them."""
    before = torch.are_deterministic_algorithms_enabled()
    if recipe.deterministic:
        # https://docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _describe(job: Job, backbone: Registered[BackboneSpec]) -> dict[str, Any]:
    """What run.json says before training begins."""
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "status": "running",
        "backbone": backbone.name,
        "backbone_plugin": f"{backbone.distribution} {backbone.version}",
        "weights": {
            "name": job.weights.name,
            "pretrained": job.weights.pretrained,
            "note": job.weights.note,
            "licence": job.weights.licence,
        },
        "dataset": {
            "name": job.data.name,
            "source": job.dataset.source,
            "licence": job.data.licence,
            "drawable": job.data.drawable,
            "notes": list(job.dataset.notes),
        },
        "classes": list(job.dataset.classes),
        "preprocess": asdict(job.plan.preprocess),
        "plan": {name: value for name, value in asdict(job.plan).items() if name != "preprocess"},
        "machine": {
            "platform": platform.platform(),
            "threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name() if job.plan.device == "cuda" else platform.processor() or "cpu",
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in RECORDED}},
    }


def _finish(run: Run, dataset: Dataset, device: torch.device, reporter: Reporter) -> Run:
    """The final figures: the deployable classifier with the best weights, in fp32, on the raw pictures."""
    name, split = final_split(dataset, run.recipe.seed)
    stream = classifier_stream(run.classifier(), device)
    with reporter.bar(f"Final {name} figures", len(split)) as advance:
        logits, indices, unreadable = answers(stream, split, len(run.classes), advance)
    if name == "test":
        for sentence in unreadable:
            reporter.warn(f"Left out: {sentence}")
        run.info["unreadable"] += unreadable
        check_unreadable(unreadable, len(split), run.recipe.max_unreadable)
    if not len(indices):
        raise TrainingError(f"No {name} picture can be read.", "Mend the pictures; the checkpoint is kept.")
    found = Evaluation(
        classes=run.classes, split_name=name, split=split, logits=logits, indices=indices, unreadable=unreadable
    )
    run.info |= {"status": "finished", "metrics_split": name, "metrics": found.figures}
    run.save_info()
    try:
        draw_run(run, found)
    except Exception as error:  # whatever drawing libraries raise, the figures are safe
        reporter.warn(f"The final figures could not be drawn: {str(error) or type(error).__name__}")
    return run

"""Training, from a recipe to a run folder."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from zoo._version import __version__
from zoo.classifier import Classifier
from zoo.data import Dataset, Split
from zoo.data.prepare import final_split, load_dataset, training_splits
from zoo.data.store import Store, build_store, check_unreadable
from zoo.errors import DataError, TrainingError
from zoo.evaluate import classify
from zoo.fit import Fitter
from zoo.metrics import confusion_matrix, summarise
from zoo.plan import Plan, make_plan
from zoo.plots import plot_confusion, plot_curves
from zoo.progress import Reporter
from zoo.recipe import Recipe
from zoo.registry import Registered, registry
from zoo.runs import Run, create_folder, write_atomically, write_text
from zoo.specs import BackboneSpec, DatasetSpec, Stage
from zoo.weights import WeightsReport, load_weights


def train(
    backbone: str, dataset: str, *, output: Path | str | None = None, progress: bool = False, **options: Any
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
    recipe = Recipe.make(backbone=backbone, dataset=dataset, **options)
    return train_recipe(recipe, Path(output) if output else None, Reporter(quiet=not progress))


def train_recipe(recipe: Recipe, output: Path | None, reporter: Reporter) -> Run:
    """Runs a recipe; what `train` does behind its arguments."""
    backbone = registry().backbone(recipe.backbone)
    loggers = [registry().logger(name.strip()) for name in recipe.loggers.split(",") if name.strip()]
    data, dataset = load_dataset(recipe)
    for note in dataset.notes:
        reporter.warn(note)
    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(recipe.deterministic)
    network = backbone.spec.build(len(dataset.classes))
    weights = load_weights(network, backbone.spec, recipe.weights)
    if weights.note:
        reporter.warn(weights.note)
    plan = make_plan(recipe, backbone.spec, data, weights)
    splits = training_splits(dataset, recipe.seed)
    folder = create_folder(recipe, output)
    try:
        info = _describe(plan, backbone, data, dataset, weights)
        reporter.facts(
            "Training",
            _summary(
                recipe,
                plan,
                info=info,
                network=network,
                dataset=dataset,
                splits=splits,
                folder=folder,
                backbone=backbone.spec,
            ),
        )
        train_store, val_store = _stores(recipe, plan, dataset, splits, reporter)
        write_text(folder / "recipe.toml", recipe.toml())
        fitter = Fitter(
            recipe=recipe,
            plan=plan,
            network=network,
            head_name=backbone.spec.head,
            stores=(train_store, val_store),
            folder=folder,
            loggers=[logger.spec.create(folder) for logger in loggers],
            reporter=reporter,
        )
        started = time.perf_counter()
        try:
            fitter.fit()
        except KeyboardInterrupt:
            if fitter.rows:
                reporter.warn(f"Interrupted. {folder} keeps the best epoch so far, {fitter.best.epoch}.")
            raise
        finally:
            if fitter.rows:
                info |= {
                    "status": "interrupted",
                    "best_epoch": fitter.best.epoch,
                    "training_seconds": round(time.perf_counter() - started, 1),
                }
                run = _save(folder, info)
                write_atomically(folder / "curves.png", lambda path: plot_curves(fitter.rows, path))
    finally:
        if not (folder / "best.safetensors").exists():
            shutil.rmtree(folder)
    return _finish(run, dataset, fitter.device, reporter)


def _stores(
    recipe: Recipe, plan: Plan, dataset: Dataset, splits: tuple[Split, Split], reporter: Reporter
) -> tuple[Store, Store]:
    stores = []
    with reporter.bar("Decoding", sum(len(split) for split in splits)) as advance:
        for split, augmented in zip(splits, (plan.augment != "none", False), strict=True):
            store = build_store(split, plan.preprocess, augmented=augmented, advance=lambda: advance(1))
            stores.append(store)
    for split, store in zip(splits, stores, strict=True):
        for sentence in store.unreadable:
            reporter.warn(f"Left out: {sentence}")
        check_unreadable(store, split, recipe.max_unreadable, dataset.classes)
    if len(stores[0]) < 2:  # noqa: PLR2004
        raise DataError("There are fewer than two pictures to train on.", "Give more pictures.")
    return stores[0], stores[1]


def _describe(
    plan: Plan,
    backbone: Registered[BackboneSpec],
    data: DatasetSpec,
    dataset: Dataset,
    weights: WeightsReport,
) -> dict[str, Any]:
    """What run.json says before training begins."""
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "status": "running",
        "backbone": backbone.name,
        "backbone_plugin": f"{backbone.distribution} {backbone.version}",
        "weights": {
            "name": weights.name,
            "pretrained": weights.pretrained,
            "note": weights.note,
            "licence": weights.licence,
        },
        "dataset": {
            "name": data.name,
            "source": dataset.source,
            "licence": data.licence,
            "drawable": data.drawable,
            "notes": list(dataset.notes),
        },
        "classes": list(dataset.classes),
        "preprocess": asdict(plan.preprocess),
        "plan": {name: value for name, value in asdict(plan).items() if name != "preprocess"},
        "machine": {
            "platform": platform.platform(),
            "threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name() if plan.device == "cuda" else platform.processor() or "cpu",
        },
        "versions": {
            "visionzoo": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "torchvision", "lightning-fabric", "numpy", "pillow")},
        },
    }


def _summary(
    recipe: Recipe,
    plan: Plan,
    *,
    info: dict[str, Any],
    network: torch.nn.Module,
    dataset: Dataset,
    splits: Sequence[Split],
    folder: Path,
    backbone: BackboneSpec,
) -> dict[str, str]:
    def because(choice: str) -> str:
        return f" ({plan.reasons[choice]})" if choice in plan.reasons else ""

    final_name, final = final_split(dataset, recipe.seed)
    stages: Sequence[Stage] = backbone.stages(network)
    head = sum(p.numel() for p in network.get_submodule(backbone.head).parameters())
    total = sum(p.numel() for p in network.parameters())
    trains = {
        "head": f"{head:,} of {total:,} parameters: {stages[-1].name}",
        "finetune": f"first the head ({head:,}), then all {total:,} parameters",
        "full": f"all {total:,} parameters",
    }[plan.strategy]
    classes = ", ".join(dataset.classes[:8]) + (", …" if len(dataset.classes) > 8 else "")  # noqa: PLR2004
    spec = plan.preprocess
    validation = "the dataset's own" if dataset.val is not None else "a tenth of the training pictures"
    tested = f"{len(final):,} test" if final_name == "test" else "no test split: final figures on validation"
    return {
        "backbone": f"{info['backbone']}, weights: {info['weights']['name']}",
        "data": f"{info['dataset']['name']}: {dataset.source}",
        "classes": f"{len(dataset.classes)}: {classes}",
        "pictures": f"{len(splits[0]):,} training, {len(splits[1]):,} validation ({validation}), {tested}",
        "image size": f"{spec.image_size} pixels, {spec.resize}{because('image size')}",
        "strategy": f"{plan.strategy}{because('strategy')}",
        "trains": trains,
        "epochs": f"{plan.epochs} of {recipe.batch_size} pictures a step, augmentation: {plan.augment}",
        "optimizer": f"{recipe.optimizer}, learning rate {plan.learning_rate:g}, {recipe.schedule}",
        "device": f"{plan.device}{because('device')}",
        "precision": f"{plan.precision}{because('precision')}",
        "writes to": str(folder),
    }


def _finish(run: Run, dataset: Dataset, device: torch.device, reporter: Reporter) -> Run:
    """The final figures: the deployable classifier with the best weights, in fp32, on the raw pictures."""
    name, split = final_split(dataset, run.recipe.seed)
    classifier: Classifier = run.classifier().to(device)
    with reporter.bar(f"Final {name} figures", len(split)) as advance:
        logits, labels, unreadable = classify(classifier, split, device, advance)
    if not len(labels):
        raise TrainingError(f"No {name} picture can be read.", "Mend the pictures; the checkpoint is kept.")
    run.info |= {
        "status": "finished",
        "metrics_split": name,
        "metrics": summarise(logits, labels),
        "unreadable": unreadable,
    }
    title = f"{run.info['backbone']} on {run.info['dataset']['name']}: {name} accuracy {run.metrics['top1']:.2%}"
    counts = confusion_matrix(logits, labels)
    path = run.path / "confusion.png"
    write_atomically(path, lambda file: plot_confusion(counts, run.classes, title, file))
    run.save_info()
    return run


def _save(folder: Path, info: dict[str, Any]) -> Run:
    import json

    write_text(folder / "run.json", json.dumps(info, indent=2, ensure_ascii=False) + "\n")
    return Run(folder)

"""What `zoo info` says of a run and of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.progress import in_words

if TYPE_CHECKING:
    from zoo.runs.run import Run
    from zoo.specs import PreprocessSpec

    Facts = list[tuple[str, str]]

SHOWN_CLASSES = 10


def is_run(path: Path) -> bool:
    return (path / "run.json").is_file()


def pixel_range(spec: PreprocessSpec) -> str:
    """The end of a phrase: the range of values of pictures with more than 8 bits, where it was given."""
    return "" if spec.pixel_range is None else ", values {:g}..{:g}".format(*spec.pixel_range)


def run_facts(run: Run) -> Facts:
    """Of a run at any point of its life: what it has not reached is left out."""
    from zoo.data.seen import resize_in_words

    info, plan, classes = run.info, run.info.plan, run.classes
    parameters, seconds = info.parameters, info.training_seconds
    shown = ", ".join(classes[:SHOWN_CLASSES]) + (", …" if len(classes) > SHOWN_CLASSES else "")
    phases = ", then ".join(f"{phase.name} for {phase.epochs} epochs" for phase in plan.phases)
    return [
        ("run", str(run.path)),
        ("status", info.status),
        ("created", info.created),
        ("backbone", f"{info.backbone} ({info.backbone_plugin}), weights: {info.weights.name}"),
        ("dataset", f"{info.dataset.name}: {info.dataset.source}" if run.recipe.dataset else info.dataset.name),
        ("limit", _number(run.recipe.limit, "training pictures")),
        ("classes", f"{len(classes)}: {shown}"),
        ("image size", f"{run.preprocess.image_size} pixels{pixel_range(run.preprocess)}"),
        ("resize", resize_in_words(run.preprocess)),
        ("strategy", "" if run.adopted else f"{plan.strategy} ({phases})"),
        (
            "optimizer",
            "" if run.adopted else f"{run.recipe.optimizer}, learning rate {plan.learning_rate}, {run.recipe.schedule}",
        ),
        ("parameters", f"{parameters.total:,}, {parameters.trainable:,} of them trainable" if parameters else ""),
        ("best epoch", f"{info.best_epoch}, {_figures(info.validation)}" if info.best_epoch else ""),
        (f"{info.metrics_split} figures", _figures(info.metrics)),
        ("epochs", "" if run.adopted else _epochs(run)),
        ("training time", in_words(seconds) if seconds is not None else ""),
        ("exports", ", ".join(sorted(path.name for path in (run.path / "export").glob("model*")))),
    ]


def recipe_facts(name: str) -> Facts:
    """Of a recipe that comes with the package: what it is for, and its options."""
    from zoo.recipes.builtin import description, find
    from zoo.recipes.recipe import Recipe

    options = Recipe.read(find(name))
    return [
        ("recipe", name),
        ("description", description(name)),
        ("use", f"zoo train --recipe {name}" + ("" if "dataset" in options else " DATASET")),
        *((option, str(value).lower() if isinstance(value, bool) else str(value)) for option, value in options.items()),
    ]


def _epochs(run: Run) -> str:
    """How many there are, of those that were planned, and how to get the rest."""
    done, planned = len(run.rows()), sum(phase.epochs for phase in run.info.plan.phases)
    goes_on = run.info.status != "finished" and (run.path / "last.ckpt").exists()
    return f"{done} of {planned}" + (f"; continue with: zoo train --resume {run.path}" if goes_on else "")


def _number(count: int | None, noun: str) -> str:
    return "" if count is None else f"{count:,} {noun}"


def _figures(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in figures.items())

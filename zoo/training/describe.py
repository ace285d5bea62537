"""What run.json says of a training before it begins."""

from __future__ import annotations

from dataclasses import fields

from zoo.progress import timestamp
from zoo.registry import registry
from zoo.runs.info import DatasetInfo, RunInfo, WeightsInfo, library_versions
from zoo.training.distributed import World
from zoo.training.resume import fingerprint, machine
from zoo.training.setup import Setup
from zoo.training.summary import count_parameters


def _limit_notes(setup: Setup) -> list[str]:
    trained, there = len(setup.splits[0]), setup.trainable_pictures
    return [f"Trained on {trained:,} of {there:,} training pictures (--limit)."] if trained < there else []


def describe(setup: Setup, world: World) -> RunInfo:
    """The facts of a training, all but its results."""
    backbone, weights, dataset = setup.backbone, setup.weights, setup.dataset
    return RunInfo(
        created=timestamp(),
        backbone=backbone.name,
        backbone_plugin=backbone.release,
        plugins=[registry().add_file(path) for path in setup.recipe.plugins],
        weights=WeightsInfo(**{each.name: getattr(weights, each.name) for each in fields(WeightsInfo)}),
        dataset=DatasetInfo(
            name=setup.data.name,
            source=dataset.source,
            licence=setup.data.licence,
            drawable=setup.data.drawable,
            notes=[*dataset.notes, *_limit_notes(setup)],
            fingerprint=fingerprint(setup.splits),
        ),
        classes=list(dataset.classes),
        parameters=count_parameters(setup),
        plan=setup.plan,
        machine=machine(world),
        versions=library_versions(),
    )

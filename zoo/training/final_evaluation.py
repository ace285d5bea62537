"""The final figures: the deployable classifier with the best weights, in fp32, on the raw pictures."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from zoo.data import Dataset, Split
from zoo.data.prepare import final_split
from zoo.data.splits import evenly
from zoo.data.usable import check_unreadable
from zoo.errors import TrainingError
from zoo.evaluation.evaluation import Evaluation, Stream, answers, classifier_stream
from zoo.evaluation.looking import classifier_looking
from zoo.progress import Reporter
from zoo.report.page import draw_run
from zoo.runs.kept import keep_pictures
from zoo.runs.run import Run
from zoo.training.distributed import World


def final_figures(run: Run, dataset: Dataset, world: World, reporter: Reporter) -> Run:
    """Evaluates a trained run, every process its share of the pictures, and writes what it found."""
    name, split = final_split(dataset, run.recipe.seed)
    # The run's folder may be out of reach for other machines.
    classifier = run.classifier(world.from_rank_zero(run.weights))
    stream = classifier_stream(classifier, world.device)
    found = _evaluate(stream, run, name, split, world=world, reporter=reporter)
    if name == "test":  # the others were decoded before the training
        for sentence in dict.fromkeys(world.everyones(tuple(split.value_warnings()))):
            reporter.warn(sentence)
        for sentence in found.unreadable:
            reporter.warn(f"Left out: {sentence}")
        run.info.unreadable += found.unreadable
        check_unreadable(found.unreadable, len(split), run.recipe.max_unreadable)
    if not len(found.indices):
        raise TrainingError(
            f"No {name} picture can be read.", "Fix the pictures; the checkpoint is kept.", code="nothing-readable"
        )
    run.info = replace(
        run.info, status="finished", metrics_split=name, metrics=found.figures, confusion=found.confusion_facts()
    )
    if world.first:
        run.save()
        with suppress(OSError):  # only exports after the dataset has moved need them
            order = evenly(split.labels[found.indices], run.recipe.seed)
            keep_pictures(run.path, split, run.classes, found.indices[order].tolist())
        try:
            draw_run(run, found, partial(classifier_looking, classifier, stream))
        except Exception as error:  # whatever drawing libraries raise, the figures are safe
            reporter.warn(f"The final figures could not be drawn: {str(error) or type(error).__name__}")
    return run


def _evaluate(stream: Stream, run: Run, name: str, split: Split, *, world: World, reporter: Reporter) -> Evaluation:
    own = np.arange(len(split))[world.share]
    with reporter.bar(f"Final {name} figures", len(own)) as advance:
        logits, kept, unreadable = answers(stream, split.subset(own), len(run.classes), advance)
    # Rows of unreadable pictures are NaN: shares of one length are what can be gathered.
    whole = torch.full((len(own), len(run.classes)), torch.nan)
    whole[torch.from_numpy(kept)] = torch.from_numpy(logits)
    rows = world.gather(whole, len(split)).cpu().numpy()
    readable = np.flatnonzero(~np.isnan(rows).all(1))
    return Evaluation(
        classes=run.classes,
        split_name=name,
        split=split,
        logits=rows[readable],
        indices=readable,
        unreadable=world.everyones(unreadable),
    )

"""Checks that a resumed run still has its original pictures and machine, and gives a finished one more epochs."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import replace
from importlib.metadata import version

import torch

from zoo.data import Split
from zoo.errors import DataError, UsageError
from zoo.progress import Reporter
from zoo.runs.info import Machine, RunInfo
from zoo.runs.run import Run
from zoo.training import checkpoint
from zoo.training.distributed import World
from zoo.training.setup import Setup


def fingerprint(splits: tuple[Split, ...]) -> str:
    """Of the names or pixels of pictures, their order and their labels; the same for a copy elsewhere."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(split.labels.tobytes())
        split.pictures.fingerprint(digest)
    return digest.hexdigest()


def same_pictures(run: Run, setup: Setup) -> None:
    """Raises `DataError` where the dataset has other pictures, or other labels, than when the run began."""
    if run.info.dataset.fingerprint != fingerprint(setup.splits):
        raise DataError(
            f"The pictures of {setup.data.name} are not those that the run {run.name} began with.",
            f"Restore them, or start again: zoo train --recipe {run.path / 'recipe.toml'}",
            code="pictures-changed",
        )


def changes(run: Run, setup: Setup, world: World) -> list[str]:
    """Takes the recorded thread count where it can; one sentence for what makes the result differ in its last bits."""
    recorded, now = run.info.machine or machine(world), machine(world)
    if world.size == 1 and recorded.threads != now.threads and recorded.threads <= (os.cpu_count() or 1):
        torch.set_num_threads(recorded.threads)
        now = machine(world)
    differing = [name for name in ("threads", "processes", "device") if getattr(recorded, name) != getattr(now, name)]
    if run.info.plan.precision != setup.plan.precision:
        differing.append("precision")
    if run.info.versions.get("torch") != version("torch"):
        differing.append("PyTorch")
    if not differing:
        return []
    return [f"These changed since the run began: {', '.join(differing)}. The result will differ in its last digits."]


def with_more_epochs(run: Run, epochs: int, reporter: Reporter) -> RunInfo:
    """The run.json of a finished run whose last phase is repeated for the epochs that are missing.

    The network continues from its last weights. Optimiser and schedule start anew, because those of the phase have
    ended: a cosine is at 0.

    Args:
        epochs: as in `Plan.epochs`, old and new ones together.

    Raises:
        UsageError: the run is not finished, has as many epochs already, or has no checkpoint.
    """
    plan, folder = run.info.plan, run.path
    if run.info.status != "finished":
        raise UsageError(
            f"The run {run.name} is not finished, so its epochs cannot change.",
            f"Finish it first: zoo train --resume {folder}",
            code="run-unfinished",
        )
    saved = checkpoint.load(folder)
    if saved is None:
        raise UsageError(
            f"The run {run.name} has no {checkpoint.NAME}, which more epochs start from.",
            f"Start a new run from its weights: zoo train --recipe {folder / 'recipe.toml'} "
            f"--weights {folder / 'best.safetensors'}",
            code="checkpoint-missing",
        )
    last = plan.phases[-1]
    ahead = any(phase.first > last.first for phase in plan.phases) and plan.strategy == "finetune"
    done = sum(not (ahead and row["phase"] == plan.phases[0].name) for row in saved["rows"])
    if epochs <= done:
        raise UsageError(
            f"The run {run.name} has {done} epochs already.",
            f"Give --epochs a larger number than {done}; it counts old and new ones together.",
            code="epochs-done",
        )
    more = replace(last, epochs=epochs - done)
    if run.recipe.time_budget:
        reporter.say("The time budget of the run does not apply any more.")
    reporter.say(
        f"Trains {more.epochs} more epochs of the phase {more.name}. The optimiser starts anew, and the learning rate "
        f"at its peak of {more.learning_rates[-1]:g}, with the schedule {run.recipe.schedule}."
    )
    return replace(run.info, plan=replace(plan, epochs=epochs, phases=(*plan.phases, more)))


def machine(world: World) -> Machine:
    """What run.json records of the machine."""
    kind = world.device.type
    name = torch.cuda.get_device_name(world.device) if kind == "cuda" else platform.processor() or "cpu"
    return Machine(
        platform=platform.platform(),
        threads=torch.get_num_threads(),
        processes=world.size,
        device=name if kind in ("cuda", "cpu") else f"{kind} of {name}",
    )

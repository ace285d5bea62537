"""Checks that a resumed run still has its original pictures and machine."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import version

import torch

from zoo.data import Split
from zoo.errors import DataError
from zoo.runs.info import Machine
from zoo.runs.run import Run
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

"""What a training needs to go on as if nothing had ended it: last.ckpt."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import TrainingError
from zoo.files import write_atomically
from zoo.training.distributed import World

NAME = "last.ckpt"


def _nothing() -> Tensor:
    return torch.empty(0, dtype=torch.uint8)


@dataclass(kw_only=True)
class Progress:
    """Where a training stands.

    Attributes:
        phase: index of the phase.
        epoch: finished epochs of that phase.
        batch: finished batches of the epoch behind them.
        loss, correct, seen, seconds: sums over these batches.
        learning_rate: of the head, as that epoch began.
        since_best: epochs since the best one.
        augment_rng: state of the generator that varies pictures, before the phase: what stored features were made with.
        shuffle_rng: state of the generator of the pictures' order, before the epoch.
    """

    phase: int = 0
    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0
    since_best: int = 0
    augment_rng: Tensor = field(default_factory=_nothing)
    shuffle_rng: Tensor = field(default_factory=_nothing)

    def begin_epoch(self, shuffle_rng: Tensor, learning_rate: float) -> None:
        """Forgets the batches of the epoch before."""
        self.loss, self.correct, self.seen, self.seconds = 0.0, 0, 0, 0.0
        self.shuffle_rng, self.learning_rate = shuffle_rng, learning_rate


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Writes last.ckpt: tensors on the CPU and plain values alone; it loads anywhere with `weights_only=True`."""
    write_atomically(folder / NAME, lambda path: torch.save(_on_cpu(state), path))


def load(folder: Path) -> dict[str, Any] | None:
    """The last checkpoint of a run, None where it was ended before the first. Raises `TrainingError`."""
    try:
        state: dict[str, Any] = torch.load(folder / NAME, weights_only=True, map_location="cpu")
        state["progress"] = Progress(**state["progress"])
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError):
        raise TrainingError(
            f"The checkpoint {folder / NAME} is damaged.",
            f"Start again: zoo train --recipe {folder / 'recipe.toml'}",
            code="checkpoint-damaged",
        ) from None
    return state


def random_states(world: World) -> dict[str, Tensor]:
    """The states of PyTorch's own generators in every process, uint8 `[R, ...]`."""
    states = {"cpu": torch.get_rng_state()}
    if world.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(world.device)
    return {name: world.gather(state[None].to(world.device), world.size).cpu() for name, state in states.items()}


def restore_random_states(states: Mapping[str, Tensor], world: World) -> None:
    """What `random_states` took; a process that there was none of before keeps the state that it has."""
    if world.rank < len(states["cpu"]):
        torch.set_rng_state(states["cpu"][world.rank])
        if "cuda" in states and world.device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"][world.rank], world.device)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, Mapping):
        return {key: _on_cpu(each) for key, each in value.items()}
    return [_on_cpu(each) for each in value] if isinstance(value, list) else value

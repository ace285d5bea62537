"""The training loop, from pictures in memory to the best checkpoint."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.augment import POLICIES, augment
from zoo.data.store import Store, gather
from zoo.errors import TrainingError
from zoo.features import compute_features, fold, standardisation, standardise
from zoo.plan import PRECISION_NAMES, Plan, default_learning_rate
from zoo.preprocess import Preprocess
from zoo.progress import Reporter
from zoo.recipe import Recipe
from zoo.runs import write_atomically
from zoo.schedule import make_optimizer, make_scheduler
from zoo.specs import Logger
from zoo.trim import trimmed

Row = dict[str, float | int | str]
View = Callable[[Tensor], Tensor]

EVALUATION_BATCH_SIZE = 256
HEAD_EPOCHS = 20
TIMED_STEPS = 10
LONG_SECONDS = 20 * 60


@dataclass(frozen=True, slots=True)
class Best:
    """The best epoch so far, by validation loss: a few hundred pictures tell losses apart better than accuracies."""

    epoch: int = 0
    loss: float = math.inf


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of training: which module learns, from which views, for how long.

    Attributes:
        model: takes what the views return, gives logits.
        train_views, val_views: take indices into a store, int64 `[n]`; return the model's inputs.
        keep: called when an epoch is the best so far.
    """

    name: str
    model: nn.Module
    fabric: Fabric
    train_views: View
    val_views: View
    epochs: int
    learning_rate: float
    keep: Callable[[], None]


class Fitter:
    """Trains a network on stored pictures.

    Args:
        stores: of the training and the validation split.
        folder: receives metrics.csv, best.safetensors and last.ckpt.

    Attributes:
        rows: one per finished epoch.
        best: the epoch whose weights best.safetensors holds.
    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        plan: Plan,
        network: nn.Module,
        head_name: str,
        stores: tuple[Store, Store],
        folder: Path,
        loggers: Sequence[Logger],
        reporter: Reporter,
    ) -> None:
        self.recipe, self.plan, self.folder = recipe, plan, folder
        self.loggers, self.reporter = loggers, reporter
        self.train_store, self.val_store = stores
        self.fabric = Fabric(accelerator=plan.device, devices=1, precision=PRECISION_NAMES[plan.precision])  # type: ignore[arg-type]
        self.fp32 = Fabric(accelerator=plan.device, devices=1, precision="32-true")
        self.device = self.fabric.device
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head_name = head_name
        self.preprocess = Preprocess(self.train_store.preprocess).to(self.device)
        self.order = torch.Generator().manual_seed(recipe.seed)
        self.chance = torch.Generator().manual_seed(recipe.seed + 1)
        self.rows: list[Row] = []
        self.best = Best()

    def fit(self) -> None:
        """Runs the strategy's phases. Raises `TrainingError` where the loss is no longer a number."""
        try:
            if self.plan.strategy in ("head", "finetune"):
                self._fit_head(self.plan.epochs if self.plan.strategy == "head" else HEAD_EPOCHS)
            if self.plan.strategy in ("full", "finetune"):
                self._fit_network()
        finally:
            for logger in self.loggers:
                logger.close()

    def _fit_head(self, epochs: int) -> None:
        """The head alone, on features that are computed once and standardised."""
        network, head = self.network, self.network.get_submodule(self.head_name)
        network.eval()
        train, val = self._features(head, self.train_store), self._features(head, self.val_store)
        mean, std = standardisation(train)
        train, val = standardise(train, mean, std), standardise(val, mean, std)
        learner = deepcopy(head)

        def keep() -> None:
            head.load_state_dict(learner.state_dict())
            fold(head, mean, std)
            self._save_best()

        rate = self.plan.learning_rate
        if self.plan.strategy != "head":
            rate = default_learning_rate(self.recipe.optimizer, "head")
        self._run(
            Phase(
                name="head",
                model=learner,
                fabric=self.fp32,
                train_views=lambda indices: train[indices.to(self.device)],
                val_views=lambda indices: val[indices.to(self.device)],
                epochs=epochs,
                learning_rate=rate,
                keep=keep,
            )
        )

    def _features(self, head: nn.Module, store: Store) -> Tensor:
        with self.reporter.bar("Computing features", len(store)) as advance, self.fabric.autocast():
            batches = (
                self._plain(store, indices) for indices in _chunks(torch.arange(len(store)), EVALUATION_BATCH_SIZE)
            )
            return compute_features(self.network, head, batches, advance)

    def _fit_network(self) -> None:
        """Every parameter, on augmented views."""
        self.network.requires_grad_(True)
        phase = Phase(
            name=self.plan.strategy,
            model=self.network,
            fabric=self.fabric,
            train_views=self._augmented,
            val_views=lambda indices: self._plain(self.val_store, indices),
            epochs=self.plan.epochs,
            learning_rate=self.plan.learning_rate,
            keep=self._save_best,
        )
        with trimmed(self.network, self._plain(self.val_store, torch.tensor([0]))):
            self._run(phase)

    def _plain(self, store: Store, indices: Tensor) -> Tensor:
        with torch.inference_mode():
            views: Tensor = self.preprocess(gather(store.pixels, indices, self.device))
        return views.contiguous(memory_format=torch.channels_last)

    def _augmented(self, indices: Tensor) -> Tensor:
        policy = POLICIES[self.plan.augment]
        if policy is None:
            return self._plain(self.train_store, indices).clone()
        pixels = gather(self.train_store.wide, indices, self.device)
        views = augment(pixels, policy, self.preprocess.size, self.chance)
        normal: Tensor = self.preprocess.normalise(views).contiguous(memory_format=torch.channels_last)
        return normal

    def _run(self, phase: Phase) -> None:
        steps = math.ceil(len(self.train_store) / self.recipe.batch_size)
        optimizer = make_optimizer(self.recipe, phase.model.parameters(), phase.learning_rate)
        scheduler = make_scheduler(self.recipe.schedule, optimizer, phase.epochs, steps)
        model, wrapped = phase.fabric.setup(phase.model, optimizer)
        clock = _Clock(phase, steps, self.reporter)
        since_best = 0
        for epoch in range(1, phase.epochs + 1):
            rate = optimizer.param_groups[0]["lr"]
            started = time.perf_counter()
            with self.reporter.bar(f"{phase.name} {epoch}/{phase.epochs}", steps) as advance:
                figures = self._epoch(phase, model, wrapped, scheduler, clock.before(advance))
            seconds = time.perf_counter() - started
            row: Row = {
                "epoch": len(self.rows) + 1,
                "phase": phase.name,
                "learning_rate": rate,
                **figures,
                **self._validate(phase, model),
                "seconds": round(seconds, 3),
                "images_per_second": round(len(self.train_store) / seconds, 1),
            }
            better = float(row["val_loss"]) < self.best.loss
            since_best = 0 if better else since_best + 1
            if better:
                self.best = Best(len(self.rows) + 1, float(row["val_loss"]))
                phase.keep()
            self._record(row, phase, optimizer, scheduler, better=better)
            if since_best == self.recipe.early_stopping:
                self.reporter.say(f"Stopped early: no lower validation loss in {since_best} epochs.")
                break

    def _epoch(
        self, phase: Phase, model: nn.Module, optimizer: Any, scheduler: Any, advance: Callable[[int], None]
    ) -> Row:
        labels = torch.from_numpy(self.train_store.labels)
        total_loss = torch.zeros((), device=self.device)
        correct = torch.zeros((), device=self.device)
        seen = 0
        model.train()
        for indices in _chunks(torch.randperm(len(labels), generator=self.order), self.recipe.batch_size):
            if len(indices) == 1:
                break  # BatchNorm has no statistics of a single picture
            target = labels[indices].to(self.device)
            logits = model(phase.train_views(indices))
            loss = F.cross_entropy(logits.float(), target, label_smoothing=self.recipe.label_smoothing)
            optimizer.zero_grad()
            phase.fabric.backward(loss)
            optimizer.step()
            scheduler.step()
            total_loss += loss.detach() * len(indices)
            correct += (logits.argmax(1) == target).sum()
            seen += len(indices)
            advance(1)
        if not torch.isfinite(total_loss):
            raise TrainingError(
                f"The loss became infinite or undefined in epoch {len(self.rows) + 1}.",
                f"Give a --learning-rate below {phase.learning_rate:g}; the best epoch before it is kept.",
            )
        return {"train_loss": float(total_loss) / seen, "train_top1": float(correct) / seen}

    def _validate(self, phase: Phase, model: nn.Module) -> Row:
        labels = torch.from_numpy(self.val_store.labels)
        model.eval()
        with torch.inference_mode():
            batches = _chunks(torch.arange(len(labels)), EVALUATION_BATCH_SIZE)
            logits = torch.cat([model(phase.val_views(indices)).float().cpu() for indices in batches])
        loss = F.cross_entropy(logits, labels)
        return {"val_loss": float(loss), "val_top1": float((logits.argmax(1) == labels).float().mean())}

    def _record(self, row: Row, phase: Phase, optimizer: Any, scheduler: Any, *, better: bool) -> None:
        self.rows.append(row)
        write_atomically(self.folder / "metrics.csv", self._write_rows)
        for logger in self.loggers:
            logger.log(row)
        state = {
            "epoch": row["epoch"],
            "phase": phase.name,
            "network": self.network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "order": self.order.get_state(),
            "chance": self.chance.get_state(),
            "torch": torch.get_rng_state(),
        }
        write_atomically(self.folder / "last.ckpt", lambda path: torch.save(state, path))
        self.reporter.say(
            f"{phase.name:>8} {row['epoch']:>3}   loss {row['train_loss']:.4f}   train {row['train_top1']:7.2%}   "
            f"val {row['val_top1']:7.2%}{' *' if better else '  '}  {row['images_per_second']:>8,.0f} pictures/s"
        )

    def _write_rows(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)

    def _save_best(self) -> None:
        from safetensors.torch import save_file

        state = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
        write_atomically(self.folder / "best.safetensors", lambda path: save_file(state, path))


class _Clock:
    """Says once, after the first steps, how long a phase will take."""

    def __init__(self, phase: Phase, steps_per_epoch: int, reporter: Reporter) -> None:
        self.phase, self.total = phase, steps_per_epoch * phase.epochs
        self.reporter = reporter
        self.times: list[float] = []

    def before(self, advance: Callable[[int], None]) -> Callable[[int], None]:
        """Puts the clock before a progress bar's advance."""

        def tick(steps: int) -> None:
            self._tick()
            advance(steps)

        return tick

    def _tick(self) -> None:
        if len(self.times) > TIMED_STEPS or self.phase.name == "head":
            return
        self.times.append(time.perf_counter())
        if len(self.times) <= TIMED_STEPS:
            return
        seconds = float(np.median(np.diff(self.times))) * self.total
        self.reporter.say(f"Expected training time: about {_words(seconds)}.")
        if seconds > LONG_SECONDS:
            self.reporter.say("Shorter: --strategy head, a smaller --image-size, or fewer --epochs.")


def _chunks(indices: Tensor, size: int) -> Sequence[Tensor]:
    chunks: tuple[Tensor, ...] = torch.split(indices, size)
    return chunks


def _words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"  # noqa: PLR2004

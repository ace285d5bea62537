"""The training loop, from pictures in memory to the best checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.augment import POLICIES, augment
from zoo.data.store import Store, gather
from zoo.errors import TrainingError
from zoo.features import compute_features, fold, standardisation, standardise
from zoo.journal import Clock, Journal, Row
from zoo.plan import PRECISION_NAMES, Plan, default_learning_rate
from zoo.preprocess import Preprocess
from zoo.recipe import Recipe
from zoo.schedule import make_optimizer, make_scheduler
from zoo.trim import trimmed

View = Callable[[Tensor], Tensor]

EVALUATION_BATCH_SIZE = 256
HEAD_EPOCHS = 20
CHECKED_STEPS = 50  # between two looks at the loss, each of which waits for the device


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of training: which module learns, from which views, for how long.

    Attributes:
        model: takes what the views return, gives logits.
        train_views, val_views: take indices into a store, int64 `[n]`; return the model's inputs.
        keep: called when an epoch is the best so far.
        checkpoints: whether each epoch writes last.ckpt.
    """

    name: str
    model: nn.Module
    fabric: Fabric
    train_views: View
    val_views: View
    epochs: int
    learning_rate: float
    keep: Callable[[], None]
    checkpoints: bool = True


class Fitter:
    """Trains a network on stored pictures.

    Args:
        stores: of the training and the validation split.
        journal: receives the rows and the checkpoints.
    """

    def __init__(
        self,
        recipe: Recipe,
        plan: Plan,
        *,
        network: nn.Module,
        head_name: str,
        stores: tuple[Store, Store],
        journal: Journal,
    ) -> None:
        self.recipe, self.plan, self.journal = recipe, plan, journal
        self.train_store, self.val_store = stores
        self.fabric = Fabric(accelerator=plan.device, devices=1, precision=PRECISION_NAMES[plan.precision])  # type: ignore[arg-type]
        self.fp32 = Fabric(accelerator=plan.device, devices=1, precision="32-true")
        self.device = self.fabric.device
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head_name = head_name
        self.preprocess = Preprocess(self.train_store.preprocess).to(self.device)
        self.order = torch.Generator().manual_seed(recipe.seed)
        self.chance = torch.Generator().manual_seed(recipe.seed + 1)

    def fit(self) -> None:
        """Runs the strategy's phases. Raises `TrainingError` where the loss is no longer a number."""
        if self.plan.strategy in ("head", "finetune"):
            self._fit_head(self.plan.epochs if self.plan.strategy == "head" else HEAD_EPOCHS)
        if self.plan.strategy in ("full", "finetune"):
            self._fit_network()

    def _fit_head(self, epochs: int) -> None:
        """The head alone, on features that are computed once and standardised."""
        network, head = self.network, self.network.get_submodule(self.head_name)
        network.eval()
        train, val = self._features(head, self.train_store), self._features(head, self.val_store)
        mean, std = standardisation(train)
        train, val = standardise(train, mean, std), standardise(val, mean, std)
        learner = deepcopy(head)
        if isinstance(learner, nn.Linear):
            # On standardised features: no class is preferred before the first step. (A ReLU behind would never start.)
            nn.init.zeros_(learner.weight)
            nn.init.zeros_(learner.bias)
        kept: list[dict[str, Tensor]] = []
        rate = self.plan.learning_rate
        if self.plan.strategy != "head":
            rate = default_learning_rate(self.recipe.optimizer, "head")
        phase = Phase(
            name="head",
            model=learner,
            fabric=self.fp32,
            train_views=lambda indices: train[indices.to(self.device)],
            val_views=lambda indices: val[indices.to(self.device)],
            epochs=epochs,
            learning_rate=rate,
            keep=lambda: kept.append(deepcopy(learner.state_dict())),
            checkpoints=False,
        )
        try:
            self._run(phase)
        finally:
            if kept:
                head.load_state_dict(kept[-1])
                fold(head, mean, std)
                self.journal.save_best(network)
                self.journal.save_last({"phase": "head", "network": network.state_dict()})

    def _features(self, head: nn.Module, store: Store) -> Tensor:
        with self.journal.reporter.bar("Computing features", len(store)) as advance, self.fabric.autocast():
            chunks = _chunks(torch.arange(len(store)), EVALUATION_BATCH_SIZE)
            batches = (self._plain(store, indices) for indices in chunks)
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
            keep=lambda: self.journal.save_best(self.network),
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
        whole, rest = divmod(len(self.train_store), self.recipe.batch_size)
        steps = whole + (rest > 1)
        optimizer = make_optimizer(
            self.recipe.optimizer, phase.model.parameters(), phase.learning_rate, self.plan.weight_decay
        )
        scheduler = make_scheduler(self.recipe.schedule, optimizer, phase.epochs, steps)
        model, wrapped = phase.fabric.setup(phase.model, optimizer)
        clock = Clock(steps * phase.epochs, self.journal.reporter) if phase.checkpoints else None
        since_best = 0
        for epoch in range(1, phase.epochs + 1):
            rate = optimizer.param_groups[0]["lr"]
            started = time.perf_counter()
            with self.journal.reporter.bar(f"{phase.name} {epoch}/{phase.epochs}", steps) as advance:
                ticking = clock.before(advance) if clock else advance
                figures = self._epoch(phase, model, wrapped, scheduler, ticking)
            seconds = time.perf_counter() - started
            row: Row = {
                "phase": phase.name,
                "learning_rate": rate,
                **figures,
                **self._validate(phase, model),
                "seconds": round(seconds, 3),
                "images_per_second": round(len(self.train_store) / seconds, 1),
            }
            better = self.journal.add(row)
            since_best = 0 if better else since_best + 1
            if better:
                phase.keep()
            if phase.checkpoints:
                self.journal.save_last(self._state(phase, optimizer, scheduler))
            if since_best == self.recipe.early_stopping:
                self.journal.reporter.say(f"Stopped early: no lower validation loss in {since_best} epochs.")
                break

    def _epoch(
        self, phase: Phase, model: nn.Module, optimizer: Any, scheduler: Any, advance: Callable[[int], None]
    ) -> Row:
        labels = torch.from_numpy(self.train_store.labels)
        total_loss = torch.zeros((), device=self.device)
        correct = torch.zeros((), device=self.device)
        seen = 0
        model.train()
        order = torch.randperm(len(labels), generator=self.order)
        for step, indices in enumerate(_chunks(order, self.recipe.batch_size), start=1):
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
            if step % CHECKED_STEPS == 0:
                self._check(float(total_loss), phase)
            advance(1)
        self._check(float(total_loss), phase)
        return {"train_loss": float(total_loss) / seen, "train_top1": float(correct) / seen}

    def _validate(self, phase: Phase, model: nn.Module) -> Row:
        labels = torch.from_numpy(self.val_store.labels)
        model.eval()
        with torch.inference_mode():
            batches = _chunks(torch.arange(len(labels)), EVALUATION_BATCH_SIZE)
            logits = torch.cat([model(phase.val_views(indices)).float().cpu() for indices in batches])
        loss = float(F.cross_entropy(logits, labels))
        self._check(loss, phase)
        return {"val_loss": loss, "val_top1": float((logits.argmax(1) == labels).float().mean())}

    def _check(self, loss: float, phase: Phase) -> None:
        if math.isfinite(loss):
            return
        best = self.journal.best.epoch
        kept = f"Epoch {best} is kept." if best else "Nothing is kept, for no epoch had ended."
        raise TrainingError(
            f"The loss became infinite or undefined in epoch {len(self.journal.rows) + 1}. {kept}",
            f"Give a --learning-rate below {phase.learning_rate:g}.",
        )

    def _state(self, phase: Phase, optimizer: torch.optim.Optimizer, scheduler: Any) -> dict[str, Any]:
        return {
            "phase": phase.name,
            "network": self.network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "order": self.order.get_state(),
            "chance": self.chance.get_state(),
        }


def _chunks(indices: Tensor, size: int) -> Sequence[Tensor]:
    chunks: tuple[Tensor, ...] = torch.split(indices, size)
    return chunks

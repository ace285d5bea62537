"""The training loop, from pictures in memory to the best checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.augment import make_policy
from zoo.data.store import Store
from zoo.errors import TrainingError
from zoo.journal import TIMED_STEPS, Clock, Journal, Row
from zoo.learner import Learner
from zoo.mixing import make_mixer
from zoo.phase import Phase, PhaseMaker, make_fabric
from zoo.plan import Plan
from zoo.recipe import Recipe
from zoo.specs import Stage
from zoo.trim import trimmed
from zoo.views import EVALUATION_BATCH_SIZE, Views, chunks

CHECKED_STEPS = 50  # between two looks at the loss, each of which waits for the device


class Fitter:
    """Trains a network on stored pictures.

    Args:
        stages: from stem to head.
        stores: of the training and the validation split.
        class_weights: of the K classes in the loss, None for equal ones.
        journal: receives the rows and the checkpoints.
        deadline: by `time.perf_counter`, when training must end.
    """

    def __init__(
        self,
        recipe: Recipe,
        plan: Plan,
        *,
        network: nn.Module,
        stages: Sequence[Stage],
        stores: tuple[Store, Store],
        num_classes: int,
        class_weights: Sequence[float] | None,
        journal: Journal,
        deadline: float = math.inf,
    ) -> None:
        self.recipe, self.plan, self.journal, self.deadline = recipe, plan, journal, deadline
        self.labels, self.val_labels = (torch.from_numpy(store.labels) for store in stores)
        fabric = make_fabric(plan.device, plan.precision)
        self.device = fabric.device
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.order = torch.Generator().manual_seed(recipe.seed)
        self.chance = torch.Generator().manual_seed(recipe.seed + 1)
        policy = make_policy(recipe, plan.augment) if plan.varied else None
        self.views = Views(*stores, policy, self.chance, self.device)
        self.class_weights = None if class_weights is None else torch.tensor(class_weights, device=self.device)
        self.mix = make_mixer(recipe, num_classes)
        self.phases = PhaseMaker(
            recipe,
            plan,
            network=self.network,
            stages=stages,
            views=self.views,
            fabric=fabric,
            mixes=self.mix is not None,
            reporter=journal.reporter,
        )
        if recipe.dropout:
            head = self.network.get_submodule(stages[-1].members[0])
            head.register_forward_pre_hook(
                lambda layer, inputs: (F.dropout(inputs[0], recipe.dropout, layer.training), *inputs[1:])
            )

    def fit(self) -> None:
        """Runs the strategy's steps. Raises `TrainingError` where the loss is no longer a number."""
        for step in self.plan.steps:
            if self.late(0) and self.journal.rows:
                break
            phase = self.phases.make(step)
            if self.recipe.compile:
                self._run(phase)
            else:
                with trimmed(self.network, self.views.example()):
                    self._run(phase)

    def batches_per_epoch(self) -> int:
        whole, rest = divmod(len(self.labels), self.recipe.batch_size)
        return whole + (rest > 1)  # BatchNorm has no statistics of a single picture

    def late(self, seconds: float) -> bool:
        """Whether the time budget ends within so many seconds."""
        return time.perf_counter() + seconds >= self.deadline

    def _run(self, phase: Phase) -> None:
        learner = Learner(self.recipe, phase, self.plan.weight_decay, self.batches_per_epoch())
        clock = None if phase.brief else Clock(self.batches_per_epoch() * phase.epochs, self.journal.reporter)
        best = learner.state()
        since_best = 0
        try:
            for epoch in range(1, phase.epochs + 1):
                row = self._epoch(phase, learner, epoch, clock)
                better = self.journal.add(row)
                since_best = 0 if better else since_best + 1
                if better and phase.brief:
                    best = learner.state()
                elif better:
                    self.journal.save_best(phase.state(learner.state()))
                if not phase.brief:
                    self._checkpoint(phase, learner)
                learner.course.end_epoch(float(row[self.journal.monitored]))
                if since_best == self.recipe.early_stopping:
                    self.journal.reporter.say(f"Stopped early: nothing better in {since_best} epochs.")
                    break
                if self.late(0):
                    self.journal.reporter.say(f"The time budget of {self.recipe.time_budget} is used up.")
                    break
        finally:
            if phase.brief and self.journal.rows:
                phase.finish(best)
                self.journal.save_best(self.network.state_dict())
                self._checkpoint(phase, learner)

    def _epoch(self, phase: Phase, learner: Learner, epoch: int, clock: Clock | None) -> Row:
        rate, batches, started = learner.learning_rate, self.batches_per_epoch(), time.perf_counter()
        with self.journal.reporter.bar(f"{phase.name} {epoch}/{phase.epochs}", batches) as advance:
            figures = self._train(phase, learner, epoch, clock.before(advance) if clock else advance)
        seconds = time.perf_counter() - started
        return {
            "phase": phase.name,
            "learning_rate": rate,
            **figures,
            **self._validate(phase, learner),
            "seconds": round(seconds, 3),
            "images_per_second": round(len(self.labels) / seconds, 1),
        }

    def _train(self, phase: Phase, learner: Learner, epoch: int, advance: Callable[[int], None]) -> Row:
        losses: list[Tensor] = []
        correct, seen = torch.zeros((), device=self.device), 0
        batches, started = self.batches_per_epoch(), time.perf_counter()
        learner.train()
        for number, indices in enumerate(chunks(self._drawn(), self.recipe.batch_size), start=1):
            if number > batches or (self.late(self._reserve(started, number)) and number > 1):
                break
            inputs, target = phase.train_inputs(indices, epoch), self.labels[indices].to(self.device)
            if self.mix and phase.mixes:
                inputs, target = self.mix(inputs, target)
            logits = learner.model(phase.prefix(inputs))
            loss = F.cross_entropy(
                logits.float(), target, self.class_weights, label_smoothing=self.recipe.label_smoothing
            )
            learner.backward(loss, step=number % self.recipe.accumulate == 0 or number == batches)
            losses.append(loss.detach() * len(indices))
            correct += (logits.argmax(1) == (target if target.ndim == 1 else target.argmax(1))).sum()
            seen += len(indices)
            if number % CHECKED_STEPS == 0:
                self._check(losses, phase)
            if number == TIMED_STEPS and epoch == 1 and not phase.brief:
                self._fit_into_budget(learner, started, number)
            advance(1)
        return {"train_loss": self._check(losses, phase) / seen, "train_top1": float(correct) / seen}

    def _drawn(self) -> Tensor:
        """The order of an epoch's pictures, int64 `[N]`."""
        if self.recipe.sampling == "natural":
            return torch.randperm(len(self.labels), generator=self.order)
        share = 1 / torch.bincount(self.labels).double()[self.labels]
        return torch.multinomial(share, len(self.labels), replacement=True, generator=self.order)

    def _validate(self, phase: Phase, learner: Learner) -> Row:
        learner.judged.eval()
        with torch.inference_mode(), phase.fabric.autocast():
            batches = chunks(torch.arange(len(self.val_labels)), EVALUATION_BATCH_SIZE)
            inputs = (phase.prefix(phase.val_inputs(indices)) for indices in batches)
            logits = torch.cat([learner.judged(each).float().cpu() for each in inputs])
        loss = F.cross_entropy(logits, self.val_labels)
        self._check([loss], phase)
        return {"val_loss": float(loss), "val_top1": float((logits.argmax(1) == self.val_labels).float().mean())}

    def _check(self, losses: Sequence[Tensor], phase: Phase) -> float:
        """The sum of the losses. Raises `TrainingError` where one of them is not finite."""
        values = torch.stack(list(losses))
        if bool(values.isfinite().all()):
            return float(values.sum())
        step = int((~values.isfinite()).nonzero()[0]) + 1
        where = "validation" if len(values) == 1 and self.batches_per_epoch() > 1 else f"step {step}"
        best = self.journal.best.epoch
        kept = f"Epoch {best} is kept." if best else "Nothing is kept, for no epoch had ended."
        raise TrainingError(
            f"The loss became infinite or undefined in epoch {len(self.journal.rows) + 1}, {where}. {kept}",
            f"Give a --learning-rate below {max(rate for _, rate in phase.groups):g}.",
        )

    def _reserve(self, started: float, number: int) -> float:
        """Seconds to keep for a validation, from the pace of this epoch's batches."""
        pace = (time.perf_counter() - started) / max(1, number - 1)
        return pace * len(self.val_labels) / self.recipe.batch_size

    def _fit_into_budget(self, learner: Learner, started: float, number: int) -> None:
        if self.deadline < math.inf:
            now = time.perf_counter()
            pace = (now - started) / number * self.recipe.accumulate
            learner.course.shorten(int((self.deadline - now) / pace))

    def _checkpoint(self, phase: Phase, learner: Learner) -> None:
        self.journal.save_last(
            {
                "phase": phase.name,
                "network": self.network.state_dict(),
                **learner.training_state(),
                "order": self.order.get_state(),
                "chance": self.chance.get_state(),
            }
        )

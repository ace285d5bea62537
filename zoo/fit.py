"""The training loop, from pictures in memory to the best checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.augment import make_policy
from zoo.data.store import Store
from zoo.errors import TrainingError
from zoo.job import Job
from zoo.journal import TIMED_STEPS, Clock, Journal, Row
from zoo.learner import Learner
from zoo.mixing import make_mixer
from zoo.phase import Phase, PhaseMaker, make_fabric
from zoo.steps import Step
from zoo.trim import trimmed
from zoo.views import EVALUATION_BATCH_SIZE, Views, chunks

CHECKED_STEPS = 50  # between two looks at the loss, each of which waits for the device


class Fitter:
    """Trains a job's network on stored pictures.

    Args:
        stores: of the training and the validation split.
        journal: receives the rows and the checkpoints.
        deadline: by `time.perf_counter`, when training must end.
    """

    def __init__(self, job: Job, stores: tuple[Store, Store], journal: Journal, *, deadline: float = math.inf) -> None:
        recipe, plan, stages = job.recipe, job.plan, job.stages
        self.recipe, self.plan, self.journal, self.deadline = recipe, plan, journal, deadline
        self.labels, self.val_labels = (torch.from_numpy(store.labels) for store in stores)
        fabric = make_fabric(plan.device, plan.precision)
        self.device = fabric.device
        self.network = job.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.order = torch.Generator().manual_seed(recipe.seed)
        self.chance = torch.Generator().manual_seed(recipe.seed + 1)
        policy = make_policy(recipe, plan.augment) if plan.varied else None
        self.views = Views(*stores, policy, self.chance, self.device)
        weights = job.class_weights
        self.class_weights = None if weights is None else torch.tensor(weights, device=self.device)
        self.mix = make_mixer(recipe, len(job.dataset.classes))
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

    def fit(self, steps: Sequence[Step]) -> None:
        """Runs steps of the strategy. Raises `TrainingError` where the loss is no longer a number."""
        try:
            for step in steps:
                if self.late(0) and self.journal.rows:
                    break
                with self.ready(step) as phase:
                    self._run(phase)
        finally:
            self.views.announce_end()

    @contextmanager
    def ready(self, step: Step) -> Iterator[Phase]:
        """The phase of a step; while the context is open, its network skips what it can."""
        phase = self.phases.make(step)
        if self.recipe.compile:
            yield phase
        else:
            with trimmed(self.network, self.views.example()):
                yield phase

    def batches_per_epoch(self) -> int:
        whole, rest = divmod(len(self.labels), self.recipe.batch_size)
        return whole + (rest > 1)  # BatchNorm has no statistics of a single picture

    def late(self, seconds: float) -> bool:
        """Whether the time budget ends within so many seconds."""
        return time.perf_counter() + seconds >= self.deadline

    def _run(self, phase: Phase) -> None:
        learner = Learner(self.recipe, phase, self.plan.weight_decay, self.batches_per_epoch())
        clock = None if phase.brief else Clock(self.batches_per_epoch() * phase.epochs, self.journal.reporter)
        best, since_best, begun = learner.state(), 0, time.perf_counter()
        try:
            for epoch in range(1, phase.epochs + 1):
                row = self._epoch(phase, learner, epoch, clock)
                better = self.journal.add(row)
                since_best = 0 if better else since_best + 1
                if better:
                    best = learner.state()
                if better and not phase.brief:
                    self.journal.save_best(phase.state(best))
                if not phase.brief:
                    self._checkpoint(phase, learner)
                learner.course.end_epoch(float(row[self.journal.monitored]))
                self._fit_into_budget(learner, begun)
                if since_best == self.recipe.early_stopping:
                    self.journal.reporter.say(f"Stopped early: nothing better in {since_best} epochs.")
                    break
                if self.late(0):
                    self.journal.reporter.say(f"The time budget of {self.recipe.time_budget} is used up.")
                    break
        finally:
            if self.journal.rows:
                phase.finish(best)
            if phase.brief and self.journal.rows:
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
        order = self.drawn()
        phase.announce(order)
        for number, indices in enumerate(chunks(order, self.recipe.batch_size), start=1):
            if number > batches:
                break
            if number > 1 and self.late(self._reserve(started, number)):
                self.deadline = time.perf_counter()  # this epoch is the last
                break
            loss, right = self.loss(phase, learner, indices, epoch)
            learner.backward(
                loss * self._share(number, len(indices)),
                step=number % self.recipe.accumulate == 0 or number == batches,
            )
            losses.append(loss.detach() * len(indices))
            correct += right
            seen += len(indices)
            if number % CHECKED_STEPS == 0:
                self._check(losses, phase)
            if number == TIMED_STEPS and epoch == 1:
                self._fit_into_budget(learner, started)
            advance(1)
        return {"train_loss": self._check(losses, phase) / seen, "train_top1": float(correct) / seen}

    def loss(self, phase: Phase, learner: Learner, indices: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """The mean loss of a batch, and how many of its pictures the learner named rightly."""
        inputs, target = phase.train_inputs(indices, epoch), self.labels[indices].to(self.device)
        if self.mix and phase.mixes:
            inputs, target = self.mix(inputs, target)
        logits = learner.model(phase.prefix(inputs))
        loss = self._mean_loss(logits.float(), target)
        return loss, (logits.argmax(1) == (target if target.ndim == 1 else target.argmax(1))).sum()

    def _mean_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        weights, smoothing = self.class_weights, self.recipe.label_smoothing
        if weights is None or target.ndim > 1:
            return F.cross_entropy(logits, target, weights, label_smoothing=smoothing)
        total = weights[target].sum()
        # A batch can hold classes of the weight 0 alone: PyTorch's mean would be 0 / 0.
        return F.cross_entropy(logits, target, weights, label_smoothing=smoothing, reduction="sum") / torch.where(
            total > 0, total, 1.0
        )

    def _share(self, number: int, pictures: int) -> float:
        """The share of a batch in the pictures of its optimiser step; the last step of an epoch can have fewer."""
        size = self.recipe.batch_size
        whole, used = size * self.recipe.accumulate, min(len(self.labels), size * self.batches_per_epoch())
        done = (number - 1) // self.recipe.accumulate * whole
        return pictures / min(whole, used - done)

    def drawn(self) -> Tensor:
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
        self._check([loss], phase, "validation")
        return {"val_loss": float(loss), "val_top1": float((logits.argmax(1) == self.val_labels).float().mean())}

    def _check(self, losses: Sequence[Tensor], phase: Phase, where: str = "") -> float:
        """The sum of the losses. Raises `TrainingError` where one of them is not finite."""
        values = torch.stack(list(losses))
        if bool(values.isfinite().all()):
            return float(values.sum())
        step = int((~values.isfinite()).nonzero()[0]) + 1
        epoch, best = len(self.journal.rows) + 1, self.journal.best.epoch
        kept = f"Epoch {best} is kept." if best else "Nothing is kept, for no epoch had ended."
        raise TrainingError(
            f"The loss became infinite or undefined in epoch {epoch}, {where or f'step {step}'}. {kept}",
            f"Give a --learning-rate below {max(rate for _, rate in phase.groups):g}.",
        )

    def _reserve(self, started: float, number: int) -> float:
        """Seconds to keep for a validation, from the pace of this epoch's batches."""
        pace = (time.perf_counter() - started) / max(1, number - 1)
        return pace * len(self.val_labels) / self.recipe.batch_size

    def _fit_into_budget(self, learner: Learner, begun: float) -> None:
        """Lets the learning rate fall with the time that is left, at the pace since `begun`."""
        taken, now = learner.course.taken, time.perf_counter()
        if taken and self.deadline < math.inf:
            learner.course.shorten(int((self.deadline - now) * taken / (now - begun)))

    def _checkpoint(self, phase: Phase, learner: Learner) -> None:
        self.journal.save_last(
            {
                "phase": phase.name,
                "network": phase.state(phase.model.state_dict()),
                **learner.training_state(),
                "order": self.order.get_state(),
                "chance": self.chance.get_state(),
            }
        )

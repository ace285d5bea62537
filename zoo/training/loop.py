"""The training loop, from pictures in memory to the best checkpoint."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.decoded_split import Store
from zoo.errors import TrainingError
from zoo.models.conv_trim import trimmed
from zoo.models.state_dict import load_state
from zoo.training import checkpoint
from zoo.training.batches import EVALUATION_BATCH_SIZE, Views, chunks
from zoo.training.checkpoint import Position
from zoo.training.distributed import World
from zoo.training.history import TIMED_STEPS, Best, Clock, Journal, Row
from zoo.training.learner import Learner
from zoo.training.loss import share_of_loss
from zoo.training.phase import Phase, PhaseMaker, State
from zoo.training.setup import Job
from zoo.training.strategies import Step
from zoo.training.time_budget import TimeBudget
from zoo.transforms.augment import make_policy
from zoo.transforms.mixup import make_mixer

# Between two looks at the loss, each of which waits for the device; a checkpoint within an epoch falls on one of them.
CHECKED_STEPS = 50


class Fitter:
    """Trains a job's network on stored pictures.

    Args:
        stores: of the training and the validation split.
        journal: receives the rows and the best weights.
        world: the processes that train together.
        budget: when training must end.
    """

    def __init__(
        self, job: Job, stores: tuple[Store, Store], journal: Journal, world: World, budget: TimeBudget
    ) -> None:
        recipe, plan, stages = job.recipe, job.plan, job.stages
        self.recipe, self.plan, self.journal, self.world, self.budget = recipe, plan, journal, world, budget
        self.labels, self.val_labels = (torch.from_numpy(store.labels) for store in stores)
        self.device = world.device
        self.network = job.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.order = torch.Generator().manual_seed(recipe.seed)
        self.chance = torch.Generator().manual_seed(recipe.seed + 1)
        if world.rank:  # dropout that differs between processes
            torch.manual_seed(recipe.seed + world.rank)
        policy = make_policy(recipe, plan.augment) if plan.varied else None
        self.views = Views(*stores, policy, self.chance, self.device, share=world.share)
        weights = job.class_weights
        self.class_weights = None if weights is None else torch.tensor(weights, device=self.device)
        self.mix = make_mixer(recipe, len(job.dataset.classes))
        self.phases = PhaseMaker(
            recipe,
            plan,
            network=self.network,
            stages=stages,
            views=self.views,
            world=world,
            mixes=self.mix is not None,
            reporter=journal.reporter,
        )
        self.position, self._saved = Position(), time.perf_counter()
        if recipe.dropout:
            head = self.network.get_submodule(stages[-1].members[0])
            head.register_forward_pre_hook(
                lambda layer, inputs: (F.dropout(inputs[0], recipe.dropout, layer.training), *inputs[1:])
            )

    def fit(self, steps: Sequence[Step], resumed: dict[str, Any] | None = None) -> None:
        """Runs the steps of a strategy.

        Args:
            resumed: a checkpoint to go on from, as `zoo.training.checkpoint.load` returns it.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        if resumed:
            load_state(self.network, resumed["network"])
            self.position = resumed["position"]
            self.journal.restore(resumed["rows"], Best(**resumed["best"]))
            self._restore_chances(resumed)
        try:
            while self.position.step < len(steps) and not (self.journal.rows and self.budget.late()):
                within = resumed if resumed and "learner" in resumed else None
                if within:  # stored features are made again of what they were made of
                    self.chance.set_state(self.position.chance)
                self.position.chance = self.chance.get_state()
                with self.ready(steps[self.position.step]) as phase:
                    self._run(phase, within)
                self.position, resumed = Position(step=self.position.step + 1), None
                self._checkpoint()
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
        return whole + (rest >= 2 * self.world.size)  # BatchNorm has no statistics of a single picture

    def _run(self, phase: Phase, resumed: dict[str, Any] | None) -> None:
        learner = Learner(self.recipe, phase, self.plan.weight_decay, self.batches_per_epoch())
        position, best = self.position, learner.state() if phase.finish else None
        if resumed:
            learner.load_state_dict(resumed["learner"])
            best = resumed["phase_best"]
            self._restore_chances(resumed)
        steps = self.batches_per_epoch() * (phase.epochs - position.epoch) - position.batch
        clock = None if phase.brief else Clock(steps, self.journal.reporter)
        begun, taken = time.perf_counter(), learner.course.taken
        try:
            while position.epoch < phase.epochs and not self._stopped():
                row = self._epoch(phase, learner, clock, best)
                better = self.journal.add(row)
                position.since_best = 0 if better else position.since_best + 1
                if better and phase.finish:
                    best = learner.state()
                if better and not phase.brief:
                    self.journal.save_best(phase.state(learner.kept.state_dict()))
                learner.course.end_epoch(float(row[self.journal.monitored]))
                self._fit_into_budget(learner, begun, taken)
                position.epoch, position.batch = position.epoch + 1, 0
                if position.epoch < phase.epochs and (not phase.brief or self._due()):
                    self._checkpoint(phase, learner, best)
        finally:
            if phase.finish and best and self.journal.rows:
                phase.finish(best)
            if phase.brief and self.journal.rows:
                self.journal.save_best(self.network.state_dict())

    def _stopped(self) -> bool:
        """Whether a phase ends behind its last finished epoch."""
        position = self.position
        if position.batch or not position.epoch:
            return False
        if position.since_best == self.recipe.early_stopping:
            self.journal.reporter.say(f"Stopped early: nothing better in {position.since_best} epochs.")
            return True
        if self.budget.late():
            self.journal.reporter.say(f"The time budget of {self.recipe.time_budget} is used up.")
            return True
        return False

    def _epoch(self, phase: Phase, learner: Learner, clock: Clock | None, best: State | None) -> Row:
        position, batches = self.position, self.batches_per_epoch()
        if position.batch:
            self.order.set_state(position.order)
        else:
            position.begin_epoch(self.order.get_state(), learner.learning_rate)
        with self.journal.reporter.bar(f"{phase.name} {position.epoch + 1}/{phase.epochs}", batches) as advance:
            advance(position.batch)
            self._train(phase, learner, best, clock.before(advance) if clock else advance)
        learner.unite(self.world)
        return {
            "phase": phase.name,
            "learning_rate": position.learning_rate,
            "train_loss": position.loss / position.seen,
            "train_top1": position.correct / position.seen,
            **self._validate(phase, learner),
            "seconds": round(position.seconds, 3),
            "images_per_second": round(position.seen / position.seconds, 1),
        }

    def _train(self, phase: Phase, learner: Learner, best: State | None, advance: Callable[[int], None]) -> None:
        """The batches of an epoch that are still to come."""
        position, batches, begin = self.position, self.batches_per_epoch(), self.position.batch
        started, tally = time.perf_counter(), Tally(self.device)
        learner.train()
        parts = list(itertools.islice(chunks(self.drawn(), self.recipe.batch_size), begin, batches))
        phase.announce(parts)
        for number, indices in enumerate(parts, start=begin + 1):
            if number > begin + 1 and self.budget.late(self._reserve(started, number - begin)):
                self.budget.close()  # this epoch is the last
                break
            loss, right = self.loss(phase, learner, indices, position.epoch + 1)
            learner.backward(
                loss * self._share(number, len(indices)),
                step=number % self.recipe.accumulate == 0 or number == batches,
            )
            tally.add(loss, right, len(indices))
            if number == TIMED_STEPS and not position.epoch:
                self._fit_into_budget(learner, started, 0)
            # Gradients that are being accumulated are in no checkpoint.
            if number % (CHECKED_STEPS * self.recipe.accumulate) == 0 and number < batches:
                self._settle(tally, number, phase)
                if self._due():
                    self._checkpoint(phase, learner, best)
            advance(1)
        self._settle(tally, batches, phase)

    def _settle(self, tally: Tally, number: int, phase: Phase) -> None:
        """Puts what was counted into the position, which now stands behind a batch."""
        position = self.position
        losses = self.world.sum(tally.losses / self.world.size)
        position.loss += self._finite(losses, phase, first=position.batch + 1)
        position.correct += int(self.world.sum(tally.correct))
        position.seen += tally.seen
        position.seconds += tally.seconds
        position.batch = number
        tally.clear()

    def loss(self, phase: Phase, learner: Learner, indices: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """This process's part in the mean loss of a batch, and how many of its pictures the learner named rightly."""
        batch = self.labels[indices].to(self.device)
        inputs, target = phase.train_inputs(indices, epoch), batch[self.world.share]
        if self.mix and phase.mixes:
            inputs, target = self.mix(inputs, target)
        logits = learner.model(phase.prefix(inputs)).float()
        loss = share_of_loss(
            logits,
            target,
            batch,
            weights=self.class_weights,
            smoothing=self.recipe.label_smoothing,
            processes=self.world.size,
        )
        return loss, (logits.argmax(1) == (target if target.ndim == 1 else target.argmax(1))).sum()

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
        model, found = learner.judged.eval(), []
        with torch.inference_mode(), phase.fabric.autocast():
            for indices in self.world.parts(len(self.val_labels), EVALUATION_BATCH_SIZE):
                rows = model(phase.prefix(phase.val_inputs(indices))).float()
                found.append(self.world.gather(rows, len(indices)).cpu())
        logits = torch.cat(found)
        loss = F.cross_entropy(logits, self.val_labels)
        self._finite(loss[None], phase)
        return {"val_loss": float(loss), "val_top1": float((logits.argmax(1) == self.val_labels).float().mean())}

    def _finite(self, losses: Tensor, phase: Phase, first: int | None = None) -> float:
        """The sum of the losses, `[n]`. Raises `TrainingError` where one of them is not finite.

        Args:
            first: the number of the first one's batch, None in validation.
        """
        finite = losses.isfinite()
        if bool(finite.all()):
            return float(losses.sum())
        where = "validation" if first is None else f"step {first + int((~finite).nonzero()[0])}"
        epoch, best = len(self.journal.rows) + 1, self.journal.best.epoch
        kept = f"Epoch {best} is kept." if best else "Nothing is kept, for no epoch had ended."
        raise TrainingError(
            f"The loss became infinite or undefined in epoch {epoch}, {where}. {kept}",
            f"Give a --learning-rate below {max(rate for _, rate in phase.groups):g}.",
        )

    def _reserve(self, started: float, number: int) -> float:
        """Seconds to keep for a validation, from the pace of this epoch's batches."""
        pace = (time.perf_counter() - started) / max(1, number - 1)
        return pace * len(self.val_labels) / self.recipe.batch_size

    def _fit_into_budget(self, learner: Learner, begun: float, taken: int) -> None:
        """Lets the learning rate fall with the time that is left, at the pace since `begun`, `taken` steps before."""
        steps = learner.course.taken - taken
        if steps and self.budget.limited:
            learner.course.shorten(self.budget.steps_left(steps, begun))

    def _due(self) -> bool:
        """Whether it is time for a checkpoint beside those of whole epochs."""
        return self.world.agreed(time.perf_counter() - self._saved > 60 * self.recipe.checkpoint_minutes)

    def _checkpoint(
        self, phase: Phase | None = None, learner: Learner | None = None, best: State | None = None
    ) -> None:
        """Saves where the training stands: within a phase, or between two."""
        state = {
            "epoch": len(self.journal.rows),
            "network": self.network.state_dict(),
            "position": asdict(self.position),
            "rows": self.journal.rows,
            "best": asdict(self.journal.best),
            "order": self.order.get_state(),
            "chance": self.chance.get_state(),
            "random": checkpoint.random_states(self.world),
            "spent": self.budget.spent,
        }
        if phase and learner:
            state |= {"phase": phase.name, "learner": learner.state_dict(), "phase_best": best}
        if self.journal.writes:
            checkpoint.save(self.journal.folder, state)
        self._saved = time.perf_counter()

    def _restore_chances(self, resumed: dict[str, Any]) -> None:
        self.order.set_state(resumed["order"])
        self.chance.set_state(resumed["chance"])
        checkpoint.restore_random_states(resumed["random"], self.world)


class Tally:
    """Sums over the batches since the last look, kept on the device: looking waits for it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.clear()

    def clear(self) -> None:
        self._losses: list[Tensor] = []
        self.correct, self.seen, self._started = torch.zeros((), device=self.device), 0, time.perf_counter()

    def add(self, loss: Tensor, right: Tensor, pictures: int) -> None:
        """Takes a batch's mean loss, its right answers, and its number of pictures."""
        self._losses.append(loss.detach() * pictures)
        self.correct += right
        self.seen += pictures

    @property
    def losses(self) -> Tensor:
        """Of the pictures of each batch, float32 `[n]`."""
        return torch.stack(self._losses)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

"""The training loop, from pictures in memory to the best checkpoint.

`fit` runs the phases, `fit_phase` the epochs of one, `train_one_epoch` the batches of one, `batch_loss` is the
cross-entropy of one, `validate` measures an epoch.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.decoded_split import DecodedSplit
from zoo.errors import TrainingError
from zoo.models.conv_trim import trimmed
from zoo.models.state_dict import load_state
from zoo.progress import Reporter, in_words
from zoo.runs.info import PhasePlan
from zoo.specs import EpochMetrics
from zoo.training import checkpoint
from zoo.training.batches import EVALUATION_BATCH_SIZE, Views, chunks
from zoo.training.checkpoint import Progress
from zoo.training.distributed import World
from zoo.training.duration import TIMED_STEPS
from zoo.training.events import EpochStart, Listener, PhaseStart
from zoo.training.history import Best, History
from zoo.training.learner import TrainState
from zoo.training.loss import share_of_loss
from zoo.training.parts import State
from zoo.training.phase import Phase, PhaseMaker
from zoo.training.setup import Setup
from zoo.training.time_budget import TimeBudget
from zoo.transforms.mixup import make_mixer

# Between two looks at the loss, each of which waits for the device; a checkpoint within an epoch falls on one of them.
CHECKED_STEPS = 50


class Trainer:
    """Trains a network on stored pictures.

    Args:
        stores: of the training and the validation split.
        history: receives the rows and the best weights.
        world: the processes that train together.
        budget: when training must end.
        reporter: says why a training continues or ends early.
        listeners: told what happens.
    """

    def __init__(
        self,
        setup: Setup,
        stores: tuple[DecodedSplit, DecodedSplit],
        history: History,
        world: World,
        budget: TimeBudget,
        *,
        reporter: Reporter,
        listeners: Sequence[Listener] = (),
    ) -> None:
        recipe, plan, stages = setup.recipe, setup.plan, setup.stages
        self.recipe, self.plan, self.learning = recipe, plan, setup.learning
        self.history, self.world, self.budget = history, world, budget
        self.reporter, self.listeners = reporter, listeners
        self.labels, self.val_labels = (torch.from_numpy(store.labels) for store in stores)
        self.device = world.device
        self.network = setup.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.shuffle_rng = torch.Generator().manual_seed(recipe.seed)
        self.augment_rng = torch.Generator().manual_seed(recipe.seed + 1)
        if world.rank:  # dropout that differs between processes
            torch.manual_seed(recipe.seed + world.rank)
        self.views = Views(*stores, setup.policy, self.augment_rng, self.device, share=world.share)
        weights = setup.class_weights
        self.class_weights = None if weights is None else torch.tensor(weights, device=self.device)
        self.mix = make_mixer(recipe.mixup, recipe.cutmix, len(setup.dataset.classes))
        self.phase_maker = PhaseMaker(
            plan,
            network=self.network,
            stages=stages,
            views=self.views,
            world=world,
            mixes=self.mix is not None,
            cache_budget=recipe.cache_budget,
            reporter=reporter,
            keeps_head=bool(setup.weights.head),
        )
        self.progress, self._saved, self.ended = Progress(), time.perf_counter(), False
        if recipe.dropout:
            head = self.network.get_submodule(stages[-1].members[0])
            head.register_forward_pre_hook(
                lambda layer, inputs: (F.dropout(inputs[0], recipe.dropout, layer.training), *inputs[1:])
            )

    def fit(self, phases: Sequence[PhasePlan], resumed: dict[str, Any] | None = None) -> None:
        """Runs the phases of a strategy.

        Args:
            resumed: a checkpoint to go on from, as `zoo.training.checkpoint.load` returns it.

        Raises:
            TrainingError: the loss became infinite or undefined.
        """
        if resumed:
            self._resume(resumed)
        for listener in self.listeners:
            listener.on_fit_start(sum(planned.epochs for planned in phases))
        try:
            while self.progress.phase < len(phases) and not (self.history.rows and (self.ended or self.budget.late())):
                within = resumed if resumed and "train_state" in resumed else None
                if within:  # stored features are made again of what they were made of
                    self.augment_rng.set_state(self.progress.augment_rng)
                self.progress.augment_rng = self.augment_rng.get_state()
                with self.ready(phases[self.progress.phase]) as phase:
                    self.fit_phase(phase, within)
                self.progress, resumed = Progress(phase=self.progress.phase + 1), None
                self._checkpoint()
        finally:
            self.views.announce_end()
            for listener in self.listeners:
                listener.on_fit_end()

    def _resume(self, resumed: dict[str, Any]) -> None:
        load_state(self.network, resumed["network"])
        self.progress = resumed["progress"]
        self.history.restore(resumed["rows"], Best(**resumed["best"]))
        self._restore_rngs(resumed)
        if resumed.get("precision"):  # the scaler of fp16; other precisions have none
            self.phase_maker.fabric.strategy.precision.load_state_dict(resumed["precision"])
        done, best = len(self.history.rows), self.history.best.epoch
        batches = f" and {self.progress.batch} batches" if self.progress.batch else ""
        self.reporter.say(f"Continues after {done} epochs{batches}. The best epoch so far is {best}.")

    @contextmanager
    def ready(self, planned: PhasePlan) -> Iterator[Phase]:
        """The phase, ready to train; while the context is open, its network skips what it can."""
        phase = self.phase_maker.make(planned)
        if self.learning.compile:
            yield phase
        else:
            with trimmed(self.network, self.views.example()):
                yield phase

    def batches_per_epoch(self) -> int:
        whole, rest = divmod(len(self.labels), self.recipe.batch_size)
        return whole + (rest >= 2 * self.world.size)  # BatchNorm has no statistics of a single picture

    def fit_phase(self, phase: Phase, resumed: dict[str, Any] | None = None) -> None:
        """Trains and validates the epochs of a phase. Where a copy of the head learned, its best state goes back.

        Args:
            resumed: a checkpoint from within this phase.
        """
        train_state = TrainState(self.learning, phase, self.batches_per_epoch())
        progress, best = (
            self.progress,
            train_state.state() if phase.part.goes_back else None,
        )  # the state of its best epoch
        if resumed:
            train_state.load_state_dict(resumed["train_state"])
            best = resumed["phase_best"]
            self._restore_rngs(resumed)
        for listener in self.listeners:
            listener.on_phase_start(self._phase_start(phase))
        begun, taken = time.perf_counter(), train_state.schedule.taken
        kept = self.history.best.epoch  # whose weights are in `best`, and in the run's folder
        try:
            while progress.epoch < phase.epochs and not self._stopped():
                trained = self.train_one_epoch(phase, train_state, best)
                measured = self.validate(phase, train_state)
                row, better = self.history.add({**trained, **measured, **self._pace()})
                asked = [listener.on_epoch_end(row, better=better) for listener in self.listeners]
                self.ended = self.world.broadcast(True in asked)
                progress.since_best = 0 if better else progress.since_best + 1
                if better:
                    best, kept = self._keep(phase, train_state), self.history.best.epoch
                train_state.schedule.end_epoch(float(row[self.history.monitored]))
                self._fit_into_budget(train_state, begun, taken)
                progress.epoch, progress.batch = progress.epoch + 1, 0
                if progress.epoch < phase.epochs and (not phase.brief or self._due()):
                    self._checkpoint(phase, train_state, best)
        finally:
            if self.history.best.epoch != kept:  # interrupted between an epoch's row and its weights
                best = self._keep(phase, train_state)
            if best and self.history.rows:
                phase.part.put_back(best)
            if phase.brief and self.history.rows:
                self.history.save_best(self.network.state_dict())

    def _phase_start(self, phase: Phase) -> PhaseStart:
        batches, progress = self.batches_per_epoch(), self.progress
        steps = batches * (phase.epochs - progress.epoch) - progress.batch
        return PhaseStart(name=phase.name, epochs=phase.epochs, batches=batches, steps=steps, brief=phase.brief)

    def _keep(self, phase: Phase, train_state: TrainState) -> State | None:
        """Saves the present weights as the best ones. Returns them where they have to go back into the network."""
        if not phase.brief:
            self.history.save_best(phase.whole(train_state.ema_or_model.state_dict()))
        return train_state.state() if phase.part.goes_back else None

    def _stopped(self) -> bool:
        """Whether a phase ends behind its last finished epoch."""
        progress = self.progress
        if progress.batch or not progress.epoch:
            return False
        if progress.since_best == self.recipe.early_stopping:
            self.reporter.say(f"Stopped early: no progress in {progress.since_best} epochs.")
            return True
        if self.ended:
            self.reporter.say("Stopped early: a listener asked for it.")
            return True
        if self.budget.late():
            self.reporter.say(f"The time budget of {in_words(self.recipe.time_budget or 0)} is used up.")
            return True
        return False

    def train_one_epoch(self, phase: Phase, train_state: TrainState, best: State | None = None) -> EpochMetrics:
        """Trains on the batches of an epoch that are still to come. Returns what `metrics.csv` says of them.

        Args:
            best: what a checkpoint within the epoch holds beside the present weights.
        """
        progress, batches, begin = self.progress, self.batches_per_epoch(), self.progress.batch
        if begin:
            self.shuffle_rng.set_state(progress.shuffle_rng)
        else:
            progress.begin_epoch(self.shuffle_rng.get_state(), train_state.learning_rate)
        self._say_epoch_starts(phase)
        started, meter = time.perf_counter(), AverageMeter(self.device)
        train_state.train()
        parts = list(itertools.islice(chunks(self.drawn(), self.recipe.batch_size), begin, batches))
        phase.source.announce(parts)
        for number, indices in enumerate(parts, start=begin + 1):
            if number > begin + 1 and self.budget.late(self._reserve(started, number - begin)):
                self.budget.close()  # this epoch is the last
                break
            step = number % self.learning.accumulate == 0 or number == batches
            with train_state.accumulating(step=step):
                loss, right = self.batch_loss(phase, train_state, indices, progress.epoch + 1)
                train_state.backward(loss * self._share(number, len(indices)), step=step)
            meter.add(loss, right, len(indices), len(indices[self.world.share]))
            if number == TIMED_STEPS and not progress.epoch:
                self._fit_into_budget(train_state, started, 0)
            # Gradients that are being accumulated are in no checkpoint.
            if number % (CHECKED_STEPS * self.learning.accumulate) == 0 and number < batches:
                self._settle(meter, number, phase)
                if self._due():
                    self._checkpoint(phase, train_state, best)
            for listener in self.listeners:
                listener.on_batch_end(partial(self._running, meter))
        self._settle(meter, batches, phase)
        train_state.unite(self.world)
        return {
            "phase": phase.name,
            "learning_rate": progress.learning_rate,
            "train_loss": progress.loss / progress.seen,
            "train_top1": progress.correct / progress.seen,
        }

    def _say_epoch_starts(self, phase: Phase) -> None:
        progress = self.progress
        start = EpochStart(
            phase=phase.name,
            epoch=progress.epoch + 1,
            epochs=phase.epochs,
            batches=self.batches_per_epoch(),
            done=progress.batch,
        )
        for listener in self.listeners:
            listener.on_epoch_start(start)

    def _pace(self) -> EpochMetrics:
        progress = self.progress
        return {
            "seconds": round(progress.seconds, 3),
            "images_per_second": round(progress.seen / progress.seconds, 1),
        }

    def _running(self, meter: AverageMeter) -> tuple[float, float]:
        """Loss and accuracy of this epoch's batches so far; since the last look, of this process's share of them."""
        seen, loss, correct = self.progress.seen + meter.seen, self.progress.loss, float(self.progress.correct)
        if meter.seen:
            loss += float(meter.losses.sum())
            correct += int(meter.correct) * meter.seen / meter.own
        return loss / seen, correct / seen

    def _settle(self, meter: AverageMeter, number: int, phase: Phase) -> None:
        """Puts what was counted into the position, which now stands behind a batch."""
        progress = self.progress
        losses = self.world.sum(meter.losses / self.world.size)  # each process's loss is a part times their number
        progress.loss += self._finite(losses, phase, first=progress.batch + 1)
        progress.correct += int(self.world.sum(meter.correct))
        progress.seen += meter.seen
        progress.seconds += meter.seconds
        progress.batch = number
        meter.clear()

    def batch_loss(self, phase: Phase, train_state: TrainState, indices: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """This process's part in the mean loss of a batch, and how many of its pictures the learner named rightly."""
        batch = self.labels[indices].to(self.device)
        inputs, target = phase.source.train(indices, epoch), batch[self.world.share]
        if self.mix and phase.source.mixes:
            inputs, target = self.mix(inputs, target)
        logits = phase.logits(train_state.model, inputs)
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
        whole, used = size * self.learning.accumulate, min(len(self.labels), size * self.batches_per_epoch())
        done = (number - 1) // self.learning.accumulate * whole
        return pictures / min(whole, used - done)

    def drawn(self) -> Tensor:
        """The order of an epoch's pictures, int64 `[N]`."""
        if self.recipe.sampling == "natural":
            return torch.randperm(len(self.labels), generator=self.shuffle_rng)
        share = 1 / torch.bincount(self.labels).double()[self.labels]
        return torch.multinomial(share, len(self.labels), replacement=True, generator=self.shuffle_rng)

    def validate(self, phase: Phase, train_state: TrainState) -> EpochMetrics:
        """Loss and accuracy of the validation pictures, which all processes compute together."""
        model, found = train_state.eval_model.eval(), []
        with torch.inference_mode(), phase.fabric.autocast():
            for indices in self.world.parts(len(self.val_labels), EVALUATION_BATCH_SIZE):
                rows = phase.logits(model, phase.source.val(indices))
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
        epoch, best = len(self.history.rows) + 1, self.history.best.epoch
        kept = f"Epoch {best} is kept." if best else "Nothing is kept, because no epoch had ended."
        raise TrainingError(
            f"The loss became infinite or undefined in epoch {epoch}, {where}. {kept}",
            f"Give a --learning-rate below {max(rate for _, rate in phase.groups):g}.",
            code="loss-diverged",
        )

    def _reserve(self, started: float, number: int) -> float:
        """Seconds to keep for a validation, from the pace of this epoch's batches."""
        pace = (time.perf_counter() - started) / max(1, number - 1)
        return pace * len(self.val_labels) / self.recipe.batch_size

    def _fit_into_budget(self, train_state: TrainState, begun: float, taken: int) -> None:
        """Lets the learning rate fall with the time that is left, at the pace since `begun`, `taken` steps before."""
        steps = train_state.schedule.taken - taken
        if steps and self.budget.limited:
            train_state.schedule.shorten(self.budget.steps_left(steps, begun))

    def _due(self) -> bool:
        """Whether it is time for a checkpoint beside those of whole epochs."""
        return self.world.broadcast(time.perf_counter() - self._saved > 60 * self.recipe.checkpoint_minutes)

    def _checkpoint(
        self, phase: Phase | None = None, train_state: TrainState | None = None, best: State | None = None
    ) -> None:
        """Saves where the training stands: within a phase, or between two."""
        state = {
            "epoch": len(self.history.rows),
            "network": self.network.state_dict(),
            "progress": asdict(self.progress),
            "rows": self.history.rows,
            "best": asdict(self.history.best),
            "shuffle_rng": self.shuffle_rng.get_state(),
            "augment_rng": self.augment_rng.get_state(),
            "random": checkpoint.random_states(self.world),
            "spent": self.budget.spent,
            # The scale of fp16 is handed from phase to phase.
            "precision": self.phase_maker.fabric.strategy.precision.state_dict(),
        }
        if phase and train_state:
            state |= {"phase": phase.name, "train_state": train_state.state_dict(), "phase_best": best}
        if self.history.writes:
            checkpoint.save(self.history.folder, state)
        self._saved = time.perf_counter()

    def _restore_rngs(self, resumed: dict[str, Any]) -> None:
        self.shuffle_rng.set_state(resumed["shuffle_rng"])
        self.augment_rng.set_state(resumed["augment_rng"])
        checkpoint.restore_random_states(resumed["random"], self.world)


class AverageMeter:
    """Sums over the batches since the last look, kept on the device: looking waits for it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.clear()

    def clear(self) -> None:
        self._losses: list[Tensor] = []
        self.correct, self._started = torch.zeros((), device=self.device), time.perf_counter()
        self.seen = self.own = 0

    def add(self, loss: Tensor, right: Tensor, pictures: int, own: int) -> None:
        """Takes a batch's mean loss, the right answers of this process, and the pictures of all and of this one."""
        self._losses.append(loss.detach() * pictures)
        self.correct += right
        self.seen += pictures
        self.own += own

    @property
    def losses(self) -> Tensor:
        """Of the pictures of each batch, float32 `[n]`; none where a time budget ended right behind a look."""
        return torch.stack(self._losses) if self._losses else torch.zeros(0, device=self.device)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

"""One phase of a training made ready: the frozen stages split off and, where they fit, computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from zoo.data.decoded_split import DecodedSplit
from zoo.models.conv_trim import trimmed
from zoo.models.split import split_network, without_batchnorm
from zoo.progress import Reporter
from zoo.recipes.values import SIZE
from zoo.runs.info import PhasePlan, Plan
from zoo.specs import Stage
from zoo.training.batches import Views
from zoo.training.distributed import World
from zoo.training.feature_cache import Features, allocate, compute, slices, standardisation, standardise
from zoo.training.optim import Group
from zoo.training.parts import FrozenStages, HeadPart, LivePart, Part, Standardised, State, unchanged
from zoo.training.sources import FeatureSource, PictureSource, Source

PREFIX_BATCH_SIZE = 32  # larger ones fall out of a CPU's cache


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training in which the same stages learn, ready for the loop.

    Attributes:
        planned: its name, its epochs, and what is frozen.
        source: gives its inputs.
        stages: the frozen stages that run in every batch, if any: takes inputs, gives what `part.model` takes.
        part: what learns.
        fabric: its device and number format.
        groups: the parameters that learn, with their learning rates.
        frozen: modules that stay in eval mode while the rest of the model trains.
        brief: whether its epochs take only moments: its best weights are written once, when it ends.
    """

    planned: PhasePlan
    source: Source
    part: Part
    fabric: Fabric
    groups: Sequence[Group]
    stages: Callable[[Tensor], Tensor] = unchanged
    frozen: Sequence[nn.Module] = field(default=())
    brief: bool = False

    @property
    def name(self) -> str:
        return self.planned.name

    @property
    def epochs(self) -> int:
        return self.planned.epochs

    @property
    def model(self) -> nn.Module:
        """Takes what `stages` gives, returns logits."""
        return self.part.model

    def logits(self, model: nn.Module, inputs: Tensor) -> Tensor:
        """What a model of this phase, `model` or an average of it, says of inputs: float32 `[n, K]`."""
        logits: Tensor = model(self.stages(inputs))
        return logits.float()

    def whole(self, state: State) -> State:
        """The network's state dict with a given state of `model`."""
        return self.part.whole(state)


class PhaseMaker:
    """Makes the phases of a training.

    Args:
        world: the processes that train together.
        mixes: whether pictures are blended in batches, so that no features of theirs can be stored.
        cache_budget: bytes of memory for stored features.
        keeps_head: whether the head has learned already, so that it goes on from there.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        network: nn.Module,
        stages: Sequence[Stage],
        views: Views,
        world: World,
        mixes: bool,
        cache_budget: int,
        reporter: Reporter,
        keeps_head: bool = False,
    ) -> None:
        self.plan, self.network, self.stages, self.cache_budget = plan, network, stages, cache_budget
        self.views, self.world, self.mixes, self.reporter = views, world, mixes, reporter
        self.keeps_head = keeps_head
        precisions = (plan.precision, plan.frozen_precision, "fp32")
        self.fabric, self.frozen, self.fp32 = (world.fabric(name) for name in precisions)

    def make(self, planned: PhasePlan) -> Phase:
        """Freezes what the phase freezes, and prepares the rest."""
        everything = self._everything(planned, self._freeze(planned))
        if planned.first == 0:
            return everything
        self.network.eval()
        halves = split_network(self.network, self.stages, planned.first, self.views.example())
        if halves is None:
            self._say(planned, "computed in each epoch: this network cannot be split behind them")
            return replace(everything, frozen=[*everything.frozen, *self._frozen_modules(planned)])
        prefix = without_batchnorm(halves.prefix, self.views.example()).to(memory_format=torch.channels_last)
        with trimmed(prefix, self.views.example()):
            features = self._features(planned, prefix)
        if features:
            behind = replace(everything, source=FeatureSource(features, self.fabric.device, self.world.share))
        else:
            behind = replace(everything, stages=FrozenStages(prefix, self.frozen.autocast))
        if planned.first == len(self.stages) - 1:
            return self._on_head(planned, behind, features)
        return replace(behind, part=LivePart(self.network, halves.rest))

    def _freeze(self, planned: PhasePlan) -> list[Group]:
        """Sets `requires_grad`; returns the trainable parameters by stage with their learning rates."""
        groups: list[Group] = []
        for index, stage in enumerate(self.stages):
            own = stage.parameters(self.network)
            for parameter in own:
                parameter.requires_grad_(index >= planned.first)
            if index >= planned.first:
                groups.append((own, planned.learning_rates[index - planned.first]))
        return groups

    def _frozen_modules(self, planned: PhasePlan) -> list[nn.Module]:
        modules = dict(self.network.named_modules())
        return [modules[name] for stage in self.stages[: planned.first] for name in stage.members if name in modules]

    def _batchnorms(self) -> list[nn.Module]:
        return [module for module in self.network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]

    def _everything(self, planned: PhasePlan, groups: Sequence[Group]) -> Phase:
        """The phase as it would be if nothing in front of it were split off."""
        return Phase(
            planned=planned,
            source=PictureSource(self.views, self.world, varied=not self._warms_up(planned)),
            part=LivePart(self.network, self.network),
            fabric=self.fabric,
            groups=groups,
            frozen=self._batchnorms() if self.plan.fixed_statistics else (),
        )

    def _warms_up(self, planned: PhasePlan) -> bool:
        """Whether the phase only readies the head for what follows: on pictures as they are."""
        follows = any(each.first < planned.first for each in self.plan.phases)
        return self.plan.strategy == "finetune" and planned.first == len(self.stages) - 1 and follows

    def _plain(self, indices: Tensor) -> Tensor:
        return self.views.plain(self.views.train, indices).clone()

    def _features(self, planned: PhasePlan, prefix: nn.Module) -> Features | None:
        plain = self._warms_up(planned) or not self.plan.varied
        if self.mixes and not self._warms_up(planned):
            self._say(planned, "computed in each epoch: pictures are mixed before they enter")
            return None
        with torch.inference_mode(), self.frozen.autocast():
            shape = tuple(prefix(self.views.example()).shape[1:])
        count = 1 if plain else min(self.plan.views, planned.epochs)
        train, val = self.views.train, self.views.val
        room = self.cache_budget // self.world.devices
        found = allocate((count, len(train), *shape), (len(val), *shape), room)
        if found is None:
            budget = SIZE.text(self.cache_budget)
            self._say(planned, f"computed in each epoch: their features do not fit into --cache-budget {budget}")
            return None
        with self.reporter.bar("Computing features", count * len(train) + len(val)) as advance, self.frozen.autocast():
            for view in found.train:
                pictures = self._plain if plain else self.views.whole_view()
                self.views.announce_train(list(self._parts(train)), varied=not plain)
                compute(self._everyones(prefix, pictures), self._parts(train), view, advance)
            self.views.announce_val(list(self._parts(val)))
            compute(self._everyones(prefix, partial(self.views.plain, val)), self._parts(val), found.val, advance)
        size = f"{found.num_bytes / 2**20:,.0f} MiB of features in {'memory' if found.place == 'memory' else 'a file'}"
        self._say(planned, f"computed once: {size}" + (f", {count} views of each picture" if count > 1 else ""))
        return found

    def _parts(self, store: DecodedSplit) -> Iterator[Tensor]:
        return self.world.parts(len(store), PREFIX_BATCH_SIZE)

    def _everyones(
        self, prefix: Callable[[Tensor], Tensor], pictures: Callable[[Tensor], Tensor]
    ) -> Callable[[Tensor], Tensor]:
        """Takes indices, int64 `[N]`; every process computes its share, and has the features of all."""
        return lambda indices: self.world.gather(prefix(pictures(indices)), len(indices))

    def _on_head(self, planned: PhasePlan, behind: Phase, features: Features | None) -> Phase:
        """The head alone, a copy of it, on standardised features."""
        mean, std = self._standardisation(behind, features)
        head = self.stages[-1].members[0]
        later = any(planned is each for each in self.plan.phases[1:])  # more epochs of a finished run
        part = HeadPart(self.network, head, mean, std, self.fp32.device, keeps=self.keeps_head or later)
        return replace(
            behind,
            part=part,
            fabric=self.fp32,
            groups=[(list(part.model.parameters()), planned.learning_rates[-1])],
            stages=unchanged if features else Standardised(behind.stages, mean, std),
            brief=features is not None,
        )

    def _standardisation(self, behind: Phase, features: Features | None) -> tuple[Tensor, Tensor]:
        """Mean and deviation of what enters the head, `[F]` each; stored features are standardised in place."""
        if features:
            flat = features.train.flatten(0, 1)
            mean, std = standardisation(slices(flat))
            for part in (*slices(flat), *slices(features.val)):
                standardise(part, mean, std)
            return mean, std
        self.views.announce_train(list(self._parts(self.views.train)), varied=False)
        raw = self._everyones(behind.stages, self._plain)
        return standardisation(raw(indices).float() for indices in self._parts(self.views.train))

    def _say(self, planned: PhasePlan, what: str) -> None:
        last = self.stages[planned.first - 1].name
        stages = last if planned.first == 1 else f"{self.stages[0].name} to {last}"
        self.reporter.say(f"The frozen stages ({stages}) are {what}.")

"""One step of a strategy made ready to train: the frozen prefix split off and, where it fits, computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from zoo.data.decoded_split import DecodedSplit
from zoo.models.conv_trim import trimmed
from zoo.models.split import split_network, without_batchnorm
from zoo.models.state_dict import load_state
from zoo.progress import Reporter
from zoo.recipes.parsing import budget_bytes
from zoo.recipes.recipe import Recipe
from zoo.specs import Stage
from zoo.training.batches import EVALUATION_BATCH_SIZE, Views
from zoo.training.distributed import World
from zoo.training.feature_cache import (
    Features,
    allocate,
    compute,
    fold,
    inputs_of,
    slices,
    standardisation,
    standardise,
)
from zoo.training.optim import Group
from zoo.training.plan import Plan
from zoo.training.strategies import PhasePlan

State = dict[str, Tensor]
PREFIX_BATCH_SIZE = 32  # larger ones fall out of a CPU's cache


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What the loop needs.

    Attributes:
        model: takes inputs, gives logits; its trainable parameters are in `groups`.
        train_inputs: takes the indices of a batch, int64 `[N]`, and the epoch, from 1; gives this process's share.
        val_inputs: takes indices, likewise.
        announce: told the batches of an epoch before inputs are asked for.
        prefix: turns inputs (mixed, where they are) into what `model` takes.
        state: the whole network's state dict with a given state of `model`.
        finish: to be called with the best state of `model` in this phase; None where the network goes on from the last.
        mixes: whether batches of inputs may be mixed.
        brief: whether its epochs take moments, so that the checkpoint can wait for the last one.
        frozen: modules that stay in eval mode while the rest of `model` trains.
    """

    name: str
    epochs: int
    model: nn.Module
    fabric: Fabric
    groups: Sequence[Group]
    train_inputs: Callable[[Tensor, int], Tensor]
    val_inputs: Callable[[Tensor], Tensor]
    state: Callable[[State], State]
    finish: Callable[[State], None] | None
    mixes: bool
    brief: bool = False
    prefix: Callable[[Tensor], Tensor] = lambda inputs: inputs
    frozen: Sequence[nn.Module] = field(default=())
    announce: Callable[[Sequence[Tensor]], None] = lambda _: None


class PhaseMaker:
    """Makes the phases of a training.

    Args:
        world: the processes that train together.
        mixes: whether pictures are blended in batches, so that no features of theirs can be stored.
    """

    def __init__(
        self,
        recipe: Recipe,
        plan: Plan,
        *,
        network: nn.Module,
        stages: Sequence[Stage],
        views: Views,
        world: World,
        mixes: bool,
        reporter: Reporter,
    ) -> None:
        self.recipe, self.plan, self.network, self.stages = recipe, plan, network, stages
        self.views, self.world, self.mixes, self.reporter = views, world, mixes, reporter
        precisions = (plan.precision, plan.frozen_precision, "fp32")
        self.fabric, self.frozen, self.fp32 = (world.fabric(name) for name in precisions)

    def make(self, planned: PhasePlan) -> Phase:
        """Freezes what the step freezes, and prepares the rest."""
        whole = self._whole(planned, self._freeze(planned))
        if planned.first == 0:
            return whole
        self.network.eval()
        halves = split_network(self.network, self.stages, planned.first, self.views.example())
        if halves is None:
            self._say(planned, "computed in each epoch: this network cannot be split behind them")
            return replace(whole, frozen=[*whole.frozen, *self._frozen_modules(planned)])
        prefix = without_batchnorm(halves.prefix, self.views.example()).to(memory_format=torch.channels_last)
        with trimmed(prefix, self.views.example()):
            features = self._features(planned, prefix)
        if features:
            train_inputs, val_inputs = inputs_of(features, self.fabric.device, self.world.share)
            ready = replace(
                whole, mixes=False, train_inputs=train_inputs, val_inputs=val_inputs, announce=lambda _: None
            )
        else:
            ready = replace(whole, prefix=self._anew(prefix))
        if planned.first == len(self.stages) - 1:
            return self._on_head(planned, ready, features)
        return replace(ready, model=halves.rest)

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

    def _whole(self, planned: PhasePlan, groups: Sequence[Group]) -> Phase:
        varied = not self._warms_up(planned)
        return Phase(
            name=planned.name,
            epochs=planned.epochs,
            model=self.network,
            fabric=self.fabric,
            groups=groups,
            train_inputs=lambda indices, _: self.views.varied(indices) if varied else self._plain(indices),
            val_inputs=lambda indices: self.views.plain(self.views.val, indices),
            state=lambda state: {**self.network.state_dict(), **state},
            finish=None,
            mixes=varied,
            frozen=self._batchnorms() if self.plan.fixed_statistics else (),
            announce=lambda batches: self._announce(batches, varied=varied),
        )

    def _announce(self, batches: Sequence[Tensor], *, varied: bool) -> None:
        self.views.announce_train(batches, varied=varied)
        self.views.announce_val(list(self.world.parts(len(self.views.val), EVALUATION_BATCH_SIZE)))

    def _anew(self, prefix: nn.Module) -> Callable[[Tensor], Tensor]:
        """The prefix runs again for every batch, without gradients."""

        def run(pictures: Tensor) -> Tensor:
            with torch.no_grad(), self.frozen.autocast():
                features: Tensor = prefix(pictures)
            return features

        return run

    def _warms_up(self, planned: PhasePlan) -> bool:
        """Whether the step only readies the head for what follows: on pictures as they are."""
        return self.plan.strategy == "finetune" and planned.first == len(self.stages) - 1 and len(self.plan.phases) > 1

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
        budget = self.recipe.cache_budget
        room = budget_bytes(self.recipe, "cache_budget") // self.world.devices
        found = allocate((count, len(train), *shape), (len(val), *shape), room)
        if found is None:
            self._say(planned, f"computed in each epoch: there is no room for their features (--cache-budget {budget})")
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

    def _on_head(self, planned: PhasePlan, ready: Phase, features: Features | None) -> Phase:
        """The head alone, a copy of it, on standardised features."""
        name = self.stages[-1].members[0]
        head = self.network.get_submodule(name)
        mean, std, prefix = self._standardised(ready, features)
        copy = deepcopy(head).to(self.fp32.device)
        if isinstance(copy, nn.Linear):
            # On standardised features: no class is preferred before the first step. (A ReLU behind would never start.)
            nn.init.zeros_(copy.weight)
            nn.init.zeros_(copy.bias)

        def folded(state: State) -> State:
            kept = deepcopy(head).cpu()
            kept.load_state_dict(state)
            fold(kept, mean, std)
            return {f"{name}.{key}": value for key, value in kept.state_dict().items()}

        return replace(
            ready,
            model=copy,
            fabric=self.fp32,
            groups=[(list(copy.parameters()), planned.learning_rates[-1])],
            prefix=prefix,
            state=lambda state: {**self.network.state_dict(), **folded(state)},
            finish=lambda state: self._load(folded(state)),
            brief=features is not None,
        )

    def _standardised(
        self, ready: Phase, features: Features | None
    ) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Mean and deviation of what enters the head, and the prefix behind which it is standardised."""
        if features:
            flat = features.train.flatten(0, 1)
            mean, std = standardisation(slices(flat))
            for part in (*slices(flat), *slices(features.val)):
                standardise(part, mean, std)
            return mean, std, ready.prefix
        self.views.announce_train(list(self._parts(self.views.train)), varied=False)
        raw = self._everyones(ready.prefix, self._plain)
        mean, std = standardisation(raw(indices).float() for indices in self._parts(self.views.train))
        return mean, std, lambda inputs: standardise(ready.prefix(inputs).float(), mean, std)

    def _load(self, state: State) -> None:
        load_state(self.network, state, strict=False)

    def _say(self, planned: PhasePlan, what: str) -> None:
        last = self.stages[planned.first - 1].name
        stages = last if planned.first == 1 else f"{self.stages[0].name} to {last}"
        self.reporter.say(f"The frozen stages ({stages}) are {what}.")

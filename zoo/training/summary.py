"""What a training says before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.data.prepare import final_split
from zoo.data.seen import resize_in_words, seen_in_words
from zoo.runs.info import Parameters
from zoo.transforms.augment import describe

if TYPE_CHECKING:
    from torch import nn

    from zoo.runs.info import Plan
    from zoo.specs import Stage
    from zoo.training.distributed import World
    from zoo.training.setup import Setup

SHOWN_CLASSES = 8
STAGE_HEADERS = ("stage", "parameters", "trains in", "learning rate")


def summary(setup: Setup, world: World) -> dict[str, str]:
    """Named facts: what was chosen, and why where the user left it open."""

    recipe, plan, data, dataset, splits = setup.recipe, setup.plan, setup.data, setup.dataset, setup.splits

    def because(choice: str) -> str:
        return f" ({plan.reasons[choice]})" if choice in plan.reasons else ""

    final_name, final = final_split(dataset, recipe.seed)
    validation = "the dataset's own" if dataset.val is not None else "a tenth of the training pictures"
    tested = f"{len(final):,} test" if final_name == "test" else "no test split: final figures on validation"
    parameters = count_parameters(setup)
    seen = seen_in_words(plan.preprocess, setup.median_size)
    more = ", …" if len(dataset.classes) > SHOWN_CLASSES else ""
    return {
        "backbone": f"{recipe.backbone}, weights: {setup.weights.name}",
        "data": f"{data.name}: {dataset.source}",
        "classes": f"{len(dataset.classes)}: {', '.join(dataset.classes[:SHOWN_CLASSES])}{more}",
        "pictures": f"{_training(setup)}, {len(splits[1]):,} validation ({validation}), {tested}",
        "image size": f"{plan.preprocess.image_size} pixels{because('image size')}" + (f", {seen}" if seen else ""),
        "resize": resize_with_reasons(plan),
        "strategy": f"{plan.strategy}{_frozen(setup)}{because('strategy')}",
        "parameters": f"{parameters.total:,}, {parameters.trainable:,} of them trainable",
        "epochs": f"{_epochs(setup)}, {recipe.batch_size * recipe.accumulate} pictures a step",
        "augmentation": _augmentation(setup),
        "optimizer": f"{recipe.optimizer}, learning rate {plan.learning_rate:g}, {recipe.schedule}",
        "device": f"{plan.device}{because('device')}{_processes(recipe.batch_size, world)}",
        "precision": f"{plan.precision}{because('precision')}",
    }


def resize_with_reasons(plan: Plan) -> str:
    """How pictures are resized, and why where the user left it open."""
    reasons = {choice: plan.reasons[choice] for choice in ("resize", "interpolation") if choice in plan.reasons}
    if len(reasons) == 1:
        ((choice, reason),) = reasons.items()
        return f"{resize_in_words(plan.preprocess)} ({choice}: {reason})"
    return resize_in_words(plan.preprocess) + "".join(f" ({reason})" for reason in dict.fromkeys(reasons.values()))


def count_parameters(setup: Setup) -> Parameters:
    """How many numbers the network has, and how many of them train at some time."""
    first = min(phase.first for phase in setup.plan.phases)
    counts = [sum(p.numel() for p in stage.parameters(setup.network)) for stage in setup.stages]
    return Parameters(total=sum(p.numel() for p in setup.network.parameters()), trainable=sum(counts[first:]))


def _epochs(setup: Setup) -> str:
    """Their number; where phases follow each other, whose they are."""
    head, *others = setup.plan.phases
    if not others:
        return f"{head.epochs}"
    parts = [
        f"{phase.epochs} " + (f"from {setup.stages[phase.first].name} on" if phase.first else "of everything")
        for phase in others
    ]
    return f"{sum(phase.epochs for phase in setup.plan.phases)}: {' + '.join([f'{head.epochs} of the head', *parts])}"


def _frozen(setup: Setup) -> str:
    first = min(phase.first for phase in setup.plan.phases)
    if not first or setup.plan.strategy == "head":
        return ""
    return f" from {setup.stages[first].name} on; what is before it stays frozen"


def _training(setup: Setup) -> str:
    trained, there = len(setup.splits[0]), setup.trainable_pictures
    return f"{trained:,} training" + (f" (of {there:,}: --limit)" if trained < there else "")


def _processes(batch_size: int, world: World) -> str:
    return f", {world.size} processes, each with its part of {batch_size} pictures" if world.size > 1 else ""


def _augmentation(setup: Setup) -> str:
    recipe, plan, policy = setup.recipe, setup.plan, setup.policy
    mixed = [f"{name} {getattr(recipe, name)}" for name in ("mixup", "cutmix") if getattr(recipe, name)]
    if policy is None:
        words = "none"
    else:  # without a policy it is the options alone that vary pictures
        words = describe(policy) if plan.augment == "none" else f"{plan.augment}: {describe(policy)}"
    return ", ".join([words, *mixed])


def stage_rows(plan: Plan, stages: Sequence[Stage], network: nn.Module) -> list[tuple[str, str, str, str]]:
    """For each stage its name, parameters, the epochs in which it trains, and its learning rate."""
    rows = []
    for index, stage in enumerate(stages):
        count = sum(parameter.numel() for parameter in stage.parameters(network))
        rows.append((stage.name, f"{count:,}", *_course(plan, index)))
    return rows


def _course(plan: Plan, stage: int) -> tuple[str, str]:
    """When a stage trains, and how fast."""
    begin, spans, rates = 1, list[tuple[int, int]](), list[str]()
    for step in plan.phases:
        end = begin + step.epochs - 1
        if stage >= step.first:
            spans.append((spans.pop()[0] if spans and spans[-1][1] == begin - 1 else begin, end))
            rates.append(f"{step.learning_rates[stage - step.first]:.2g}")
        begin = end + 1
    if not spans:
        return "frozen", "-"
    words = ", ".join(f"epochs {first} to {last}" if first < last else f"epoch {first}" for first, last in spans)
    return words, ", then ".join(dict.fromkeys(rates))

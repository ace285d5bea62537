"""The rules of backbones."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch

from zoo.errors import PluginError
from zoo.models.checked import build_network, check_answers
from zoo.models.forward import noise
from zoo.registry.validation import PROVIDED_NAME, spec_fault
from zoo.specs import BackboneSpec
from zoo.testing import backbone_use
from zoo.testing.backbone_case import CLASSES, ROUNDING, BackboneCase
from zoo.testing.networks import SEED, awaken, rounding, spread
from zoo.testing.rules import Report, Rule, broken, follow

OTHER_CLASSES = 3
SHARP_NORM = 0.5  # where BatchNorm's weights start if the answers depend too little on the picture with smaller ones
SHARP = 1e-5  # of the spread of the logits: rounding well below the tolerance of 1e-4 of an export
DISTINCT = 1e-3  # of the largest logit


def _valid(case: BackboneCase) -> None:
    if fault := spec_fault(case.spec, PROVIDED_NAME):
        raise broken(fault, "Give the field a value as zoo.specs.BackboneSpec describes it.")


def _builds(case: BackboneCase) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        build_network(case.entry, OTHER_CLASSES)
        case.network, case.stages = build_network(case.entry, len(CLASSES))


def _answers(case: BackboneCase) -> None:
    check_answers(case.entry, case.built, len(CLASSES), case.size)


def _smallest_size(case: BackboneCase) -> None:
    least = case.spec.min_image_size
    sizes = (least,) if case.spec.fixed_image_size else (least, least + 1, 2 * least + 5)
    for size in sizes:
        try:
            case.answer(torch.zeros(2, 3, size, size))
        except Exception as error:
            raise broken(
                f"The network cannot take pictures of {size} pixels, and min_image_size is {least}: {error}",
                "Give the smallest size that works as min_image_size, or set fixed_image_size=True.",
            ) from error


def _trains(case: BackboneCase) -> None:
    steps = awaken(case.built, case.inputs, len(CLASSES))
    case.steps = steps
    if not all(map(torch.isfinite, map(torch.tensor, steps.losses))):
        raise broken(
            f"The losses of two steps of SGD are {', '.join(f'{loss:.3g}' for loss in steps.losses)}.",
            "Check the initial weights: the logits are too large for a training to begin.",
        )
    for stage in case.stages:
        names = [name for name, _ in case.built.named_parameters() if stage.holds(name)]
        if names and set(names) <= set(steps.untouched):
            raise broken(
                f"No parameter of the stage '{stage.name}' gets a gradient, for example {names[0]}.",
                "Use the stage in 'forward' without detach() or no_grad(), or remove it.",
            )


def _differs(case: BackboneCase) -> None:
    if not _is_sharp(case):
        awaken(case.built, case.inputs, len(CLASSES), norm_weight=SHARP_NORM)
    logits = case.answer(case.inputs)
    if spread(logits) < DISTINCT * float(logits.abs().max()):
        raise broken(
            f"After two steps of training, the logits of {len(logits)} different pictures are nearly the same.",
            "Check that 'forward' uses its input, and that the initial weights are not zero.",
        )


def _is_sharp(case: BackboneCase) -> bool:
    """Whether the logits differ between pictures by much more than rounding changes them, in noise too."""
    logits = case.answer(case.inputs)
    if spread(logits) < DISTINCT * float(logits.abs().max()):
        return False
    return rounding(case.built, noise(case.size)) <= SHARP * spread(logits)


def _repeats(case: BackboneCase) -> None:
    first, second = case.answer(case.inputs[:3]), case.answer(case.inputs[:3])
    if not torch.equal(first, second):
        raise broken(
            f"In eval mode, the same pictures get logits that differ by {float((first - second).abs().max()):.3g}.",
            "Switch dropout and other random layers off in eval mode: F.dropout(x, p, self.training).",
        )


def _ignores_batch(case: BackboneCase) -> None:
    together = case.answer(case.inputs[:3])
    alone = torch.cat([case.answer(each[None]) for each in case.inputs[:3]])
    apart = float((together - alone).abs().max()) / spread(case.answer(case.inputs))
    if apart > ROUNDING:
        raise broken(
            f"A picture alone and in a batch of 3 gets logits that differ by {apart:.2g} of their spread.",
            "Let 'forward' compute each picture on its own in eval mode: no statistics of the batch.",
        )


_BUILT = ("valid", "builds", "answers")
RULES: tuple[Rule[BackboneCase], ...] = (
    Rule(name="valid", says="The fields of the spec have the types and values of `BackboneSpec`.", check=_valid),
    Rule(
        name="builds",
        says="For any number of classes, `build` returns a network on the CPU in float32 that has the head of the "
        "spec, and each parameter and buffer is in exactly one stage.",
        check=_builds,
        after=("valid",),
    ),
    Rule(
        name="answers",
        says="The network returns finite float32 logits `[N, K]` in eval and in training mode, without a softmax.",
        check=_answers,
        after=("builds",),
    ),
    Rule(
        name="smallest-size",
        says="It takes pictures of `min_image_size`, and larger ones unless the size is fixed.",
        check=_smallest_size,
        after=_BUILT,
    ),
    Rule(
        name="trains",
        says="Two steps of SGD have finite losses, and each stage with parameters gets a gradient.",
        check=_trains,
        after=_BUILT,
    ),
    Rule(
        name="differs",
        says="After two steps of training, different pictures get different logits.",
        check=_differs,
        after=("trains",),
    ),
    Rule(
        name="repeats",
        says="In eval mode, the same pictures get the same logits, bit for bit.",
        check=_repeats,
        after=("trains",),
    ),
    Rule(
        name="ignores-batch",
        says="In eval mode, the logits of a picture do not depend on the others in its batch.",
        check=_ignores_batch,
        after=("differs", "repeats"),
    ),
    Rule(
        name="freezes",
        says="With all stages but the head frozen, only the head gets gradients, and nothing else changes.",
        check=backbone_use.freezes,
        after=("trains",),
    ),
    Rule(
        name="splits",
        says="The network can be cut before each stage, so that frozen stages are computed once.",
        check=backbone_use.splits,
        after=("repeats",),
    ),
    Rule(
        name="weights",
        says="Pretrained weights, where they are available, load into the network and are for a size that it takes.",
        check=backbone_use.weights,
        after=_BUILT,
    ),
)


def export_rules(formats: Iterable[str]) -> tuple[Rule[BackboneCase], ...]:
    """A rule for each format: its file agrees with the network."""
    return tuple(
        Rule(
            name=f"exports-{name}",
            says=f"Exported as {name}, it answers as it does in PyTorch, and its card comes back.",
            check=partial(backbone_use.exports, name),
            after=("differs", "repeats"),
        )
        for name in formats
    )


def report_backbone(spec: BackboneSpec, formats: Iterable[str], *, weights: bool = True) -> Report:
    """Looks at all rules of a backbone, at `weights` only where asked."""
    if not isinstance(spec, BackboneSpec):
        raise PluginError("What was given is not a BackboneSpec.", "Give one, as the hook zoo_backbones returns it.")
    rules = [rule for rule in RULES if weights or rule.name != "weights"]
    with torch.random.fork_rng(devices=[]):  # dropout and initial weights take random numbers
        torch.manual_seed(SEED)
        return follow(f"the backbone '{spec.name}'", (*rules, *export_rules(formats)), BackboneCase(spec))

"""What timm's registry says of a network and its weights: its `pretrained_cfg`, looked at without building anything."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import floor
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.errors import UsageError
from zoo.specs import Interpolation, ResizeMode

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

INTERPOLATIONS: tuple[Interpolation, ...] = ("bilinear", "bicubic")


class OneHead(NamedTuple):
    """How a family whose published weights have several heads is built with one.

    Attributes:
        head: the name of the classifier that stays.
        options: of timm's builder.
        twin: the name of a second classifier of the same features, whose logits timm averages with those of the first.
            It answers as the first, so that the average is the first's.
        ignore: prefixes of the entries of the others.
    """

    head: str
    options: Mapping[str, Any] = {}
    twin: str = ""
    ignore: tuple[str, ...] = ()


ONE_HEAD = {
    "efficientformer": OneHead("head", twin="head_dist", ignore=("head_dist.",)),
    "efficientformer_v2": OneHead("head", {"distillation": False}, ignore=("head_dist.",)),
    "repvit": OneHead("head.head.l", {"distillation": False}, ignore=("head.head_dist.",)),
    "swiftformer": OneHead("head", twin="head_dist", ignore=("head_dist.",)),
    "volo": OneHead("head", {"use_aux_head": False}, ignore=("aux_head.",)),
}


@cache
def known() -> dict[str, PretrainedCfg]:
    """The configuration of every `NAME` (with its default weights) and `NAME.TAG` of timm."""
    import timm
    from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg

    found: dict[str, PretrainedCfg] = {}
    for name in timm.list_models():
        if default := get_pretrained_cfg(name, allow_unregistered=True):
            found[name] = default
        found.update(get_arch_pretrained_cfgs(name))
    return found


@cache
def family_of(architecture: str) -> str:
    """The module of timm that defines a network: `resnet`."""
    from timm.models import model_entrypoint

    return str(model_entrypoint(architecture).__module__).rpartition(".")[2]


def head_of(name: str, config: PretrainedCfg) -> OneHead:
    """The classifier of a network, and what makes it the only one."""
    if isinstance(config.classifier, str) and config.classifier:
        return OneHead(config.classifier)
    return ONE_HEAD[family_of(name.partition(".")[0])]


def refusal(name: str, config: PretrainedCfg) -> UsageError | None:
    """Why a network cannot be a backbone, as an error; None where it can."""
    channels, height, width = config.input_size
    classifier: Any = config.classifier  # timm annotates text alone
    remedy = "Choose another network: zoo list backbones --search 'timm/*'"
    if not classifier:
        return UsageError(f"timm/{name} has no classifier: it only computes features.", remedy, code="no-classifier")
    if not isinstance(classifier, str) and family_of(name.partition(".")[0]) not in ONE_HEAD:
        heads = ", ".join(classifier)
        return UsageError(
            f"timm/{name} has {len(classifier)} heads ({heads}), and a backbone has exactly one.",
            remedy,
            code="several-heads",
        )
    if channels != 3 or height != width:  # noqa: PLR2004
        size = f"{channels} channels of {height} x {width} pixels"
        return UsageError(f"timm/{name} takes {size}, and visionzoo feeds RGB squares.", remedy, code="not-square")
    return None


def resize_of(config: PretrainedCfg) -> tuple[ResizeMode, float, str]:
    """How timm's evaluation resizes: the mode, the crop fraction, and a reason where visionzoo cannot do it.

    timm resizes the shorter side (both sides with `squash`) to floor(S / crop_pct), and cuts out the centred square S.
    """
    size = config.input_size[-1]
    scaled = floor(size / config.crop_pct)
    cannot = ""
    if config.interpolation not in INTERPOLATIONS:
        cannot = f"its interpolation is '{config.interpolation}'"
    elif config.crop_mode not in ("center", "squash"):
        cannot = f"its crop mode is '{config.crop_mode}'"
    elif scaled < size:
        cannot = f"pictures get a black border, because its crop fraction is {config.crop_pct:g}"
    elif config.crop_mode == "squash" and scaled > size:
        cannot = f"pictures are squashed to {scaled} pixels before {size} are cut out"
    if cannot:
        return "shorter", 1.0, f"{cannot}, which the preprocessing of visionzoo does not have"
    return ("squash", 1.0, "") if config.crop_mode == "squash" else ("shorter", config.crop_pct, "")

"""Policies of augmentation: what varies in training pictures, and how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

# Augmented crops are cut from pictures this much larger than the network's input (256 for 224).
MARGIN = 8 / 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The ranges of augmentation. The parameters of each picture are drawn uniformly from them.

    Attributes:
        degrees: largest rotation, in both directions.
        translate: largest shift, in all directions, as a share of the picture's side.
        scale: range of the zoom factor.
        crop: range of the area of a random crop, as a share of the picture's area (as in Inception,
            https://arxiv.org/abs/1409.4842). It replaces `translate` and `scale`.
        shear: largest shear in degrees, in both directions.
        flip: how half of the pictures are mirrored: `none`, `horizontal`, `vertical`, `both` (independently).
        jitter: brightness, contrast and saturation change by a factor within 1 ± jitter.
        hue: largest hue shift in both directions, as a share of the colour wheel.
        grey: share of the pictures that become grey.
        trivial: whether each picture gets one operation of TrivialAugment (`zoo.transforms.augment.trivial`).
        erase: share of the pictures in which a rectangle is erased (https://arxiv.org/abs/1708.04896).
    """

    degrees: float = 0.0
    translate: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    crop: tuple[float, float] | None = None
    shear: float = 0.0
    flip: str = "none"
    jitter: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    trivial: bool = False
    erase: float = 0.0


POLICIES: dict[str, Policy | None] = {
    "none": None,
    "digits": Policy(degrees=10, translate=0.08, scale=(0.9, 1.1)),
    "light": Policy(degrees=5, translate=0.12, scale=(0.9, 1.1), flip="horizontal"),
    "photos": Policy(crop=(0.35, 1.0), flip="horizontal", jitter=0.2),
    # torchvision's newer reference training: crop, flip, TrivialAugment, a tenth erased, and no jitter (timm turns it
    # off, too, beside automatic augmentation). Its crops begin at 0.08 of the area, which would enlarge the 256 pixels
    # of a store threefold.
    # https://pytorch.org/blog/how-to-train-state-of-the-art-models-using-torchvision-latest-primitives/
    "strong": Policy(crop=(0.25, 1.0), flip="horizontal", trivial=True, erase=0.1),
}


def make_policy(name: str, changes: Mapping[str, Any]) -> Policy | None:
    """The policy of that name with some fields replaced; None where nothing varies.

    Args:
        changes: fields of `Policy`.
    """
    policy = POLICIES[name]
    if not changes:
        return policy
    chosen = dict(changes)
    # A crop draws size and place itself.
    if "crop" in chosen:
        chosen |= {"translate": 0.0, "scale": (1.0, 1.0)}
    elif not {"translate", "scale"}.isdisjoint(chosen):
        chosen["crop"] = None
    return replace(policy or Policy(), **chosen)


def describe(policy: Policy | None) -> str:
    """The ranges in words, for example `rotated by up to 5°, half mirrored (horizontal)`."""
    if policy is None:
        return "nothing varies"
    parts = {
        f"rotated by up to {policy.degrees:g}°": policy.degrees,
        f"shifted by up to {100 * policy.translate:g}% of the side": policy.translate,
        "zoomed by {:g} to {:g}".format(*policy.scale): policy.scale != (1, 1),
        "cropped to {:.0%} to {:.0%} of the area".format(*(policy.crop or (1, 1))): policy.crop,
        f"sheared by up to {policy.shear:g}°": policy.shear,
        f"half mirrored ({policy.flip})": policy.flip != "none",
        f"brightness, contrast, saturation ± {policy.jitter:.0%}": policy.jitter,
        f"hue shifted by up to {360 * policy.hue:g}°": policy.hue,
        f"{100 * policy.grey:g}% grey": policy.grey,
        "one operation of TrivialAugment": policy.trivial,
        f"{100 * policy.erase:g}% with a rectangle erased": policy.erase,
    }
    return ", ".join(words for words, present in parts.items() if present) or "nothing varies"

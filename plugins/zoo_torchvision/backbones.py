"""All classification networks of torchvision as backbones."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlparse

from zoo.errors import MissingExtraError
from zoo.specs import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec, Stage, Triple, WeightsSpec
from zoo_torchvision import stages
from zoo_torchvision.catalogue import CATALOGUE, SWAG, Entry
from zoo_torchvision.fetch import read_timeout, unreachable

if TYPE_CHECKING:
    from torch import Tensor, nn

HALF: Triple = (0.5, 0.5, 0.5)
IMAGENET_TERMS = "torchvision, BSD-3-Clause; trained on ImageNet-1k, whose terms of access are for research"
SWAG_TERMS = "Meta's SWAG, CC BY-NC 4.0: not for commercial use"


class Family(NamedTuple):
    """The common properties of the networks of one paper.

    Attributes:
        body: the stages before the head.
        smallest: the smallest side in pixels at which the forward pass works, measured in training mode.
        options: arguments for torchvision's builder.
    """

    title: str
    head: str
    body: stages.Body
    smallest: int = 1
    fixed_size: bool = False
    ignore: tuple[str, ...] = ()
    options: Mapping[str, object] = {}


FAMILIES = {
    "alexnet": Family("AlexNet (2012)", "classifier.6", stages.pooled_then_hidden, smallest=63),
    "convnext": Family("ConvNeXt (2022)", "classifier.2", stages.CONVNEXT, smallest=32),
    "densenet": Family("DenseNet (2017)", "classifier", stages.DENSENET, smallest=29),
    "efficientnet": Family("EfficientNet (2019, V2 2021)", "classifier.1", stages.efficientnet),
    "googlenet": Family(
        "GoogLeNet (2014)",
        "fc",
        stages.GOOGLENET,
        smallest=15,
        ignore=("aux1.", "aux2."),
        options={"aux_logits": False, "init_weights": True},
    ),
    "inception": Family(
        "Inception v3 (2015)",
        "fc",
        stages.INCEPTION,
        smallest=75,
        ignore=("AuxLogits.",),
        options={"aux_logits": False, "init_weights": True},
    ),
    "maxvit": Family("MaxViT (2022)", "classifier.5", stages.maxvit, smallest=224, fixed_size=True),
    "mnasnet": Family("MnasNet (2019)", "classifier.1", stages.MNASNET),
    "mobilenet_v2": Family("MobileNet V2 (2018)", "classifier.1", stages.mobilenet),
    "mobilenet_v3": Family("MobileNet V3 (2019)", "classifier.3", stages.mobilenet_v3),
    "regnet": Family("RegNet (2020)", "fc", stages.REGNET),
    "resnet": Family("ResNet (2015)", "fc", stages.RESNET),
    "shufflenet": Family("ShuffleNet V2 (2018)", "fc", stages.SHUFFLENET),
    "squeezenet": Family("SqueezeNet (2016)", "classifier", stages.pooled, smallest=21),
    "swin": Family("Swin Transformer (2021, V2 2022)", "head", stages.SWIN, smallest=4),
    "vgg": Family("VGG (2014)", "classifier.6", stages.pooled_then_hidden, smallest=32),
    "vit": Family("Vision Transformer (2020)", "heads.head", stages.vit, smallest=224, fixed_size=True),
}
SMALLEST = {"squeezenet1_1": 17}
# torchvision feeds both with (x * std + mean - 0.5) / 0.5 of ImageNet's constants (`transform_input`), which
# on top of its normalisation is mean = std = 0.5; EfficientNetV2-L was trained with them.
HALF_SCALED = ("googlenet", "inception_v3", "efficientnet_v2_l")


def specs() -> Iterator[BackboneSpec]:
    """Describes one backbone per network, without importing torch."""
    for family, rows in CATALOGUE.items():
        for name, row in rows.items():
            yield _spec(name, FAMILIES[family], row)


def _spec(name: str, family: Family, row: Entry) -> BackboneSpec:
    half = name in HALF_SCALED
    return BackboneSpec(
        name=name,
        build=partial(_build, name, family),
        head=family.head,
        stages=partial(_stages, family),
        weights=WeightsSpec(
            name=row.weights.name,
            load=partial(_load, name, row.weights.name),
            image_size=row.weights.crop,
            mean=HALF if half else IMAGENET_MEAN,
            std=HALF if half else IMAGENET_STD,
            crop_fraction=row.weights.crop / row.weights.resize,
            resize="shorter",
            interpolation=row.weights.interpolation,
            ignore=family.ignore,
            licence=SWAG_TERMS if row.weights.name.startswith(SWAG) else IMAGENET_TERMS,
        ),
        min_image_size=SMALLEST.get(name, family.smallest),
        fixed_image_size=family.fixed_size,
        description=f"{family.title}, {row.millions:g} million parameters",
    )


def _stages(family: Family, network: nn.Module) -> Sequence[Stage]:
    return [*family.body(network), Stage("head", (family.head,))]


def _models() -> Any:
    try:
        import torchvision
    except ModuleNotFoundError:
        raise MissingExtraError("Building a network", "train") from None
    return torchvision.models


def _build(name: str, family: Family, num_classes: int) -> nn.Module:
    built: Any = _models().get_model(name, weights=None, num_classes=num_classes, **family.options)
    from torch import nn

    if name.startswith("squeezenet"):
        # It flattens after its classifier; inside it, the classifier's output is the network's.
        built.classifier.append(nn.Flatten())
    elif name.startswith("maxvit"):
        built.classifier[-1] = nn.Linear(built.classifier[-1].in_features, num_classes)
    elif name.startswith("densenet"):
        built.register_load_state_dict_pre_hook(_rename_dense_layers)
    network: nn.Module = built
    return network


def _rename_dense_layers(_: nn.Module, state: dict[str, Tensor], *__: object) -> None:
    """The published DenseNets have the name `norm.1` for modules that are now called `norm1`."""
    for key in list(state):
        renamed = re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key)
        state[renamed] = state.pop(key)


def _load(name: str, weights: str) -> Mapping[str, Tensor]:
    import torch

    member = _models().get_model_weights(name)[weights]
    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(member.url).path).name)
    if not path.exists() and (reason := unreachable(member.url)):
        raise OSError(f"{reason}, and '{path}' does not exist")
    try:
        # torch.hub reports a download on stdout, which is only for results.
        with read_timeout(), redirect_stdout(sys.stderr):
            state: Mapping[str, Tensor] = member.get_state_dict(
                progress=True, check_hash=True, map_location="cpu", weights_only=True
            )
    except Exception as error:  # damaged pickles raise anything, KeyError included
        reason = str(getattr(error, "reason", error)).partition("\n")[0]
        if path.exists():
            raise OSError(f"'{path}' cannot be read ({reason}); delete it to download it again") from error
        raise OSError(f"{member.url} could not be downloaded ({reason})") from error
    return state

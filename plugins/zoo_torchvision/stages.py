"""The stages of torchvision's networks, from stem to head.

The members of a stage are in the order of their execution: the output of a stage is the output of its last module.
Modules without parameters between two stages (a global pooling, a flattening) may be in no stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from zoo.specs import Stage

if TYPE_CHECKING:
    from torch import nn

Body = Callable[["nn.Module"], Iterable[Stage]]


def fixed(**stages: str) -> Body:
    """Stages with the same names in every network of the family: `stem="conv1 bn1"`."""
    listed = [Stage(name, tuple(members.split())) for name, members in stages.items()]
    return lambda _: listed


def pooled(network: nn.Module) -> Iterator[Stage]:
    """VGG, AlexNet, SqueezeNet: every max pooling ends a block."""
    members: list[str] = []
    block = 1
    for name, child in network.get_submodule("features").named_children():
        members.append(f"features.{name}")
        if type(child).__name__ == "MaxPool2d":
            yield Stage(f"block{block}", tuple(members))
            members = []
            block += 1
    if members:
        yield Stage(f"block{block}", tuple(members))


def pooled_then_hidden(network: nn.Module) -> Iterator[Stage]:
    """VGG, AlexNet: like `pooled`, with fully connected layers between the blocks and the head."""
    yield from pooled(network)
    yield hidden(network)


def hidden(network: nn.Module) -> Stage:
    """All of `classifier` except its last layer, which is the head."""
    names = [name for name, _ in network.get_submodule("classifier").named_children()]
    return Stage("classifier", tuple(f"classifier.{name}" for name in names[:-1]))


def efficientnet(network: nn.Module) -> Iterator[Stage]:
    last = len(list(network.get_submodule("features").children())) - 1
    yield Stage("stem", ("features.0",))
    for index in range(1, last):
        yield Stage(f"stage{index}", (f"features.{index}",))
    yield Stage("conv_head", (f"features.{last}",))


def mobilenet(network: nn.Module) -> Iterator[Stage]:
    """Blocks of equal width form a stage, as in the papers' tables."""
    names = [name for name, _ in network.get_submodule("features").named_children()]

    def width(name: str) -> object:
        return network.get_submodule(f"features.{name}").out_channels

    yield Stage("stem", (f"features.{names[0]}",))
    for index, (_, group) in enumerate(groupby(names[1:-1], key=width), start=1):
        yield Stage(f"stage{index}", tuple(f"features.{name}" for name in group))
    yield Stage("conv_head", (f"features.{names[-1]}",))


def mobilenet_v3(network: nn.Module) -> Iterator[Stage]:
    yield from mobilenet(network)
    yield hidden(network)


def maxvit(network: nn.Module) -> Iterator[Stage]:
    yield Stage("stem", ("stem",))
    for name, _ in network.get_submodule("blocks").named_children():
        yield Stage(f"block{int(name) + 1}", (f"blocks.{name}",))
    yield hidden(network)


def vit(network: nn.Module) -> Iterator[Stage]:
    yield Stage("stem", ("conv_proj", "class_token", "encoder.pos_embedding", "encoder.dropout"))
    layers = network.get_submodule("encoder.layers").named_children()
    for index, (name, _) in enumerate(layers, start=1):
        yield Stage(f"block{index}", (f"encoder.layers.{name}",))
    yield Stage("norm", ("encoder.ln",))


RESNET = fixed(stem="conv1 bn1 relu maxpool", layer1="layer1", layer2="layer2", layer3="layer3", layer4="layer4")
DENSENET = fixed(
    stem="features.conv0 features.norm0 features.relu0 features.pool0",
    denseblock1="features.denseblock1 features.transition1",
    denseblock2="features.denseblock2 features.transition2",
    denseblock3="features.denseblock3 features.transition3",
    denseblock4="features.denseblock4 features.norm5",
)
GOOGLENET = fixed(
    stem="conv1 maxpool1 conv2 conv3 maxpool2",
    inception3="inception3a inception3b maxpool3",
    inception4="inception4a inception4b inception4c inception4d inception4e maxpool4",
    inception5="inception5a inception5b",
)
INCEPTION = fixed(
    stem="Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2",
    mixed5="Mixed_5b Mixed_5c Mixed_5d",
    mixed6="Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e",
    mixed7="Mixed_7a Mixed_7b Mixed_7c",
)
SHUFFLENET = fixed(stem="conv1 maxpool", stage2="stage2", stage3="stage3", stage4="stage4", conv_head="conv5")
REGNET = fixed(
    stem="stem",
    block1="trunk_output.block1",
    block2="trunk_output.block2",
    block3="trunk_output.block3",
    block4="trunk_output.block4",
)
MNASNET = fixed(
    stem=" ".join(f"layers.{i}" for i in range(8)),
    stage1="layers.8",
    stage2="layers.9",
    stage3="layers.10",
    stage4="layers.11",
    stage5="layers.12",
    stage6="layers.13",
    conv_head="layers.14 layers.15 layers.16",
)
SWIN = fixed(
    stem="features.0",
    stage1="features.1",
    stage2="features.2 features.3",
    stage3="features.4 features.5",
    stage4="features.6 features.7",
    norm="norm",
)
CONVNEXT = fixed(
    stem="features.0",
    stage1="features.1",
    stage2="features.2 features.3",
    stage3="features.4 features.5",
    stage4="features.6 features.7",
    norm="classifier.0",
)

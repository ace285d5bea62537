"""A network that looks at single pixels, and pictures whose classes are its own answers: any other resize shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from zoo.registry import registry
from zoo.specs import IMAGENET_MEAN, IMAGENET_STD

from ..plugin_files import write_plugin

SOURCE = """
from zoo.hookspecs import hookimpl
from zoo.specs import BackboneSpec, Stage


def build(num_classes):
    from torch import nn

    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Flatten()), nn.Linear(2 * SIDE * SIDE, num_classes)
    )


@hookimpl
def zoo_backbones():
    stages = (Stage("body", ("0",)), Stage("head", ("1",)))
    yield BackboneSpec(
        name="fine", build=build, head="1", stages=lambda _: stages, min_image_size=SIDE, fixed_image_size=True
    )
"""
OPTIONS = {"classes": ("left", "right"), "mean": IMAGENET_MEAN, "std": IMAGENET_STD}


def fine_network(folder: Path, side: int) -> Callable[[Tensor], Tensor]:
    """Registers `fine` and writes its weights to `w.pt`. It removes what is smooth in pictures."""
    registry().add_file(write_plugin(folder, SOURCE.replace("SIDE", str(side)), "fine_zoo.py"))
    torch.manual_seed(0)
    network = registry().backbone("fine").spec.build(2).eval()
    with torch.no_grad():
        network[0][0].weight -= network[0][0].weight.mean((2, 3), keepdim=True)
        network[1].weight[1] = -network[1].weight[0]
        network[1].bias.zero_()
    torch.save(network.state_dict(), folder / "w.pt")
    return network


def by_answers(
    network: Callable[[Tensor], Tensor], look: Callable[[Image.Image], Tensor], pictures: Sequence[Path], folder: Path
) -> Path:
    """Links 96 pictures each into two classes: by small but clear answers to what `look` makes of a picture.

    Args:
        look: takes a picture, returns float32 `[3, S, S]`.
    """
    with torch.inference_mode():
        scores = torch.cat([network(look(Image.open(path).convert("RGB"))[None]) for path in pictures])
    gaps = scores[:, 0] - scores[:, 1]
    order = gaps.argsort().tolist()
    low, high = len(order) * 48 // 100, len(order) * 52 // 100
    network[1].bias.data.add_(torch.tensor([-0.5, 0.5]) * gaps.median())
    torch.save(network.state_dict(), folder / "w.pt")
    for name, own in (("right", order[low - 96 : low]), ("left", order[high : high + 96])):
        (folder / "photos" / name).mkdir(parents=True)
        for index in own:
            (folder / "photos" / name / pictures[index].name).symlink_to(pictures[index])
    return folder / "photos"

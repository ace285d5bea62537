"""torchvision's classification networks as data, so that a list of them imports nothing.

A test compares each row with the installed torchvision.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo.specs import Interpolation


class Weights(NamedTuple):
    """Published weights.

    Attributes:
        name: of the member of torchvision's weights enum.
        crop, resize: sides in pixels. The shorter side is resized to `resize`, then the centre `crop` is cut out.
        interpolation: of that resize.
    """

    name: str = "IMAGENET1K_V1"
    crop: int = 224
    resize: int = 256
    interpolation: Interpolation = "bilinear"


class Entry(NamedTuple):
    """One network: its millions of parameters with 1000 classes, and its weights."""

    millions: float
    weights: Weights


CUBIC: Interpolation = "bicubic"
V1 = Weights()
V1_CUBIC = Weights(interpolation=CUBIC)
V1_232 = Weights(resize=232)
V2 = Weights("IMAGENET1K_V2", resize=232)
SWAG = "IMAGENET1K_SWAG"

CATALOGUE: dict[str, dict[str, Entry]] = {
    "alexnet": {"alexnet": Entry(61.1, V1)},
    "convnext": {
        "convnext_tiny": Entry(28.6, Weights(resize=236)),
        "convnext_small": Entry(50.2, Weights(resize=230)),
        "convnext_base": Entry(88.6, V1_232),
        "convnext_large": Entry(197.8, V1_232),
    },
    "densenet": {
        "densenet121": Entry(8.0, V1),
        "densenet161": Entry(28.7, V1),
        "densenet169": Entry(14.1, V1),
        "densenet201": Entry(20.0, V1),
    },
    "efficientnet": {
        "efficientnet_b0": Entry(5.3, V1_CUBIC),
        "efficientnet_b1": Entry(7.8, Weights("IMAGENET1K_V2", 240, 255)),
        "efficientnet_b2": Entry(9.1, Weights(crop=288, resize=288, interpolation=CUBIC)),
        "efficientnet_b3": Entry(12.2, Weights(crop=300, resize=320, interpolation=CUBIC)),
        "efficientnet_b4": Entry(19.3, Weights(crop=380, resize=384, interpolation=CUBIC)),
        "efficientnet_b5": Entry(30.4, Weights(crop=456, resize=456, interpolation=CUBIC)),
        "efficientnet_b6": Entry(43.0, Weights(crop=528, resize=528, interpolation=CUBIC)),
        "efficientnet_b7": Entry(66.3, Weights(crop=600, resize=600, interpolation=CUBIC)),
        "efficientnet_v2_s": Entry(21.5, Weights(crop=384, resize=384)),
        "efficientnet_v2_m": Entry(54.1, Weights(crop=480, resize=480)),
        "efficientnet_v2_l": Entry(118.5, Weights(crop=480, resize=480, interpolation=CUBIC)),
    },
    "googlenet": {"googlenet": Entry(6.6, V1)},
    "inception": {"inception_v3": Entry(27.2, Weights(crop=299, resize=342))},
    "maxvit": {"maxvit_t": Entry(30.9, Weights(resize=224, interpolation=CUBIC))},
    "mnasnet": {
        "mnasnet0_5": Entry(2.2, V1),
        "mnasnet0_75": Entry(3.2, V1_232),
        "mnasnet1_0": Entry(4.4, V1),
        "mnasnet1_3": Entry(6.3, V1_232),
    },
    "mobilenet_v2": {"mobilenet_v2": Entry(3.5, V2)},
    "mobilenet_v3": {
        "mobilenet_v3_small": Entry(2.5, V1),
        "mobilenet_v3_large": Entry(5.5, V2),
    },
    "regnet": {
        "regnet_x_400mf": Entry(5.5, V2),
        "regnet_x_800mf": Entry(7.3, V2),
        "regnet_x_1_6gf": Entry(9.2, V2),
        "regnet_x_3_2gf": Entry(15.3, V2),
        "regnet_x_8gf": Entry(39.6, V2),
        "regnet_x_16gf": Entry(54.3, V2),
        "regnet_x_32gf": Entry(107.8, V2),
        "regnet_y_400mf": Entry(4.3, V2),
        "regnet_y_800mf": Entry(6.4, V2),
        "regnet_y_1_6gf": Entry(11.2, V2),
        "regnet_y_3_2gf": Entry(19.4, V2),
        "regnet_y_8gf": Entry(39.4, V2),
        "regnet_y_16gf": Entry(83.6, V2),
        "regnet_y_32gf": Entry(145.0, V2),
        "regnet_y_128gf": Entry(644.8, Weights(f"{SWAG}_E2E_V1", 384, 384, interpolation=CUBIC)),
    },
    "resnet": {
        "resnet18": Entry(11.7, V1),
        "resnet34": Entry(21.8, V1),
        "resnet50": Entry(25.6, V2),
        "resnet101": Entry(44.5, V2),
        "resnet152": Entry(60.2, V2),
        "resnext50_32x4d": Entry(25.0, V2),
        "resnext101_32x8d": Entry(88.8, V2),
        "resnext101_64x4d": Entry(83.5, V1_232),
        "wide_resnet50_2": Entry(68.9, V2),
        "wide_resnet101_2": Entry(126.9, V2),
    },
    "shufflenet": {
        "shufflenet_v2_x0_5": Entry(1.4, V1),
        "shufflenet_v2_x1_0": Entry(2.3, V1),
        "shufflenet_v2_x1_5": Entry(3.5, V1_232),
        "shufflenet_v2_x2_0": Entry(7.4, V1_232),
    },
    "squeezenet": {
        "squeezenet1_0": Entry(1.2, V1),
        "squeezenet1_1": Entry(1.2, V1),
    },
    "swin": {
        "swin_t": Entry(28.3, Weights(resize=232, interpolation=CUBIC)),
        "swin_s": Entry(49.6, Weights(resize=246, interpolation=CUBIC)),
        "swin_b": Entry(87.8, Weights(resize=238, interpolation=CUBIC)),
        "swin_v2_t": Entry(28.4, Weights(crop=256, resize=260, interpolation=CUBIC)),
        "swin_v2_s": Entry(49.7, Weights(crop=256, resize=260, interpolation=CUBIC)),
        "swin_v2_b": Entry(87.9, Weights(crop=256, resize=272, interpolation=CUBIC)),
    },
    "vgg": {
        "vgg11": Entry(132.9, V1),
        "vgg11_bn": Entry(132.9, V1),
        "vgg13": Entry(133.0, V1),
        "vgg13_bn": Entry(133.1, V1),
        "vgg16": Entry(138.4, V1),
        "vgg16_bn": Entry(138.4, V1),
        "vgg19": Entry(143.7, V1),
        "vgg19_bn": Entry(143.7, V1),
    },
    "vit": {
        "vit_b_16": Entry(86.6, V1),
        "vit_b_32": Entry(88.2, V1),
        "vit_l_16": Entry(304.3, Weights(resize=242)),
        "vit_l_32": Entry(306.5, V1),
        # torchvision's default weights of this one want 518 pixels, five times the work of 224.
        "vit_h_14": Entry(632.0, Weights(f"{SWAG}_LINEAR_V1", 224, 224, interpolation=CUBIC)),
    },
}

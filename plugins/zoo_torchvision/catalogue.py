"""torchvision's classification networks as plain data, so that listing them imports nothing.

A test compares every row with the installed torchvision.
"""

from __future__ import annotations

from typing import NamedTuple


class Weights(NamedTuple):
    """Published weights.

    Attributes:
        name: of the member of torchvision's weights enum.
        crop, resize: sides in pixels: the centre that the network sees, the shorter side it is cut from.
    """

    name: str = "IMAGENET1K_V1"
    crop: int = 224
    resize: int = 256


class Row(NamedTuple):
    """One network: its millions of parameters with 1000 classes, and its weights."""

    millions: float
    weights: Weights


V1 = Weights()
V1_232 = Weights(resize=232)
V2 = Weights("IMAGENET1K_V2", resize=232)
SWAG = "IMAGENET1K_SWAG"

CATALOGUE: dict[str, dict[str, Row]] = {
    "alexnet": {"alexnet": Row(61.1, V1)},
    "convnext": {
        "convnext_tiny": Row(28.6, Weights(resize=236)),
        "convnext_small": Row(50.2, Weights(resize=230)),
        "convnext_base": Row(88.6, V1_232),
        "convnext_large": Row(197.8, V1_232),
    },
    "densenet": {
        "densenet121": Row(8.0, V1),
        "densenet161": Row(28.7, V1),
        "densenet169": Row(14.1, V1),
        "densenet201": Row(20.0, V1),
    },
    "efficientnet": {
        "efficientnet_b0": Row(5.3, V1),
        "efficientnet_b1": Row(7.8, Weights("IMAGENET1K_V2", 240, 255)),
        "efficientnet_b2": Row(9.1, Weights(crop=288, resize=288)),
        "efficientnet_b3": Row(12.2, Weights(crop=300, resize=320)),
        "efficientnet_b4": Row(19.3, Weights(crop=380, resize=384)),
        "efficientnet_b5": Row(30.4, Weights(crop=456, resize=456)),
        "efficientnet_b6": Row(43.0, Weights(crop=528, resize=528)),
        "efficientnet_b7": Row(66.3, Weights(crop=600, resize=600)),
        "efficientnet_v2_s": Row(21.5, Weights(crop=384, resize=384)),
        "efficientnet_v2_m": Row(54.1, Weights(crop=480, resize=480)),
        "efficientnet_v2_l": Row(118.5, Weights(crop=480, resize=480)),
    },
    "googlenet": {"googlenet": Row(6.6, V1)},
    "inception": {"inception_v3": Row(27.2, Weights(crop=299, resize=342))},
    "maxvit": {"maxvit_t": Row(30.9, Weights(resize=224))},
    "mnasnet": {
        "mnasnet0_5": Row(2.2, V1),
        "mnasnet0_75": Row(3.2, V1_232),
        "mnasnet1_0": Row(4.4, V1),
        "mnasnet1_3": Row(6.3, V1_232),
    },
    "mobilenet_v2": {"mobilenet_v2": Row(3.5, V2)},
    "mobilenet_v3": {
        "mobilenet_v3_small": Row(2.5, V1),
        "mobilenet_v3_large": Row(5.5, V2),
    },
    "regnet": {
        "regnet_x_400mf": Row(5.5, V2),
        "regnet_x_800mf": Row(7.3, V2),
        "regnet_x_1_6gf": Row(9.2, V2),
        "regnet_x_3_2gf": Row(15.3, V2),
        "regnet_x_8gf": Row(39.6, V2),
        "regnet_x_16gf": Row(54.3, V2),
        "regnet_x_32gf": Row(107.8, V2),
        "regnet_y_400mf": Row(4.3, V2),
        "regnet_y_800mf": Row(6.4, V2),
        "regnet_y_1_6gf": Row(11.2, V2),
        "regnet_y_3_2gf": Row(19.4, V2),
        "regnet_y_8gf": Row(39.4, V2),
        "regnet_y_16gf": Row(83.6, V2),
        "regnet_y_32gf": Row(145.0, V2),
        "regnet_y_128gf": Row(644.8, Weights(f"{SWAG}_E2E_V1", 384, 384)),
    },
    "resnet": {
        "resnet18": Row(11.7, V1),
        "resnet34": Row(21.8, V1),
        "resnet50": Row(25.6, V2),
        "resnet101": Row(44.5, V2),
        "resnet152": Row(60.2, V2),
        "resnext50_32x4d": Row(25.0, V2),
        "resnext101_32x8d": Row(88.8, V2),
        "resnext101_64x4d": Row(83.5, V1_232),
        "wide_resnet50_2": Row(68.9, V2),
        "wide_resnet101_2": Row(126.9, V2),
    },
    "shufflenet": {
        "shufflenet_v2_x0_5": Row(1.4, V1),
        "shufflenet_v2_x1_0": Row(2.3, V1),
        "shufflenet_v2_x1_5": Row(3.5, V1_232),
        "shufflenet_v2_x2_0": Row(7.4, V1_232),
    },
    "squeezenet": {
        "squeezenet1_0": Row(1.2, V1),
        "squeezenet1_1": Row(1.2, V1),
    },
    "swin": {
        "swin_t": Row(28.3, V1_232),
        "swin_s": Row(49.6, Weights(resize=246)),
        "swin_b": Row(87.8, Weights(resize=238)),
        "swin_v2_t": Row(28.4, Weights(crop=256, resize=260)),
        "swin_v2_s": Row(49.7, Weights(crop=256, resize=260)),
        "swin_v2_b": Row(87.9, Weights(crop=256, resize=272)),
    },
    "vgg": {
        "vgg11": Row(132.9, V1),
        "vgg11_bn": Row(132.9, V1),
        "vgg13": Row(133.0, V1),
        "vgg13_bn": Row(133.1, V1),
        "vgg16": Row(138.4, V1),
        "vgg16_bn": Row(138.4, V1),
        "vgg19": Row(143.7, V1),
        "vgg19_bn": Row(143.7, V1),
    },
    "vit": {
        "vit_b_16": Row(86.6, V1),
        "vit_b_32": Row(88.2, V1),
        "vit_l_16": Row(304.3, Weights(resize=242)),
        "vit_l_32": Row(306.5, V1),
        # torchvision's default weights of this one want 518 pixels, five times the work of 224.
        "vit_h_14": Row(632.0, Weights(f"{SWAG}_LINEAR_V1", 224, 224)),
    },
}

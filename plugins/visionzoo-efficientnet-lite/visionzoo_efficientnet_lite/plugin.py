"""The plugin for `zoo`: describes three backbones without importing torch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from visionzoo_efficientnet_lite import network
from zoo.hookspecs import hookimpl
from zoo.specs import BackboneSpec, WeightsSpec

# The TensorFlow original normalises 0..255 with (x - 127) / 128 and shows S of S + 32 pixels:
# https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
# It cuts these out before a bilinear resize without antialiasing. As sharp, with antialiasing, is bicubic, which timm
# takes for the same weights. Of the ways that `zoo` has, this one gives them the highest accuracy and likelihood.
MEAN = 127 / 255
STD = 128 / 255
PADDING = 32
LICENCE = "Google's EfficientNet-Lite converted by ML Illustrated, Apache-2.0; trained on ImageNet-1k"

# name: side in pixels, millions of parameters
SIZES = {
    "efficientnet_lite0": (224, 4.7),
    "efficientnet_lite1": (240, 5.4),
    "efficientnet_lite2": (260, 6.1),
}


@hookimpl
def zoo_backbones() -> Iterator[BackboneSpec]:
    for name, (size, millions) in SIZES.items():
        yield BackboneSpec(
            name=name,
            build=partial(network.build, name),
            head=network.HEAD,
            stages=network.stages,
            weights=WeightsSpec(
                name="imagenet",
                load=partial(network.load, name),
                image_size=size,
                mean=(MEAN, MEAN, MEAN),
                std=(STD, STD, STD),
                crop_fraction=size / (size + PADDING),
                resize="shorter",
                interpolation="bicubic",
                licence=LICENCE,
                bundled=True,
            ),
            min_image_size=1,
            description=f"EfficientNet-Lite (2020), {millions:g} million parameters, weights in the package",
        )

"""Preprocessing and network in one module, which is evaluated and exported."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

from torch import Tensor, nn

from zoo.data.class_names import check_classes
from zoo.errors import UsageError
from zoo.models.forward import forward_fault
from zoo.specs import MAX_IMAGE_SIZE, PreprocessSpec
from zoo.transforms.preprocess import Preprocess


class Classifier(nn.Module):
    """From uint8 pixels to logits. The exported classifier is the one that was evaluated.

    It holds a copy of the network: in eval mode, in float32, on the CPU. The network itself does not change, and a
    later training of it does not change the classifier.

    Args:
        network: trained anywhere; float32 `[N, 3, S, S]` in, logits `[N, K]` out.
        classes: the K names, in the order of the logits.
        preprocess: how raw pixels become the input of the network; S is its `image_size`.
        check: False takes the network itself, in its mode, and checks nothing: for a network that was checked before.

    Raises:
        UsageError: an argument has the wrong type or value, or the network does not give logits `[N, K]` for noise.
        DataError: the classes are no list of two or more distinct names, or an exported file cannot hold one of them.
    """

    def __init__(
        self, network: nn.Module, classes: Sequence[str], preprocess: PreprocessSpec, *, check: bool = True
    ) -> None:
        if check:
            check_classes(classes, "the argument classes")
            _check_preprocess(preprocess)
            network = _checked_copy(network, preprocess.image_size, len(classes))
        super().__init__()
        self.spec = preprocess
        self.classes = tuple(classes)
        self.preprocess = Preprocess(preprocess)
        self.network = network
        if check:
            self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 `[N, H, W, 3]` of any size; returns logits `[N, K]`."""
        logits: Tensor = self.network(self.preprocess(images))
        return logits


def _check_preprocess(spec: Any) -> None:
    if not isinstance(spec, PreprocessSpec):
        raise UsageError(
            f"The argument preprocess is {_short(spec)}, not a PreprocessSpec.",
            "Give what the network was trained with: preprocess=zoo.PreprocessSpec(image_size=224)",
            code="classifier-preprocess",
        )
    limits = spec.pixel_range
    rules = {
        "image_size": (type(spec.image_size) is int and 1 <= spec.image_size <= MAX_IMAGE_SIZE, "1 to 4096 pixels"),
        "mean": (_numbers(spec.mean, 3), "a tuple of three finite numbers"),
        "std": (_numbers(spec.std, 3) and min(spec.std) > 0, "a tuple of three finite numbers above 0"),
        "crop_fraction": (_numbers((spec.crop_fraction,), 1) and 0 < spec.crop_fraction <= 1, "above 0, at most 1"),
        "pixel_range": (
            limits is None or (_numbers(limits, 2) and limits[0] < limits[1]),
            "a tuple of two finite numbers, the smaller first",
        ),
    }
    hints = get_type_hints(PreprocessSpec)
    for name in ("resize", "interpolation", "channels"):
        known = get_args(hints[name])
        rules[name] = (getattr(spec, name) in known, f"one of {', '.join(known)}")
    for name, (holds, words) in rules.items():
        if not holds:
            cause = f"The argument preprocess has {name}={_short(getattr(spec, name))}."
            raise UsageError(cause, f"Give {words}.", code="classifier-preprocess")


def _numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == count
        and all(isinstance(value, int | float) and math.isfinite(value) for value in values)
    )


def _checked_copy(network: Any, image_size: int, num_classes: int) -> nn.Module:
    if not isinstance(network, nn.Module):
        hint = " Call it first." if isinstance(network, type) else ""
        raise UsageError(
            f"The argument network is {_short(network)}, not a torch.nn.Module.{hint}",
            "Give the trained network itself.",
            code="classifier-network",
        )
    inner = next((name for name in ("_orig_mod", "module") if isinstance(getattr(network, name, None), nn.Module)), "")
    if inner and [name for name, _ in network.named_children()] == [inner]:  # torch.compile, DataParallel
        cause = f"The argument network is a {type(network).__name__} around the network."
        raise UsageError(cause, f"Give the network in it: network.{inner}", code="classifier-network")
    try:
        copied = copy.deepcopy(network).cpu().float().eval()
    except (RuntimeError, TypeError) as error:
        cause = f"The argument network cannot be copied: {str(error).splitlines()[0]}"
        remedy = "Remove what is not a parameter or a buffer from its attributes."
        raise UsageError(cause, remedy, code="classifier-network") from None
    fault = forward_fault(copied, image_size, num_classes)
    if fault:
        remedy = "Give a network that takes float32 [N, 3, S, S] and returns logits [N, K], with K names in classes."
        raise UsageError(fault, remedy, code="classifier-network")
    return copied


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"an object of type {type(value).__name__}"  # noqa: PLR2004

"""From timm's configurations to backbones."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from visionzoo_timm import network, sizes, weights
from visionzoo_timm.configs import family_of, head_of, known, refusal, resize_of
from visionzoo_timm.stages import stages
from zoo.errors import UsageError
from zoo.specs import BackboneSpec, Interpolation, Triple, WeightsSpec

if TYPE_CHECKING:
    from timm.models import PretrainedCfg


def spec(name: str) -> BackboneSpec | None:
    """The backbone of `NAME` or `NAME.TAG`, None for a name that timm lacks. No network is built.

    Raises `UsageError` with the reason for a network of timm that cannot be a backbone.
    """
    config = known().get(name)
    if config is None:
        _refuse_old_name(name)
        return None
    if error := refusal(name, config):
        raise error
    head = head_of(name, config)
    smallest, fixed = sizes.smallest(name, config)
    return BackboneSpec(
        name=name,
        build=partial(network.build, name, head),
        head=head.head,
        stages=partial(stages, head=head.head),
        weights=_weights(name, config) if config.has_weights else None,
        min_image_size=smallest,
        fixed_image_size=fixed,
        description=_description(name, config),
    )


def _refuse_old_name(name: str) -> None:
    """Raises `UsageError` for a name that timm had earlier."""
    from timm.models import _registry

    current = _registry._deprecated_models.get(name)
    if current:
        raise UsageError(f"timm has renamed {name}.", f"Write: timm/{current}", code="renamed")


def _weights(name: str, config: PretrainedCfg) -> WeightsSpec:
    resize, crop_fraction, cannot = resize_of(config)
    bilinear = cannot or config.interpolation == "bilinear"
    where = str(config.hf_hub_id or config.url)
    return WeightsSpec(
        name=_tagged(name, config),
        load=partial(weights.load, name, cannot),
        image_size=config.input_size[-1],
        mean=cast(Triple, tuple(config.mean)),
        std=cast(Triple, tuple(config.std)),
        crop_fraction=crop_fraction,
        resize=resize,
        interpolation="bilinear" if bilinear else cast(Interpolation, config.interpolation),
        ignore=head_of(name, config).ignore,
        licence=f"{where}; licence as timm records it: {config.license or 'none'}",
    )


def _tagged(name: str, config: PretrainedCfg) -> str:
    architecture = name.partition(".")[0]
    return f"{architecture}.{config.tag}" if config.tag else architecture


def _description(name: str, config: PretrainedCfg) -> str:
    architecture = name.partition(".")[0]
    parts = [f"timm's {family_of(architecture)}", f"{config.input_size[-1]} pixels"]
    if config.has_weights and (cannot := resize_of(config)[2]):
        parts.append(f"no pretrained weights, because {cannot}")
    return ", ".join(parts)

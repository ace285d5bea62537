"""The sizes that a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visionzoo_timm.configs import family_of

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

SMALLEST = 32
# Measured where 32 pixels fail; None: sizes other than that of the weights fail.
BY_FAMILY: dict[str, int | None] = {}


def smallest(name: str, config: PretrainedCfg) -> tuple[int, bool]:
    """The smallest side in pixels, and whether it is the only one."""
    size = int(config.input_size[-1])
    measured = BY_FAMILY.get(family_of(name.partition(".")[0]), SMALLEST)
    if config.fixed_input_size or measured is None:
        return size, True
    least = max(config.min_input_size[1:]) if config.min_input_size else SMALLEST
    return max(least, measured), False

"""The sizes that a network takes, from timm's configuration and from a file of this package.

    python -m visionzoo_timm.sizes > visionzoo_timm/sizes.txt

measures them on torch's meta device, which computes shapes alone. The file has the networks that timm does not mark
as of a fixed size, and that need more than 32 pixels or take no odd sizes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo_timm.configs import known, refusal

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

FILE = Path(__file__).with_name("sizes.txt")
SMALLEST = 32
LADDER = (32, 48, 64, 80, 96, 128, 160, 192, 224, 256)
FIXED = "fixed"


def smallest(name: str, config: PretrainedCfg) -> tuple[int, bool]:
    """The smallest side in pixels, and whether it is the only one."""
    size = int(config.input_size[-1])
    found = measured().get(name.partition(".")[0], str(SMALLEST))
    if config.fixed_input_size or found == FIXED:
        return size, True
    stated = max(config.min_input_size[1:]) if config.min_input_size else SMALLEST
    return max(stated, int(found)), False


@cache
def measured() -> dict[str, str]:
    """What the file says of an architecture: its smallest side, or `fixed`."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines if not line.startswith("#"))


def measure(name: str) -> str:
    """The smallest side that a network takes, `fixed` where it does not take every size from there on.

    As in `zoo.testing`, three sizes stand for all: the smallest, the next, and one that is odd.
    """
    import timm
    import torch

    config = known()[name]
    with torch.device("meta"):
        network: Any = timm.create_model(name, num_classes=2)
    stated = max(config.min_input_size[1:]) if config.min_input_size else SMALLEST
    sides = (side for side in LADDER if stated <= side <= config.input_size[-1])
    least = next((side for side in sides if _takes(network, side)), None)
    if least is None or not all(_takes(network, side) for side in (least + 1, 2 * least + 5)):
        return FIXED
    return str(least)


def _takes(network: Any, side: int) -> bool:
    import torch

    try:
        for mode in (True, False):
            with torch.no_grad():
                network.train(mode)(torch.zeros(2, 3, side, side, device="meta"))
    except Exception:  # a network of timm raises anything at a size that it does not take
        return False
    return True


def main() -> None:
    """Prints the file."""
    import warnings

    import timm

    warnings.simplefilter("ignore")
    print(f"# timm {timm.__version__}", flush=True)
    for name in timm.list_models():
        config = known().get(name)
        if config is None or config.fixed_input_size or refusal(name, config):
            continue
        if (found := measure(name)) != str(SMALLEST):
            print(f"{name} {found}", flush=True)


if __name__ == "__main__":
    main()

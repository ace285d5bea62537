"""State dicts from files, which lack the metadata that PyTorch attaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


class _StateDict(dict[str, "Tensor"]):
    """Has the network's version where `load_state_dict` looks for it. MNASNet requires one."""

    _metadata: Mapping[str, Mapping[str, object]]


def load_state(
    network: nn.Module, state: Mapping[str, Tensor], *, strict: bool = True, origin: Mapping[str, Tensor] | None = None
) -> Any:
    """`network.load_state_dict`, for a state dict that may come from a file.

    Args:
        origin: the state dict that `state` is a part of. Its versions are used if it has any.
    """
    versioned = _StateDict(state)
    # Of the network alone: a BatchNorm without a version may come without `num_batches_tracked`, as in old files.
    versioned._metadata = getattr(origin or state, "_metadata", {"": {"version": network._version}})
    return network.load_state_dict(versioned, strict=strict)

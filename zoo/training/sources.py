"""Where the inputs of a phase come from: pictures, or what frozen stages made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from zoo.training.batches import EVALUATION_BATCH_SIZE, Views
from zoo.training.distributed import World
from zoo.training.feature_cache import Features


class Source(Protocol):
    """Gives batches by the indices of their pictures, int64 `[N]`; each process gets its share of them.

    Attributes:
        mixes: whether a batch may be blended (MixUp, CutMix): pictures may, features of pictures may not.
    """

    mixes: bool

    def train(self, indices: Tensor, epoch: int) -> Tensor:
        """Inputs of training pictures; `epoch` counts from 1 within the phase."""
        ...

    def val(self, indices: Tensor) -> Tensor:
        """Inputs of validation pictures."""
        ...

    def announce(self, batches: Sequence[Tensor]) -> None:
        """Says which training batches an epoch will ask for, so that they can be read ahead."""
        ...


class PictureSource:
    """Pictures as the network takes them, float32 `[n, 3, S, S]`.

    Args:
        varied: whether training pictures are augmented and may be mixed.
    """

    def __init__(self, views: Views, world: World, *, varied: bool) -> None:
        self.views, self.world, self.mixes = views, world, varied

    def train(self, indices: Tensor, epoch: int) -> Tensor:  # noqa: ARG002
        return self.views.varied(indices) if self.mixes else self.views.plain(self.views.train, indices).clone()

    def val(self, indices: Tensor) -> Tensor:
        return self.views.plain(self.views.val, indices)

    def announce(self, batches: Sequence[Tensor]) -> None:
        self.views.announce_train(batches, varied=self.mixes)
        self.views.announce_val(list(self.world.parts(len(self.views.val), EVALUATION_BATCH_SIZE)))


class FeatureSource:
    """Stored features, float32 `[n, ...]`; each epoch takes the next view of every picture."""

    mixes = False

    def __init__(self, features: Features, device: torch.device, share: slice) -> None:
        self.features, self.device, self.share = features, device, share

    def train(self, indices: Tensor, epoch: int) -> Tensor:
        view = self.features.train[(epoch - 1) % len(self.features.train)]
        return self._laid_out(view[indices[self.share]].to(self.device))

    def val(self, indices: Tensor) -> Tensor:
        return self._laid_out(self.features.val[indices[self.share]].to(self.device))

    def announce(self, batches: Sequence[Tensor]) -> None:
        pass

    @staticmethod
    def _laid_out(features: Tensor) -> Tensor:
        is_map = features.ndim == 4  # noqa: PLR2004
        return features.contiguous(memory_format=torch.channels_last) if is_map else features

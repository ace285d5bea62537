"""What a network sees of stored pictures: as they are, or varied at random."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from zoo.augment import Policy, augment
from zoo.data.store import Store, gather
from zoo.preprocess import Preprocess

EVALUATION_BATCH_SIZE = 256


class Views:
    """Pictures of the two stores as a network's input, float32 `[n, 3, S, S]`, channels last.

    Args:
        policy: how training pictures vary; None for not at all.
        chance: draws the variation.
    """

    def __init__(
        self, train: Store, val: Store, policy: Policy | None, chance: torch.Generator, device: torch.device
    ) -> None:
        self.train, self.val, self.policy, self.chance, self.device = train, val, policy, chance, device
        self.preprocess = Preprocess(train.preprocess).to(device)

    def plain(self, store: Store, indices: Tensor) -> Tensor:
        """The pictures at `indices`, int64 `[n]`."""
        with torch.inference_mode():
            views: Tensor = self.preprocess(gather(store.pixels, indices, self.device))
        return views.contiguous(memory_format=torch.channels_last)

    def varied(self, indices: Tensor) -> Tensor:
        """Training pictures, each varied anew; can take part in a backward pass."""
        if self.policy is None:
            return self.plain(self.train, indices).clone()
        pixels = gather(self.train.wide, indices, self.device)
        views = augment(pixels, self.policy, self.preprocess.size, self.chance)
        normal: Tensor = self.preprocess.normalise(views).contiguous(memory_format=torch.channels_last)
        return normal

    def announce_train(self, order: Tensor, *, varied: bool) -> None:
        """Says which training pictures come, int64 `[n]`, and whether as `varied` or as `plain` takes them."""
        (self.train.wide if varied else self.train.pixels).announce(order.numpy())

    def announce_val(self) -> None:
        """Says that all validation pictures come, in their order."""
        self.val.pixels.announce(torch.arange(len(self.val)).numpy())

    def announce_end(self) -> None:
        """Says that nothing comes any more."""
        for rows in (self.train.pixels, self.train.wide, self.val.pixels):
            rows.announce(torch.empty(0, dtype=torch.int64).numpy())

    def example(self) -> Tensor:
        """Two pictures."""
        return self.plain(self.val, torch.tensor([0, len(self.val) - 1])).clone()


def chunks(indices: Tensor, size: int) -> Iterator[Tensor]:
    """Runs of at most `size` indices."""
    yield from torch.split(indices, size)

"""The order of training samples, as a function of seed and epoch, able to start in the middle."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """Addresses (epoch, number) of one epoch in shuffled order.

    Lightning calls `set_epoch`; a resumed run calls `skip` once, so that the interrupted epoch
    goes on with the first sample that was not trained on.

    Args:
        length: Samples an epoch.
        seed: Seed of the run.
        rank: Number of this process among `world_size` that share an epoch.
        world_size: Processes.
    """

    def __init__(self, length: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.length = length
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self._skipped = 0

    def __len__(self) -> int:
        return self.length // self.world_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives."""
        self.epoch = epoch

    def share(self, rank: int, world_size: int) -> None:
        """Take every `world_size`-th sample from number `rank` on."""
        self.rank, self.world_size = rank, world_size

    def skip(self, samples: int) -> None:
        """Leave out the first `samples` of the next iteration only."""
        self._skipped = samples

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.length, generator=generator).tolist()
        start, self._skipped = self._skipped, 0
        mine = order[self.rank :: self.world_size][: len(self)]
        return iter([(self.epoch, number) for number in mine[start:]])

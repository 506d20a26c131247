"""Batches of clips that are about as long, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import final

import torch

from faultline.data.sampling import EpochSampler

Address = tuple[int, int]
_POOL = 16


@final
class LengthSampler(EpochSampler):
    """Addresses (epoch, number) of one epoch, by chance, but in batches of similar length.

    A shuffled epoch is cut into pools of 16 batches. Each pool is sorted by length and cut into
    batches, and then batches are shuffled. Which clips meet differs from epoch to epoch. The clips
    that fill no whole batch stand at the end, where a loader can leave them out.

    Args:
        count: Samples per epoch.
        seed: Seed of the run.
        batch_size: Samples per batch.
        length: Length of the sample at an address, in any unit; need not be exact.
    """

    def __init__(
        self, count: int, seed: int, batch_size: int, length: Callable[[Address], int]
    ) -> None:
        super().__init__(count, seed)
        self.batch_size = batch_size
        self._length_of = length

    def __iter__(self) -> Iterator[Address]:
        start, self._skipped = self._skipped, 0
        order = list(super().__iter__())
        whole = len(order) - len(order) % self.batch_size
        batches = self._batches(order[:whole])
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        shuffled = torch.randperm(len(batches), generator=generator).tolist()
        arranged = [address for index in shuffled for address in batches[index]]
        return iter([*arranged, *order[whole:]][start:])

    def _batches(self, order: list[Address]) -> list[list[Address]]:
        pool = _POOL * self.batch_size
        batches = []
        for first in range(0, len(order), pool):
            by_length = sorted(order[first : first + pool], key=self._length_of)
            batches += [
                by_length[at : at + self.batch_size]
                for at in range(0, len(by_length), self.batch_size)
            ]
        return batches

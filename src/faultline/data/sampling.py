"""The order of training samples, as a function of seed and epoch, able to start in the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Sampler

from faultline.errors import ConfigError, DataError
from faultline.registry import did_you_mean

SAMPLERS = ("uniform", "weighted", "class_aware")

Draw = Callable[[torch.Generator], list[int]]
"""Numbers of the samples of one epoch, in order.

Of N items, number n stands for item n modulo N: an item that is drawn again gets another number,
so that it is augmented anew.
"""


class EpochSampler(Sampler[tuple[int, int]]):
    """Addresses (epoch, number) of one epoch in shuffled order.

    Lightning calls `set_epoch`; a resumed run calls `skip` once, so that the interrupted epoch
    goes on with the first sample that was not trained on.

    Args:
        length: Samples per epoch.
        seed: Seed of the run.
        rank: Number of this process among `world_size` that share an epoch.
        world_size: Processes.
        draw: Gives the `length` numbers of an epoch; by default each once.
    """

    def __init__(
        self,
        length: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        draw: Draw | None = None,
    ) -> None:
        self.length = length
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self._draw = draw or uniform_draw(length)
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
        order = self._draw(generator)
        start, self._skipped = self._skipped, 0
        mine = order[self.rank :: self.world_size][: len(self)]
        return iter([(self.epoch, number) for number in mine[start:]])


def create_draw(name: str, targets: npt.NDArray[np.uint8], length: int | None = None) -> Draw:
    """How an epoch is drawn: `uniform`, `weighted` or `class_aware`.

    Args:
        name: Which of them.
        targets: (N, K) of 0 and 1, what each item shows; items of no class count as one more.
        length: Samples per epoch; by default N.

    Raises:
        ConfigError: The name is unknown.
        DataError: There are no items.
    """
    if not len(targets):
        raise DataError("there are no pictures to draw from")
    length = len(targets) if length is None else length
    if name == "weighted":
        return weighted_draw(item_weights(targets), length)
    if name == "class_aware":
        return class_aware_draw(targets, length)
    if name != "uniform":
        raise ConfigError(
            f"unknown sampler {name!r}{did_you_mean(name, SAMPLERS)}",
            remedy=f"use one of {', '.join(SAMPLERS)}",
        )
    return uniform_draw(length)


def uniform_draw(length: int) -> Draw:
    """Every sample once, shuffled."""
    return lambda generator: torch.randperm(length, generator=generator).tolist()


def weighted_draw(weights: npt.NDArray[np.float64], length: int) -> Draw:
    """`length` samples with replacement, each item in proportion to its weight (N,)."""
    values = torch.as_tensor(weights, dtype=torch.float64)

    def draw(generator: torch.Generator) -> list[int]:
        # torch.multinomial takes at most 2^24 items; sums and a search take any number.
        sums = values.cumsum(0)
        places = torch.rand(length, generator=generator, dtype=torch.float64) * sums[-1]
        found = torch.searchsorted(sums, places, right=True).clamp_(max=len(values) - 1)
        return _numbered(found.tolist(), len(values))

    return draw


def class_aware_draw(targets: npt.NDArray[np.uint8], length: int) -> Draw:
    """A class by turns, then one of its items (Shen, Lin and Huang 2016, Relay Backpropagation).

    Classes take turns in a new order each round; the items of a class are all drawn, shuffled,
    before any comes again.
    """
    columns = with_none(targets)
    members = [np.flatnonzero(column) for column in columns.T if column.any()]

    def draw(generator: torch.Generator) -> list[int]:
        decks = [_Deck(items, generator) for items in members]
        found: list[int] = []
        while len(found) < length:
            turns = torch.randperm(len(decks), generator=generator).tolist()
            found += [decks[turn].take() for turn in turns]
        return _numbered(found[:length], len(targets))

    return draw


def item_weights(targets: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Weight of each item, (N,): the largest of 1 / frequency among the classes that it shows."""
    columns = with_none(targets)
    counts = columns.sum(axis=0)
    scarcity = np.divide(1.0, counts, out=np.zeros(len(counts)), where=counts > 0)
    weights: npt.NDArray[np.float64] = (columns * scarcity).max(axis=1)
    return weights


def with_none(targets: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(N, K + 1): the targets, and one more class for items that show none."""
    bare = (targets.sum(axis=1) == 0).astype(np.uint8)
    return np.concatenate([targets, bare[:, None]], axis=1)


class _Deck:
    """Items of one class, shuffled anew whenever all have been taken."""

    def __init__(self, items: npt.NDArray[np.intp], generator: torch.Generator) -> None:
        self._items = items.tolist()
        self._generator = generator
        self._left: list[int] = []

    def take(self) -> int:
        """The next item."""
        if not self._left:
            order = torch.randperm(len(self._items), generator=self._generator).tolist()
            self._left = [self._items[position] for position in order]
        return self._left.pop()


def _numbered(found: list[int], count: int) -> list[int]:
    """Numbers of drawn items: an item drawn for the k-th time is its index plus `count` * k."""
    seen: dict[int, int] = {}
    numbers = []
    for index in found:
        times = seen.get(index, 0)
        seen[index] = times + 1
        numbers.append(index + count * times)
    return numbers

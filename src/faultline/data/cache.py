"""Decoded pictures and masks, kept so that the second epoch does not decode again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faultline.files import atomic_path

Arrays = tuple[NDArray[np.uint8], ...]


@dataclass
class CacheCounts:
    """How often the cache answered, and how often it had to decode."""

    hits: int = 0
    misses: int = 0


class NoCache:
    """Decodes every time."""

    def __init__(self) -> None:
        self.counts = CacheCounts()

    def get(self, key: str, decode: Callable[[], Arrays]) -> Arrays:
        """What `decode` returns."""
        self.counts.misses += 1
        return decode()


class RamCache(NoCache):
    """Keeps arrays in memory until `budget` bytes are used; later ones are decoded each time.

    Nothing is evicted: an epoch touches every picture once, the worst case for any
    least-recently-used rule, so a fixed part that always hits is the best that can be had.
    """

    def __init__(self, budget: int) -> None:
        super().__init__()
        self._budget = budget
        self._kept: dict[str, Arrays] = {}

    def get(self, key: str, decode: Callable[[], Arrays]) -> Arrays:
        """The kept arrays of `key`, or what `decode` returns."""
        if key in self._kept:
            self.counts.hits += 1
            return self._kept[key]
        arrays = super().get(key, decode)
        size = sum(array.nbytes for array in arrays)
        if size <= self._budget:
            self._budget -= size
            self._kept[key] = arrays
        return arrays


class DiskCache(NoCache):
    """Keeps arrays as `.npy` files, read through memory maps; shared by processes and runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def get(self, key: str, decode: Callable[[], Arrays]) -> Arrays:
        """The stored arrays of `key`, or what `decode` returns, stored."""
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        stored = sorted(self._folder.glob(f"{name}-*.npy"))
        if stored and len(stored) == int(stored[0].stem.split("-")[2]):
            self.counts.hits += 1
            return tuple(np.load(path, mmap_mode="r") for path in stored)
        arrays = super().get(key, decode)
        for index, array in enumerate(arrays):
            target = self._folder / f"{name}-{index}-{len(arrays)}.npy"
            with atomic_path(target) as temporary:
                np.save(temporary, array)
        return arrays


def create_cache(kind: str, gibibytes: float, folder: Path | None = None) -> NoCache:
    """`ram` within a budget, `disk` below `folder`, or `none`."""
    if kind == "ram":
        return RamCache(int(gibibytes * 2**30))
    if kind == "disk" and folder is not None:
        return DiskCache(folder)
    return NoCache()

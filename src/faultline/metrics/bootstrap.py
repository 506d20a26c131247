"""Bootstrap intervals: images (or groups of images) are drawn again, pixels never are.

Pixels of one image are not independent, so only images or whole groups are resampled. As every
metric here is a function of summed counts, a resample is one row of a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from faultline.errors import ConfigError, ContractError
from faultline.metrics.inputs import Floats

Statistic = Callable[[Floats], npt.ArrayLike]
"""Summed counts (R, D) -> statistic (R,): one value for each row."""

_CHUNK = 128


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic and its percentile interval.

    Attributes:
        value: The statistic of all images.
        low: Lower end; NaN with fewer than two groups, which say nothing about spread.
        high: Upper end, likewise.
        level: Share of resamples between them.
        resamples: Resamples in which the statistic was defined.
    """

    value: float
    low: float
    high: float
    level: float
    resamples: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0

    def to_dict(self) -> dict[str, float]:
        """Value, low and high."""
        return {"value": self.value, "low": self.low, "high": self.high}


class Resampler:
    """Draws images with replacement, whole groups at a time; the same draws for every metric.

    Args:
        images: Number N of images.
        groups: Group of each image; without it each image is its own.
        resamples: Number R of draws.
        level: Share of draws inside an interval.
        seed: Same seed, same draws.

    Raises:
        ConfigError: `resamples` below 1, or `level` outside (0, 1).
        ContractError: Not one group for each image.
    """

    def __init__(
        self,
        images: int,
        groups: Sequence[Hashable] | None = None,
        *,
        resamples: int = 1000,
        level: float = 0.95,
        seed: int = 0,
    ) -> None:
        if resamples < 1:
            raise ConfigError(f"resamples={resamples} is below 1")
        if not 0.0 < level < 1.0:
            raise ConfigError(f"level={level!r} does not lie between 0 and 1")
        if groups is not None and len(groups) != images:
            raise ContractError(f"{len(groups)} groups for {images} images", where="groups")
        self.images = images
        self.resamples = resamples
        self.level = level
        numbers: dict[Hashable, int] = {}
        names: Sequence[Hashable] = range(images) if groups is None else groups
        self._group = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.intp)
        self.groups = len(numbers)
        generator = np.random.default_rng(seed)
        self._draws = (
            generator.integers(0, self.groups, (resamples, self.groups), dtype=np.int32)
            if self.groups
            else np.zeros((resamples, 0), dtype=np.int32)
        )

    def sums(self, counts: npt.ArrayLike) -> Floats:
        """(R, D) sums of the (N, D) counts over each draw; exact for whole numbers up to 2**53."""
        table = self._by_group(counts)
        summed = np.empty((self.resamples, table.shape[1]))
        for start in range(0, self.resamples, _CHUNK):
            draws = self._draws[start : start + _CHUNK]
            summed[start : start + len(draws)] = self._weights(draws) @ table
        return summed

    def interval(self, counts: npt.ArrayLike, statistic: Statistic) -> Interval:
        """Interval of a statistic of summed counts."""
        total = self._by_group(counts).sum(axis=0, keepdims=True)
        value = float(_values(statistic(total), 1)[0])
        return self.summarise(value, _values(statistic(self.sums(counts)), self.resamples))

    def summarise(self, value: float, samples: npt.ArrayLike) -> Interval:
        """Percentile interval of R sampled values; draws where it is not defined are left out."""
        array = np.asarray(samples, dtype=np.float64)
        defined = array[~np.isnan(array)]
        low = high = float("nan")
        if self.groups >= 2 and defined.size:
            tail = (1.0 - self.level) / 2.0
            low, high = np.quantile(defined, [tail, 1.0 - tail]).tolist()
        return Interval(value, low, high, self.level, int(defined.size))

    def _by_group(self, counts: npt.ArrayLike) -> Floats:
        array = np.asarray(counts)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or len(array) != self.images:
            raise ContractError(
                f"shape {array.shape}, expected one row for each of {self.images} images",
                where="per_image_counts",
            )
        table = np.zeros((self.groups, array.shape[1]))
        np.add.at(table, self._group, array.astype(np.float64))
        return table

    def _weights(self, draws: npt.NDArray[np.int32]) -> Floats:
        """(R', G) how often each draw takes each group."""
        rows = np.arange(len(draws))[:, None] * self.groups
        flat = np.bincount((rows + draws).ravel(), minlength=len(draws) * self.groups)
        return flat.reshape(len(draws), self.groups).astype(np.float64)


def bootstrap_interval(
    per_image_counts: npt.ArrayLike,
    statistic: Statistic,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> Interval:
    """Percentile interval (Efron 1979) of a statistic of summed counts.

    Args:
        per_image_counts: (N, D) counts, one row for each image.
        statistic: Summed counts (R, D) -> (R,); NaN where not defined.
        resamples: Number R of draws.
        level: Share of draws inside the interval.
        seed: Same seed, same interval.
        groups: Group of each image; groups are drawn whole.

    Raises:
        ConfigError: `resamples` below 1, or `level` outside (0, 1).
        ContractError: Shapes do not fit.
    """
    images = len(np.asarray(per_image_counts))
    draw = Resampler(images, groups, resamples=resamples, level=level, seed=seed)
    return draw.interval(per_image_counts, statistic)


def paired_difference_interval(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    statistic: Statistic,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> Interval:
    """Interval of statistic(first) - statistic(second) on the same images, drawn together.

    Pairing takes out what makes an image hard for both, so it finds smaller differences than
    two separate intervals. Arguments and errors as in `bootstrap_interval`.
    """
    one, two = _table(first), _table(second)
    if one.shape != two.shape:
        raise ContractError(
            f"shapes {one.shape} and {two.shape} differ",
            where="first and second",
            remedy="give both models' counts on the same images, in the same order",
        )
    width = one.shape[1]

    def difference(sums: Floats) -> npt.ArrayLike:
        a, b = statistic(sums[:, :width]), statistic(sums[:, width:])
        return np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)

    both = np.concatenate([one, two], axis=1)
    return bootstrap_interval(both, difference, resamples, level, seed, groups)


def _table(counts: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(counts)
    return array[:, None] if array.ndim == 1 else array


def _values(samples: npt.ArrayLike, count: int) -> Floats:
    array = np.asarray(samples, dtype=np.float64)
    if array.shape != (count,):
        raise ContractError(
            f"statistic of ({count}, D) sums has shape {array.shape}, expected ({count},)",
            where="statistic",
        )
    return array

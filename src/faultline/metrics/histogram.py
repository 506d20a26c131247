"""Streaming histogram of probabilities by truth: every threshold k/1000 exactly, in one pass."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from faultline.errors import ConfigError, ContractError
from faultline.metrics import thresholds
from faultline.metrics.confusion import BinaryCounts
from faultline.metrics.curves import Curve, Reliability, calibration_error
from faultline.metrics.inputs import (
    ArrayLike,
    Bytes,
    Floats,
    Ints,
    Numbers,
    Probabilities,
    as_labels,
    as_probability,
    check_ignore,
    check_same_shape,
    raise_bad_truth,
)
from faultline.metrics.ratios import ratio
from faultline.metrics.thresholds import Criterion, ThresholdChoice
from faultline.types import IGNORE_INDEX

# Probabilities are summed as whole multiples of this, so that sums do not depend on their order.
_QUANTUM = 2.0**-24
_CHUNK = 1 << 15


class ProbabilityHistogram:
    """Counts of positives and negatives by probability; merges exactly with `+` in any order.

    Bin k of `bins` + 1 holds k/bins <= p < (k+1)/bins, compared in the floating type of p, so
    that reverse cumulative sums equal direct counting of `p >= k/bins`; the last bin is p = 1.
    NaN pixels keep their place in the truth but reach no threshold. Ignored pixels count nowhere
    but in `ignored`.

    Attributes:
        counts: (2, bins + 1) int64, negatives then positives.
        nan: (2,) int64 pixels whose probability is NaN, negatives then positives.
        sums: (bins + 1,) int64 sums of probabilities, in units of 2**-24.
        ignored: Ignored pixels seen.
        low: Lowest probability of a counted pixel; NaN before the first.
        high: Highest one; NaN before the first.
    """

    def __init__(self, bins: int = 1000, ignore: int = IGNORE_INDEX) -> None:
        if not 2 <= bins <= 10_000:
            raise ConfigError(f"bins={bins} is not in 2..10000")
        check_ignore(ignore)
        self.bins = bins
        self.ignore = ignore
        self.counts: Ints = np.zeros((2, bins + 1), dtype=np.int64)
        self.nan: Ints = np.zeros(2, dtype=np.int64)
        self.sums: Ints = np.zeros(bins + 1, dtype=np.int64)
        self.ignored = 0
        self.low = self.high = float("nan")

    def update(self, probability: ArrayLike, truth: ArrayLike) -> None:
        """Add one image or batch.

        Args:
            probability: Floats in [0, 1], any shape; NumPy, or torch on the CPU. Half precision
                is widened to float32 first.
            truth: 0, 1 and the ignore value, of the same shape.

        Raises:
            ContractError: Shapes differ, or a probability lies outside [0, 1].
            MaskError: `truth` holds other values.
        """
        values, has_nan = as_probability(probability)
        labels = as_labels(truth)
        check_same_shape(values, labels, "probability and truth")
        values, labels = values.ravel(), labels.ravel()
        size = self.bins + 2
        table, sums = np.zeros(4 * size, dtype=np.int64), np.zeros(4 * size)
        # Temporaries of one chunk stay in the cache: over twice as fast as whole images.
        for start in range(0, values.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            code, quanta = self._code(values[part], labels[part], has_nan)
            table += np.bincount(code, minlength=4 * size)
            sums += np.bincount(code, weights=quanta, minlength=4 * size)
        self._add(table.reshape(4, size), sums.reshape(4, size), labels)
        self._widen(values, labels if table[2 * size :].any() else None, has_nan)

    def _code(
        self, values: Probabilities, labels: Bytes, has_nan: bool
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int32]]:
        """Cell (row by truth, column by probability) and whole-number probability of each pixel."""
        code = _row_offsets(self.bins + 2, self.ignore)[labels]
        missing = np.isnan(values) if has_nan else None
        if missing is not None:
            values = np.where(missing, values.dtype.type(0), values)
        index = quantise(values, self.bins)
        if missing is not None:
            index[missing] = self.bins + 1
        code += index
        return code, (values * values.dtype.type(1 / _QUANTUM)).astype(np.int32)

    def _add(self, table: Ints, sums: Floats, labels: Bytes) -> None:
        # Rows: negative, positive, ignored, anything else. Last column: NaN.
        if table[3].any():
            raise_bad_truth(labels, self.ignore)
        self.counts += table[:2, :-1]
        self.nan += table[:2, -1]
        # float64 sums of whole numbers are exact up to 2**53: half a thousand million pixels.
        self.sums += (sums[0] + sums[1])[:-1].astype(np.int64)
        self.ignored += int(table[2].sum())

    def _widen(self, values: Probabilities, labels: Bytes | None, has_nan: bool) -> None:
        """Widen the range by the counted values; no `labels` means that none is ignored."""
        if labels is not None:
            values = values[labels != self.ignore]
        if has_nan:
            values = values[~np.isnan(values)]
        if values.size:
            # float first: fmin of a Python NaN and a float32 would round the older bound.
            self.low = float(np.fmin(self.low, float(values.min())))
            self.high = float(np.fmax(self.high, float(values.max())))

    def __add__(self, other: ProbabilityHistogram) -> ProbabilityHistogram:
        if (self.bins, self.ignore) != (other.bins, other.ignore):
            raise ContractError(
                f"histograms of {self.bins} and {other.bins} bins (ignore {self.ignore} and "
                f"{other.ignore}) cannot be added"
            )
        merged = ProbabilityHistogram(self.bins, self.ignore)
        merged.counts = self.counts + other.counts
        merged.nan = self.nan + other.nan
        merged.sums = self.sums + other.sums
        merged.ignored = self.ignored + other.ignored
        merged.low = float(np.fmin(self.low, other.low))
        merged.high = float(np.fmax(self.high, other.high))
        return merged

    def __radd__(self, other: int) -> ProbabilityHistogram:
        # sum() starts from 0.
        return self if other == 0 else NotImplemented

    @property
    def pixels(self) -> int:
        """Pixels counted, that is, not ignored."""
        return int(self.counts.sum() + self.nan.sum())

    @property
    def positives(self) -> int:
        """Positive pixels in the truth."""
        return int(self.counts[1].sum() + self.nan[1])

    @property
    def negatives(self) -> int:
        """Negative pixels in the truth."""
        return int(self.counts[0].sum() + self.nan[0])

    @property
    def mean(self) -> float:
        """Mean probability of the counted pixels that are not NaN, to 2**-24."""
        return float(ratio(self.sums.sum() * _QUANTUM, self.counts.sum()))

    def curve(self) -> Curve:
        """Counts and ratios at the bins + 1 thresholds 0, 1/bins, ..., 1."""
        fp, tp = reaching(self.counts)
        grid = np.arange(self.bins + 1) / self.bins
        return Curve(grid, tp, fp, self.positives - tp, self.negatives - fp)

    def counts_at(self, threshold: float, *, nearest: bool = False) -> BinaryCounts:
        """Counts of the decision `probability >= threshold`.

        Args:
            threshold: A multiple of 1/bins in [0, 1].
            nearest: Take the nearest such multiple instead of refusing another value.

        Raises:
            ConfigError: Outside [0, 1], or not a multiple of 1/bins.
        """
        index = self._index(threshold, nearest)
        negatives, positives = self.counts[:, index:].sum(axis=1).tolist()
        return BinaryCounts(
            positives, negatives, self.positives - positives, self.negatives - negatives
        )

    def _index(self, threshold: float, nearest: bool) -> int:
        if not 0.0 <= threshold <= 1.0:
            raise ConfigError(f"threshold {threshold!r} does not lie in [0, 1]")
        index = round(threshold * self.bins)
        if not nearest and abs(index / self.bins - threshold) > 1e-9:
            raise ConfigError(
                f"threshold {threshold!r} is not a multiple of 1/{self.bins}",
                remedy=f"take {index / self.bins}, or count the decided masks with count_binary",
            )
        return index

    def average_precision(self) -> float:
        """AP as in scikit-learn, with probabilities cut down to multiples of 1/bins.

        NaN without positives. Ties within a bin move it by far less than an image more or less.
        """
        return self.curve().average_precision

    def reliability(self, bins: int = 15) -> Reliability:
        """Mean probability against the observed share of positives, and ECE.

        The borders i/bins are moved up to the next multiple of this histogram's step.

        Raises:
            ConfigError: More bins than the histogram has.
        """
        starts = reliability_starts(self.bins, bins)
        negatives, positives = np.add.reduceat(self.counts, starts, axis=1)
        sums = np.add.reduceat(self.sums, starts) * _QUANTUM
        pixels = negatives + positives
        return Reliability(
            edges=np.append(starts, self.bins) / self.bins,
            confidence=ratio(sums, pixels),
            observed=ratio(positives, pixels),
            pixels=pixels,
            ece=float(calibration_error(pixels, positives, sums)),
        )

    def choose_threshold(
        self,
        criterion: Criterion = "iou",
        *,
        percentile: float = 95.0,
        default: float = thresholds.DEFAULT_THRESHOLD,
        source: str = "validation",
    ) -> ThresholdChoice:
        """Best threshold in (0, 1); see `faultline.metrics.thresholds.choose_threshold`."""
        return thresholds.choose_threshold(
            self.curve(), criterion, percentile=percentile, default=default, source=source
        )


def quantise(probability: Probabilities, bins: int) -> npt.NDArray[np.intp]:
    """Largest k with `probability >= k / bins`, exactly as the comparison itself would decide.

    Args:
        probability: Values in [0, 1], no NaN, float32 or float64.
        bins: At most 10,000, so that the rounding below stays within one step.
    """
    kind = probability.dtype.type
    # The nearest multiple is k or k + 1 whatever the rounding; one comparison tells which.
    nearest = (probability * kind(bins) + kind(0.5)).astype(np.intp)
    nearest -= probability < _edges(bins, probability.dtype.char)[nearest]
    return nearest


def reaching(counts: Numbers) -> Numbers:
    """(..., T) how many lie in bin k or above: reverse cumulative sums of (..., T) bin counts."""
    return counts[..., ::-1].cumsum(axis=-1)[..., ::-1]


def reliability_starts(steps: int, bins: int) -> Ints:
    """(bins,) first histogram bin of each of `bins` equal reliability bins."""
    if not 1 <= bins <= steps:
        raise ConfigError(f"bins={bins} is not in 1..{steps}")
    return -(-np.arange(bins, dtype=np.int64) * steps // bins)


@cache
def _edges(bins: int, kind: str) -> Floats:
    edges: Floats = (np.arange(bins + 1) / bins).astype(kind)
    edges.flags.writeable = False
    return edges


@cache
def _row_offsets(size: int, ignore: int) -> npt.NDArray[np.intp]:
    rows = np.full(256, 3 * size, dtype=np.intp)
    rows[ignore] = 2 * size
    rows[0], rows[1] = 0, size
    rows.flags.writeable = False
    return rows

"""ODS and OIS: the best F1 at one threshold for all images, and at one for each image.

All thresholds come from one pass over an image. With an N-bin histogram of the probabilities,
|{p >= t}| and |{p >= t} and dil(truth)| are reverse cumulative sums. And because a maximum filter
commutes with thresholding, dil({p >= t}) = {maxfilter(p) >= t}, recall at all thresholds comes
from a histogram of the filtered map on the true pixels. Nothing is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from faultline.errors import ConfigError
from faultline.metrics import ratios
from faultline.metrics.boundary import MatchCounts, check_image, dilate, disk, widen
from faultline.metrics.histogram import quantise, reaching
from faultline.metrics.inputs import (
    ArrayLike,
    Floats,
    Ints,
    as_probability,
    check_same_shape,
    split_truth,
)
from faultline.types import IGNORE_INDEX


@dataclass(frozen=True, slots=True)
class OdsOisResult:
    """Best F1 over thresholds.

    Attributes:
        ods: max over t of the F1 of the pooled counts at t; NaN without any truth.
        ods_threshold: Where; NaN without any truth.
        ois: Mean over images of each image's own best F1 (Yang et al. 2019, FPHBN); images
            with empty truth are left out.
        ois_pooled: F1 of the counts pooled at each image's own best threshold (BSDS;
            Arbelaez et al. 2011).
        images: Images seen.
        images_without_truth: Images left out of `ois`.
    """

    ods: float
    ods_threshold: float
    ois: float
    ois_pooled: float
    images: int
    images_without_truth: int


class OdsOis:
    """Streaming ODS and OIS of the tolerance F1; about 1.2 KB a stored image.

    Args:
        thresholds: Number T of thresholds, k / (T + 1) for k = 1..T: 99 gives 0.01..0.99.
        radius: Tolerance in pixels; 0 gives the plain pixel F1 (Dice).
        ignore: Truth value of pixels that are not counted.
    """

    def __init__(
        self, thresholds: int = 99, radius: float = 2.0, ignore: int = IGNORE_INDEX
    ) -> None:
        if not 1 <= thresholds < 10_000:
            raise ConfigError(f"thresholds={thresholds} is not in 1..9999")
        disk(radius)
        self.radius = radius
        self.ignore = ignore
        self.thresholds: Floats = np.arange(1, thresholds + 1) / (thresholds + 1)
        self._rows: list[Ints] = []

    def update(self, probability: ArrayLike, truth: ArrayLike) -> None:
        """Add one image; see `sweep_counts` for arguments and errors."""
        count = len(self.thresholds)
        self._rows.append(
            sweep_counts(probability, truth, count, self.radius, self.ignore).astype(np.int32)
        )

    @property
    def counts(self) -> Ints:
        """(N, 4, T) predicted, predicted_hit, truth, truth_hit, by image and threshold."""
        if not self._rows:
            return np.zeros((0, 4, len(self.thresholds)), dtype=np.int64)
        return np.stack(self._rows).astype(np.int64)

    def counts_at(self, index: int) -> MatchCounts:
        """Pooled counts at threshold number `index`."""
        return MatchCounts(*self.counts[:, :, index].sum(axis=0).tolist())

    def result(self) -> OdsOisResult:
        """ODS and OIS of the images so far."""
        counts = self.counts
        summed = counts.sum(axis=0)
        pooled = sweep_f1(summed) if summed[2, 0] else np.full(len(self.thresholds), np.nan)
        each = sweep_f1(counts)
        with_truth = counts[:, 2, 0] > 0
        best = best_of(each)
        chosen = np.nan_to_num(each, nan=-1.0).argmax(axis=1)
        # Without truth every F1 is 0 or undefined: the highest threshold paints least.
        chosen[~with_truth] = len(self.thresholds) - 1
        own = counts[np.arange(len(counts)), :, chosen].sum(axis=0)
        found = bool(np.isfinite(pooled).any())
        return OdsOisResult(
            ods=float(best_of(pooled)),
            ods_threshold=float(self.thresholds[np.nanargmax(pooled)]) if found else float("nan"),
            ois=float(ratios.ratio(best[with_truth].sum(), with_truth.sum())),
            ois_pooled=MatchCounts(*own.tolist()).f1,
            images=len(counts),
            images_without_truth=int((~with_truth).sum()),
        )


def sweep_counts(
    probability: ArrayLike,
    truth: ArrayLike,
    thresholds: int = 99,
    radius: float = 2.0,
    ignore: int = IGNORE_INDEX,
) -> Ints:
    """`tolerance_counts` of one image at every threshold k / (thresholds + 1), exactly.

    Args:
        probability: (H, W) floats in [0, 1]; NaN is never painted. NumPy, or torch on the CPU.
        truth: (H, W) 0, 1 and `ignore`.
        thresholds: Number T of thresholds.
        radius: Tolerance in pixels.
        ignore: Truth value of pixels that are not counted.

    Returns:
        (4, T) predicted, predicted_hit, truth, truth_hit.

    Raises:
        ContractError: Not two dimensions, shapes differ, or values outside [0, 1].
        MaskError: `truth` holds other values.
    """
    values, has_nan = as_probability(probability)
    foreground, ignored = split_truth(truth, ignore)
    check_same_shape(values, foreground, "probability and truth")
    check_image(values, "probability")
    # 0 lies below every threshold, so such a pixel is never painted and never a partner.
    if has_nan:
        values = np.where(np.isnan(values), values.dtype.type(0), values)
    if ignored is not None:
        values = np.where(ignored, values.dtype.type(0), values)
    bins = thresholds + 1
    index = quantise(values, bins)
    reach = quantise(widen(values, radius)[foreground], bins)
    counts = np.empty((4, bins + 1), dtype=np.int64)
    counts[0] = np.bincount(index.ravel(), minlength=bins + 1)
    counts[1] = np.bincount(index[dilate(foreground, radius)], minlength=bins + 1)
    counts[3] = np.bincount(reach, minlength=bins + 1)
    counts = reaching(counts)
    counts[2] = reach.size
    return counts[:, 1:-1]


def sweep_f1(counts: Any) -> Floats:
    """(..., T) F1 of (..., 4, T) counts."""
    return ratios.harmonic_f1(*np.moveaxis(np.asarray(counts), -2, 0))


def best_of(scores: Floats) -> Floats:
    """Maximum over the last axis that passes over NaN; NaN where nothing is defined."""
    filled = np.where(np.isnan(scores), -np.inf, scores).max(axis=-1, initial=-np.inf)
    return np.where(np.isfinite(filled), filled, np.nan)

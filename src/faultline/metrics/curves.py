"""What a histogram of probabilities turns into: threshold curve, average precision, reliability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faultline.metrics import ratios
from faultline.metrics.inputs import Floats, Ints, Numbers


@dataclass(frozen=True, slots=True)
class Curve:
    """Counts and ratios at every threshold; all arrays are (T,), ordered by rising threshold.

    Ratios are NaN where they are not defined (precision where nothing is painted).
    """

    threshold: Floats
    tp: Ints
    fp: Ints
    fn: Ints
    tn: Ints

    @property
    def precision(self) -> Floats:
        """TP / (TP + FP)."""
        return ratios.ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Floats:
        """TP / (TP + FN)."""
        return ratios.ratio(self.tp, self.tp + self.fn)

    @property
    def iou(self) -> Floats:
        """TP / (TP + FP + FN)."""
        return ratios.iou(self.tp, self.fp, self.fn)

    @property
    def dice(self) -> Floats:
        """2 TP / (2 TP + FP + FN)."""
        return ratios.dice(self.tp, self.fp, self.fn)

    @property
    def share_predicted(self) -> Floats:
        """Share of the pixels that are painted: (TP + FP) / all."""
        return ratios.ratio(self.tp + self.fp, self.tp + self.fp + self.fn + self.tn)

    @property
    def average_precision(self) -> float:
        """Area under precision over recall, by steps; see `average_precision`."""
        return float(average_precision(self.tp, self.fp, self.tp[0] + self.fn[0]))


@dataclass(frozen=True, slots=True)
class Reliability:
    """Mean confidence against the observed share of positives; arrays are (bins,).

    Attributes:
        edges: (bins + 1,) bin borders; bin i is edges[i] <= p < edges[i + 1], the last one closed.
        confidence: Mean probability in the bin; NaN where the bin is empty.
        observed: Share of positives in the bin; NaN where the bin is empty.
        pixels: Pixels in the bin.
        ece: Expected calibration error: sum of |confidence - observed| weighted by pixels
            (Guo et al. 2017, eq. 3, for the foreground probability); NaN without pixels.
    """

    edges: Floats
    confidence: Floats
    observed: Floats
    pixels: Ints
    ece: float


def average_precision(tp: Numbers, fp: Numbers, positives: Numbers | int) -> Floats:
    """AP = sum over falling thresholds of (R_n - R_(n-1)) P_n, as in scikit-learn.

    Args:
        tp: (..., T) true positives, ordered by rising threshold.
        fp: (..., T) false positives, likewise.
        positives: (...) number of positives.

    Returns:
        (...) average precision; NaN where there are no positives.
    """
    precision = np.nan_to_num(ratios.ratio(tp, tp + fp))
    gained = tp - np.concatenate([tp[..., 1:], np.zeros_like(tp[..., :1])], axis=-1)
    return ratios.ratio((gained * precision).sum(axis=-1), positives)


def calibration_error(pixels: Numbers, positives: Numbers, confidence_sums: Floats) -> Floats:
    """ECE from the counts of (..., bins) reliability bins; NaN without pixels.

    Sum over bins of pixels * |mean confidence - share of positives| / all pixels, which is the
    sum of |confidence_sum - positives| / all pixels.
    """
    gaps = np.abs(confidence_sums - positives).sum(axis=-1)
    return ratios.ratio(gaps, pixels.sum(axis=-1))

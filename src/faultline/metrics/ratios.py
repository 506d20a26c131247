"""The formulas, once: ratios of counts, for single numbers and for arrays alike.

A ratio with a zero denominator is NaN, which reads "not defined", never 0 or 1.
All functions take counts of any common shape and return float64 of that shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from faultline.metrics.inputs import Floats


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    """`numerator / denominator`, NaN where the denominator is zero."""
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.asarray(denominator, dtype=np.float64)
    top, bottom = np.broadcast_arrays(top, bottom)
    result = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=result, where=bottom != 0)
    return result


def iou(tp: Any, fp: Any, fn: Any) -> Floats:
    """Intersection over union (Jaccard): TP / (TP + FP + FN)."""
    return ratio(tp, tp + fp + fn)


def dice(tp: Any, fp: Any, fn: Any) -> Floats:
    """Dice, which is F1 over pixels: 2 TP / (2 TP + FP + FN)."""
    return ratio(2 * tp, 2 * tp + fp + fn)


def harmonic_f1(predicted: Any, predicted_hit: Any, truth: Any, truth_hit: Any) -> Floats:
    """F1 = 2PR / (P + R) of P = predicted_hit / predicted and R = truth_hit / truth.

    Where exactly one of `predicted` and `truth` is empty, and where P = R = 0, it is 0; where
    both are empty it is not defined. So it equals Dice when the two hits are the same pixels.
    """
    # 2PR/(P+R) with the fractions multiplied out: no NaN on the way, one rounding at the end.
    top = 2.0 * np.asarray(predicted_hit, dtype=np.float64) * truth_hit
    bottom = np.asarray(predicted_hit, dtype=np.float64) * truth + 1.0 * predicted * truth_hit
    found = ratio(top, bottom)
    nothing_hit = (bottom == 0) & ((np.asarray(predicted) > 0) | (np.asarray(truth) > 0))
    return np.where(nothing_hit, 0.0, found)

"""The scored metrics as functions of summed counts, each for many rows at once.

A row is one image, one bootstrap draw or the whole data set: the formula is the same. Blocks of
counts, by name, with R rows:

- `binary` (R, 4): TP, FP, FN, TN
- `tolerance`, `lines`, `topology` (R, 4): predicted, predicted_hit, truth, truth_hit
- `sweep` (R, 4 T): the tolerance counts at T thresholds
- `histogram` (R, 2 (bins + 2)): negatives, then positives, by probability; the last is NaN
- `confidence` (R, 3 C): pixels, positives and sums of probability in C reliability bins
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from faultline.metrics import ratios
from faultline.metrics.curves import average_precision, calibration_error
from faultline.metrics.histogram import reaching
from faultline.metrics.inputs import Floats
from faultline.metrics.ods import best_of, sweep_f1

Formula = Callable[[Floats], Floats]


def _split(counts: Floats, parts: int) -> Floats:
    """(R, D) -> (R, parts, D / parts), also for R = 0."""
    return counts.reshape(len(counts), parts, counts.shape[1] // parts)


def _match_f1(counts: Floats) -> Floats:
    return ratios.harmonic_f1(*counts.T)


def _cliou(counts: Floats) -> Floats:
    predicted, predicted_hit, truth, truth_hit = counts.T
    return ratios.ratio(truth_hit, truth + predicted - predicted_hit)


def tolerance_by_threshold(counts: Floats) -> Floats:
    """(R, T) tolerance F1 at each threshold, from the `sweep` block."""
    return sweep_f1(_split(counts, 4))


def dice_by_threshold(counts: Floats) -> Floats:
    """(R, bins - 1) Dice at each threshold between 0 and 1, from the `histogram` block."""
    table = _split(counts, 2)
    painted = reaching(table[..., :-1])[..., 1:-1]
    positives = table[:, 1].sum(axis=-1, keepdims=True)
    fp, tp = painted[:, 0], painted[:, 1]
    return ratios.dice(tp, fp, positives - tp)


def _best_tolerance(counts: Floats) -> Floats:
    has_truth = _split(counts, 4)[:, 2].any(axis=-1)
    return np.where(has_truth, best_of(tolerance_by_threshold(counts)), np.nan)


def _best_dice(counts: Floats) -> Floats:
    has_truth = _split(counts, 2)[:, 1].any(axis=-1)
    return np.where(has_truth, best_of(dice_by_threshold(counts)), np.nan)


def _average_precision(counts: Floats) -> Floats:
    table = _split(counts, 2)
    painted = reaching(table[..., :-1])
    return average_precision(painted[:, 1], painted[:, 0], table[:, 1].sum(axis=-1))


def _ece(counts: Floats) -> Floats:
    pixels, positives, sums = np.moveaxis(_split(counts, 3), 1, 0)
    return calibration_error(pixels, positives, sums)


FORMULAS: dict[str, tuple[str, Formula]] = {
    "iou": ("binary", lambda c: ratios.iou(c[:, 0], c[:, 1], c[:, 2])),
    "dice": ("binary", lambda c: ratios.dice(c[:, 0], c[:, 1], c[:, 2])),
    "precision": ("binary", lambda c: ratios.ratio(c[:, 0], c[:, 0] + c[:, 1])),
    "recall": ("binary", lambda c: ratios.ratio(c[:, 0], c[:, 0] + c[:, 2])),
    "pixel_accuracy": ("binary", lambda c: ratios.ratio(c[:, 0] + c[:, 3], c.sum(axis=1))),
    "precision_tolerance": ("tolerance", lambda c: ratios.ratio(c[:, 1], c[:, 0])),
    "recall_tolerance": ("tolerance", lambda c: ratios.ratio(c[:, 3], c[:, 2])),
    "f1_tolerance": ("tolerance", _match_f1),
    "cliou": ("lines", _cliou),
    "cldice": ("topology", _match_f1),
    "ods": ("sweep", _best_tolerance),
    "ods_pixel": ("histogram", _best_dice),
    "average_precision": ("histogram", _average_precision),
    "ece": ("confidence", _ece),
}
"""Metric name -> block of counts and formula: (R, D) counts -> (R,), NaN where not defined."""

PER_IMAGE_NAMES = {"ods": "ois", "ods_pixel": "ois_pixel"}
"""The best F1 at one threshold is ODS when pooled and OIS when averaged over images."""

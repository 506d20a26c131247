"""Centre-line metrics for thin structures: clIoU and clDice, on skeletons of both masks."""

from __future__ import annotations

import numpy as np
from skimage.morphology import skeletonize

from faultline.metrics.boundary import MatchCounts, match, valid_pair
from faultline.metrics.inputs import ArrayLike, Bools
from faultline.types import IGNORE_INDEX


def cliou_counts(
    prediction: ArrayLike, truth: ArrayLike, tau: float = 4.0, ignore: int = IGNORE_INDEX
) -> MatchCounts:
    """Counts whose `iou` is the centre-line IoU with tolerance `tau` pixels.

    TP are skeleton pixels of the truth within tau of the predicted skeleton, FN those that are
    not, FP predicted skeleton pixels that are not within tau of the true one; clIoU =
    TP / (TP + FP + FN) (OmniCrack30k, Benz and Rodehorst 2024, and its evaluation code; they
    thin with `thin`, this with the faster `skeletonize`). Arguments and errors as in
    `tolerance_counts`.
    """
    return centreline_counts(prediction, truth, tau, ignore)[0]


def cldice_counts(
    prediction: ArrayLike, truth: ArrayLike, ignore: int = IGNORE_INDEX
) -> MatchCounts:
    """Counts whose `f1` is clDice.

    `precision` is topology precision |S_P and V_L| / |S_P| and `recall` topology sensitivity
    |S_L and V_P| / |S_L|, with skeletons S and masks V of prediction P and labels L (Shit et al.
    2021, eq. 1 and 2). Arguments and errors as in `tolerance_counts`.
    """
    return centreline_counts(prediction, truth, 0.0, ignore)[1]


def centreline_counts(
    prediction: ArrayLike, truth: ArrayLike, tau: float = 4.0, ignore: int = IGNORE_INDEX
) -> tuple[MatchCounts, MatchCounts]:
    """Counts for clIoU and for clDice, with each mask thinned only once."""
    painted, foreground = valid_pair(prediction, truth, ignore)
    thin_painted, thin_foreground = skeleton(painted), skeleton(foreground)
    lines = match(thin_painted, thin_foreground, thin_painted, thin_foreground, tau)
    topology = match(thin_painted, thin_foreground, painted, foreground, 0.0)
    return lines, topology


def skeleton(mask: Bools) -> Bools:
    """(H, W) centre line of a mask, one pixel wide (Zhang and Suen 1984)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    found = np.zeros(mask.shape, dtype=np.bool_)
    if rows.size:
        # Thinning costs time by area: a crack seldom fills its image.
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        found[box] = skeletonize(mask[box])  # type: ignore[no-untyped-call]
    return found

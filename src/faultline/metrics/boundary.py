"""Matching within a pixel tolerance: precision, recall and F1 that forgive a shifted line.

P = |prediction and dil(truth)| / |prediction|, R = |truth and dil(prediction)| / |truth|, where
`dil` is dilation by a Euclidean disk: every pixel whose centre lies within `radius` pixels. This
is the protocol of the crack literature (CrackForest and Fan et al. 2018, radius 2 px).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from faultline.errors import ConfigError, ContractError
from faultline.metrics import ratios
from faultline.metrics.inputs import (
    ArrayLike,
    Bools,
    Bytes,
    Numbers,
    as_mask,
    check_same_shape,
    split_truth,
)
from faultline.types import IGNORE_INDEX


@dataclass(frozen=True, slots=True)
class MatchCounts:
    """Elements of prediction and truth, and how many of each have a partner in the other.

    The elements are pixels (tolerance metric) or skeleton pixels (centre-line metrics). Adds up
    over images exactly.
    """

    predicted: int = 0
    predicted_hit: int = 0
    truth: int = 0
    truth_hit: int = 0

    def __add__(self, other: MatchCounts) -> MatchCounts:
        return MatchCounts(
            self.predicted + other.predicted,
            self.predicted_hit + other.predicted_hit,
            self.truth + other.truth,
            self.truth_hit + other.truth_hit,
        )

    def __radd__(self, other: int) -> MatchCounts:
        # sum() starts from 0.
        return self if other == 0 else NotImplemented

    @property
    def precision(self) -> float:
        """Share of the prediction that has a partner; NaN without prediction."""
        return float(ratios.ratio(self.predicted_hit, self.predicted))

    @property
    def recall(self) -> float:
        """Share of the truth that has a partner; NaN without truth."""
        return float(ratios.ratio(self.truth_hit, self.truth))

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 0 if exactly one side is empty, NaN if both are."""
        return float(
            ratios.harmonic_f1(self.predicted, self.predicted_hit, self.truth, self.truth_hit)
        )

    @property
    def iou(self) -> float:
        """Matched truth over matched truth, unmatched truth and unmatched prediction."""
        unmatched = self.predicted - self.predicted_hit
        return float(ratios.ratio(self.truth_hit, self.truth + unmatched))


def tolerance_counts(
    prediction: ArrayLike, truth: ArrayLike, radius: float = 2.0, ignore: int = IGNORE_INDEX
) -> MatchCounts:
    """Match one image within `radius` pixels.

    Ignored pixels belong to neither side: they are not counted and are no partner either.
    Radius 0 gives plain precision, recall and Dice.

    Args:
        prediction: (H, W) booleans or 0/1; NumPy, or torch on the CPU.
        truth: (H, W) 0, 1 and `ignore`.
        radius: In pixels; need not be whole.
        ignore: Truth value of pixels that are not counted.

    Raises:
        ContractError: Not two dimensions, shapes differ, or `prediction` holds other values.
        MaskError: `truth` holds other values.
        ConfigError: Negative radius.
    """
    painted, foreground = valid_pair(prediction, truth, ignore)
    return match(painted, foreground, painted, foreground, radius)


def match(
    predicted: Bools,
    truth: Bools,
    predicted_targets: Bools,
    truth_targets: Bools,
    radius: float,
) -> MatchCounts:
    """Count (H, W) `predicted` near `truth_targets` and `truth` near `predicted_targets`."""
    near_truth, near_predicted = dilate(truth_targets, radius), dilate(predicted_targets, radius)
    return MatchCounts(
        predicted=int(np.count_nonzero(predicted)),
        predicted_hit=int(np.count_nonzero(predicted & near_truth)),
        truth=int(np.count_nonzero(truth)),
        truth_hit=int(np.count_nonzero(truth & near_predicted)),
    )


def valid_pair(prediction: ArrayLike, truth: ArrayLike, ignore: int) -> tuple[Bools, Bools]:
    """(H, W) prediction without ignored pixels, and (H, W) foreground of the truth."""
    painted = as_mask(prediction)
    foreground, ignored = split_truth(truth, ignore)
    check_same_shape(painted, foreground, "prediction and truth")
    check_image(painted, "prediction")
    return (painted if ignored is None else painted & ~ignored), foreground


def check_image(array: Numbers, name: str) -> None:
    """Refuse anything but one image.

    Raises:
        ContractError: Not (H, W), or empty.
    """
    if array.ndim != 2 or array.size == 0:
        raise ContractError(
            f"shape {array.shape}, distances need one image (H, W)",
            where=name,
            remedy="pass the images of a batch one by one",
        )


def dilate(mask: Bools, radius: float) -> Bools:
    """(H, W) pixels within `radius` of a True pixel, by cv2.dilate with a disk.

    The same as `scipy.ndimage.distance_transform_edt(~mask) <= radius`, several times faster at
    small radii.
    """
    dilated: Bools = widen(mask.view(np.uint8), radius).view(np.bool_)
    return dilated


def widen(image: Numbers, radius: float) -> Numbers:
    """Maximum of an (H, W) image, no NaN, over the disk around each pixel (grey dilation)."""
    kernel = disk(radius)
    if kernel.size == 1:
        return image
    return cv2.dilate(np.ascontiguousarray(image), kernel)


@cache
def disk(radius: float) -> Bytes:
    """(2r + 1, 2r + 1) pixels with x**2 + y**2 <= radius**2, r = floor(radius).

    Raises:
        ConfigError: Negative or not finite.
    """
    if not (math.isfinite(radius) and radius >= 0):
        raise ConfigError(f"radius {radius!r} is not a distance in pixels")
    reach = math.floor(radius)
    steps = np.arange(-reach, reach + 1)
    inside: Bools = steps[:, None] ** 2 + steps[None, :] ** 2 <= radius**2
    return inside.astype(np.uint8)

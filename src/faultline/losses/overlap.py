"""Soft counts of true positives, false positives and false negatives, and ratios of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from faultline.losses.targets import TINY, Pixels
from faultline.types import LabelKind


@dataclass(frozen=True, slots=True)
class Overlap:
    """Weighted soft counts, each (G, K): G is 1 for a pooled batch and B image by image.

    Attributes:
        hit: Sum of p t, the soft true positives.
        predicted: Sum of p.
        actual: Sum of t.
        counted: 1 where a class has any pixel that is not left out, else 0. Of classes that
            exclude each other, the background among them, only those that occur in the group.
    """

    hit: Tensor
    predicted: Tensor
    actual: Tensor
    counted: Tensor

    def dice(self, smooth: float) -> Tensor:
        """(2 TP + s) / (2 TP + FP + FN + s), (G, K); Milletari et al. 2016 without squares."""
        return ratio(2 * self.hit, self.predicted + self.actual, smooth)

    def tversky(self, alpha: float, beta: float, smooth: float) -> Tensor:
        """(TP + s) / (TP + alpha FN + beta FP + s), (G, K)."""
        missed, false = self.actual - self.hit, self.predicted - self.hit
        return ratio(self.hit, self.hit + alpha * missed + beta * false, smooth)


def overlap(pixels: Pixels, *, per_image: bool, include_background: bool) -> Overlap:
    """Counts of a batch; class 0 of a multiclass label space is the background."""
    first = 0 if include_background or pixels.kind is not LabelKind.MULTICLASS else 1
    probability = pixels.probabilities()[:, first:]
    target = pixels.target[:, first:]
    weight = pixels.weight if pixels.weight.shape[1] == 1 else pixels.weight[:, first:]
    weighted = probability * weight
    predicted = totals(weighted, per_image=per_image)
    actual = totals(target * weight, per_image=per_image)
    # A class that is absent has a ratio of s / (FP + s), whose slope at FP = 0 is steeper than
    # any other: rare classes would be unlearned in every batch without them. What is wrongly
    # given to them is missed by the classes that do occur, and counts there: all of it only
    # where the background is one of these.
    exclusive = pixels.kind is LabelKind.MULTICLASS and include_background
    seen = actual if exclusive else totals(weight, per_image=per_image)
    return Overlap(
        hit=totals(weighted * target, per_image=per_image),
        predicted=predicted,
        actual=actual,
        counted=seen.gt(0).to(weight.dtype).expand_as(predicted),
    )


def totals(terms: Tensor, *, per_image: bool) -> Tensor:
    """Sums of (B, K, H, W) over pixels, and over the batch unless `per_image`: (G, K)."""
    sums = terms.flatten(2).sum(2)
    return sums if per_image else sums.sum(0, keepdim=True)


def ratio(numerator: Tensor, denominator: Tensor, smooth: float) -> Tensor:
    """(numerator + s) / (denominator + s), finite for a smooth of 0 over nothing."""
    return (numerator + smooth) / (denominator + smooth).clamp_min(TINY)


def mean_counted(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of (G, K) over the counted classes of each group, then over groups that have any."""
    kept = torch.where(counted > 0, values, torch.zeros_like(values))
    per_group = kept.sum(1) / counted.sum(1).clamp_min(1)
    return per_group.sum() / counted.amax(1).sum().clamp_min(1)

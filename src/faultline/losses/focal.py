"""Focal loss: cross-entropy that turns away from pixels already right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch.nn.functional as F
from torch import Tensor

from faultline.losses.cross_entropy import checked_per_class, per_class, weighted_mean
from faultline.losses.loss import LOSSES, SegmentationLoss, checked
from faultline.losses.targets import TINY, Pixels
from faultline.types import LabelKind

PER_BATCH = "batch"
"""`alpha` that is counted anew in every batch."""


@final
@LOSSES.register(
    "focal",
    aliases=("focal_loss", "Focal", "FocalLoss"),
    tags=("segmentation", "classification"),
)
class FocalLoss(SegmentationLoss):
    """Mean of alpha_t (1 - p_t)^gamma CE (Lin et al. 2017, eq. 5). At least 0.

    Args:
        kind: Relation between classes; multiclass takes p_t from the softmax.
        gamma: Focus; 0 gives the cross-entropy.
        alpha: Balance of classes. Sigmoid kinds: weight of the positives, 1 - alpha that of the
            negatives; one number, or one per class. Multiclass: one weight per class, or one number
            for every class but the background (class 0), which gets 1 - alpha. "batch":
            1 - frequency of each class among what the batch counts. In classification also
            "dynamic", its default: 1 - frequency among the training pictures. None: no balance.
        class_weights: One weight per class on top; the mean is then over weights. In
            classification also "balanced".
        label_smoothing: Share of a target that is spread over the other answers.

    Raises:
        ConfigError: `gamma` is negative, or `alpha` is not within 0 and 1 (a multiclass sequence:
            is negative).
    """

    def __init__(
        self,
        kind: str = "binary",
        gamma: float = 2.0,
        alpha: float | Sequence[float] | str | None = None,
        class_weights: Sequence[float] | str | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(kind)
        self.gamma = checked("gamma", gamma)
        self.alpha = _checked_alpha(alpha, self.kind)
        self.class_weights = checked_per_class("class_weights", class_weights)
        self.label_smoothing = checked("label_smoothing", label_smoothing, high=1.0)

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        terms = self._smooth(pixels) if self.label_smoothing else self._hard(pixels)
        return weighted_mean(terms, self.class_weights, pixels)

    def _hard(self, pixels: Pixels) -> Tensor:
        """Terms of targets of 0 and 1."""
        terms = entropy = pixels.cross_entropy()
        if self.gamma:
            # 1 - p_t; held above 0, where a power below 1 has no slope.
            terms = (-(-entropy).expm1()).clamp_min(TINY).pow(self.gamma) * entropy
        return terms if self.alpha is None else terms * self._balance(pixels)

    def _smooth(self, pixels: Pixels) -> Tensor:
        """Terms of soft targets: the focal terms of each answer, weighted by its share."""
        target = pixels.smoothed(self.label_smoothing).target
        multiclass = pixels.kind is LabelKind.MULTICLASS
        alpha = None if self.alpha is None else self._alpha(pixels)
        if multiclass:
            entropy = -pixels.logits.log_softmax(1)
            focus = (-(-entropy).expm1()).clamp_min(TINY).pow(self.gamma)
            weight = target if alpha is None else target * alpha
            return (weight * focus * entropy).sum(1, keepdim=True)
        yes, no = F.softplus(-pixels.logits), F.softplus(pixels.logits)
        missed = (-(-yes).expm1()).clamp_min(TINY).pow(self.gamma) * yes
        false = (-(-no).expm1()).clamp_min(TINY).pow(self.gamma) * no
        if alpha is None:
            return target * missed + (1 - target) * false
        return alpha * target * missed + (1 - alpha) * (1 - target) * false

    def _balance(self, pixels: Pixels) -> Tensor:
        """alpha_t, (B, K, H, W), for multiclass (B, 1, H, W)."""
        alpha = self._alpha(pixels)
        if pixels.kind is LabelKind.MULTICLASS:
            return (pixels.target * alpha).sum(1, keepdim=True)
        return alpha * pixels.target + (1 - alpha) * (1 - pixels.target)

    def _alpha(self, pixels: Pixels) -> Tensor:
        """alpha of each class, (K, 1, 1)."""
        if self.alpha == PER_BATCH:
            return _one_minus_frequency(pixels)
        if isinstance(self.alpha, list):
            return per_class("alpha", self.alpha, pixels)
        assert isinstance(self.alpha, float)
        values = [self.alpha] * pixels.logits.shape[1]
        if pixels.kind is LabelKind.MULTICLASS:
            values[0] = 1 - self.alpha
        return per_class("alpha", values, pixels)


def _checked_alpha(
    alpha: float | Sequence[float] | str | None, kind: LabelKind
) -> float | list[float] | str | None:
    if alpha == PER_BATCH:
        return PER_BATCH
    if alpha is None or isinstance(alpha, Sequence):
        high = float("inf") if kind is LabelKind.MULTICLASS else 1.0
        return checked_per_class("alpha", alpha, high)
    return checked("alpha", alpha, high=1.0)


def _one_minus_frequency(pixels: Pixels) -> Tensor:
    """1 - share of each class in the batch, (K, 1, 1); no gradient flows through it."""
    shown = (pixels.target * pixels.weight).sum((0, 2, 3))
    counted = pixels.weight.sum((0, 2, 3)).clamp_min(TINY)
    return (1 - shown / counted).view(-1, 1, 1)

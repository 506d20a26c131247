"""Asymmetric loss: easy negatives count for little, very easy ones for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch.nn.functional as F
from torch import Tensor

from faultline.losses.cross_entropy import checked_per_class, weighted_mean
from faultline.losses.loss import LOSSES, SIGMOID_KINDS, SegmentationLoss, checked
from faultline.losses.targets import TINY, Pixels


@final
@LOSSES.register(
    "asymmetric",
    aliases=("asymmetric_loss", "asl", "AsymmetricLoss"),
    tags=("segmentation", "classification"),
)
class AsymmetricLoss(SegmentationLoss):
    """Mean of -(1 - p)^g+ log p for positives and -p_m^g- log(1 - p_m) for negatives. At least 0.

    p_m = max(p - margin, 0) (Ridnik et al. 2021, eqs. 3 to 6). Their code sums over classes, and
    so do not we: the mean does not grow with the number of classes. With a margin of 0 and equal
    powers it is the focal loss without alpha.

    Args:
        kind: "binary" or "multilabel".
        gamma_neg: Focus on the negatives that are hard.
        gamma_pos: Focus on the positives that are hard.
        margin: Negatives of a probability below this cost nothing.
        class_weights: One weight per class; the mean is then over weights. In classification also
            "balanced".
        label_smoothing: Share of a target that is moved half to 0 and half to 1.

    Raises:
        ConfigError: A focus is negative, or `margin` or `label_smoothing` is not within 0 and 1.
    """

    kinds = SIGMOID_KINDS

    def __init__(
        self,
        kind: str = "binary",
        gamma_neg: float = 4.0,
        gamma_pos: float = 0.0,
        margin: float = 0.05,
        class_weights: Sequence[float] | str | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(kind)
        self.gamma_neg = checked("gamma_neg", gamma_neg)
        self.gamma_pos = checked("gamma_pos", gamma_pos)
        self.margin = checked("margin", margin, high=1.0)
        self.class_weights = checked_per_class("class_weights", class_weights)
        self.label_smoothing = checked("label_smoothing", label_smoothing, high=1.0)

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        target = pixels.smoothed(self.label_smoothing).target
        missed = F.softplus(-pixels.logits)
        if self.gamma_pos:
            missed = (-(-missed).expm1()).clamp_min(TINY).pow(self.gamma_pos) * missed
        terms = target * missed + (1 - target) * self._false(pixels.logits)
        return weighted_mean(terms, self.class_weights, pixels)

    def _false(self, logits: Tensor) -> Tensor:
        """Terms of the negatives, (B, K, H, W)."""
        if not self.margin:
            # log(1 - p) straight from the logit: exact where p rounds to 1.
            entropy, p = F.softplus(logits), logits.sigmoid()
        else:
            p = (logits.sigmoid() - self.margin).clamp_min(0)
            entropy = -(-p).log1p()
        if not self.gamma_neg:
            return entropy
        return p.clamp_min(TINY).pow(self.gamma_neg) * entropy

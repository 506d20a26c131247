"""Focal loss: cross-entropy that turns away from pixels already right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor

from faultline.losses.cross_entropy import checked_per_class, per_class
from faultline.losses.loss import LOSSES, SegmentationLoss, checked
from faultline.losses.targets import TINY, Pixels
from faultline.types import LabelKind


@final
@LOSSES.register("focal", aliases=("focal_loss", "Focal", "FocalLoss"))
class FocalLoss(SegmentationLoss):
    """Mean of alpha_t (1 - p_t)^gamma CE (Lin et al. 2017, eq. 5). At least 0.

    Args:
        kind: Relation between classes; multiclass takes p_t from the softmax.
        gamma: Focus; 0 gives the cross-entropy.
        alpha: Balance of classes. Sigmoid kinds: weight of the positives, 1 - alpha that of the
            negatives; one number, or one a class. Multiclass: one weight a class, or one number
            for every class but the background (class 0), which gets 1 - alpha. None: no balance.

    Raises:
        ConfigError: `gamma` is negative, or `alpha` is not within 0 and 1 (a multiclass sequence:
            is negative).
    """

    def __init__(
        self,
        kind: str = "binary",
        gamma: float = 2.0,
        alpha: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(kind)
        self.gamma = checked("gamma", gamma)
        high = float("inf") if kind == LabelKind.MULTICLASS else 1.0
        self.alpha = (
            checked_per_class("alpha", alpha, high)
            if alpha is None or isinstance(alpha, Sequence)
            else checked("alpha", alpha, high=1.0)
        )

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        entropy = pixels.cross_entropy()
        terms = entropy
        if self.gamma:
            # 1 - p_t; held above 0, where a power below 1 has no slope.
            terms = (-(-entropy).expm1()).clamp_min(TINY).pow(self.gamma) * entropy
        return pixels.mean(terms if self.alpha is None else terms * self._balance(pixels))

    def _balance(self, pixels: Pixels) -> Tensor:
        """alpha_t, (B, K, H, W), for multiclass (B, 1, H, W)."""
        classes = pixels.logits.shape[1]
        multiclass = pixels.kind is LabelKind.MULTICLASS
        values = self.alpha if isinstance(self.alpha, list) else None
        if values is None:
            assert isinstance(self.alpha, float)
            values = [self.alpha] * classes
            values[0] = 1 - self.alpha if multiclass else self.alpha
        alpha = per_class("alpha", values, pixels)
        if multiclass:
            return (pixels.target * alpha).sum(1, keepdim=True)
        return alpha * pixels.target + (1 - alpha) * (1 - pixels.target)

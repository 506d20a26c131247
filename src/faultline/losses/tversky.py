"""Tversky losses: Dice with misses and false alarms weighed apart."""

from __future__ import annotations

from typing import final

from torch import Tensor

from faultline.losses.loss import LOSSES, SegmentationLoss, checked
from faultline.losses.overlap import mean_counted, overlap
from faultline.losses.targets import TINY, Pixels


@final
@LOSSES.register("tversky", aliases=("tversky_loss", "Tversky"))
class TverskyLoss(SegmentationLoss):
    """1 - TP / (TP + alpha FN + beta FP), averaged over classes. 0 to 1.

    Source: Salehi et al. 2017. Here `alpha` weighs the false negatives, as in Abraham & Khan 2019
    (Salehi et al. and segmentation_models_pytorch have it the other way round): above 0.5 it
    raises recall. alpha = beta = 0.5 is Dice with twice the `smooth`.

    Args:
        kind: Relation between classes; for binary only the foreground counts.
        alpha: Weight of false negatives.
        beta: Weight of false positives.
        smooth: Added to numerator and denominator.
        per_image: Take the index image by image and average, instead of over the pooled batch.
        include_background: Whether class 0 of a multiclass label space counts.

    Raises:
        ConfigError: A number is negative.
    """

    def __init__(
        self,
        kind: str = "binary",
        alpha: float = 0.7,
        beta: float = 0.3,
        smooth: float = 1.0,
        per_image: bool = False,
        include_background: bool = True,
    ) -> None:
        super().__init__(kind)
        self.alpha, self.beta = checked("alpha", alpha), checked("beta", beta)
        self.smooth = checked("smooth", smooth)
        self.per_image, self.include_background = per_image, include_background

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        counts = overlap(
            pixels, per_image=self.per_image, include_background=self.include_background
        )
        index = counts.tversky(self.alpha, self.beta, self.smooth)
        return mean_counted(1 - index, counts.counted)


@final
@LOSSES.register("focal_tversky", aliases=("focal_tversky_loss", "FocalTversky"))
class FocalTverskyLoss(SegmentationLoss):
    """(1 - TI)^gamma, averaged over classes, TI the Tversky index (Abraham & Khan 2019). 0 to 1.

    TI = (TP + s) / (TP + alpha FN + beta FP + s), eq. 3 there: `alpha` weighs the false
    negatives. `gamma` is the exponent itself, 0.75, as in the authors' code; eq. 4 writes it
    1 / gamma with gamma = 4/3. Below 1 it keeps the gradient of a class that is almost right
    alive; above 1 it turns to classes that are wrong.

    Args:
        kind: Relation between classes; for binary only the foreground counts.
        alpha: Weight of false negatives.
        beta: Weight of false positives.
        gamma: Exponent.
        smooth: Added to numerator and denominator.
        per_image: Take the index image by image and average, instead of over the pooled batch.
        include_background: Whether class 0 of a multiclass label space counts.

    Raises:
        ConfigError: A number is negative, or `gamma` is 0.
    """

    def __init__(
        self,
        kind: str = "binary",
        alpha: float = 0.7,
        beta: float = 0.3,
        gamma: float = 0.75,
        smooth: float = 1.0,
        per_image: bool = False,
        include_background: bool = True,
    ) -> None:
        super().__init__(kind)
        self.alpha, self.beta = checked("alpha", alpha), checked("beta", beta)
        self.gamma = checked("gamma", gamma, above=True)
        self.smooth = checked("smooth", smooth)
        self.per_image, self.include_background = per_image, include_background

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        counts = overlap(
            pixels, per_image=self.per_image, include_background=self.include_background
        )
        # Held above 0, where a power below 1 has an infinite slope.
        rest = (1 - counts.tversky(self.alpha, self.beta, self.smooth)).clamp_min(TINY)
        return mean_counted(rest.pow(self.gamma), counts.counted)

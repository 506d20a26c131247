"""clDice: overlap of centre lines, for structures whose connection matters more than width."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from faultline.errors import ConfigError
from faultline.losses.dice import dice_loss
from faultline.losses.loss import LOSSES, SegmentationLoss, checked
from faultline.losses.overlap import mean_counted, ratio, totals
from faultline.losses.skeleton import soft_skeleton
from faultline.losses.targets import TINY, Pixels
from faultline.types import LabelKind


@final
@LOSSES.register("cldice", aliases=("soft_cldice", "dice_cldice", "clDice", "ClDice"))
class ClDiceLoss(SegmentationLoss):
    """(1 - alpha) Dice + alpha clDice on soft skeletons (Shit et al. 2021, eq. 3, Alg. 2). 0 to 1.

    Args:
        kind: Relation between classes; the background of multiclass has no centre line and does
            not count.
        alpha: Share of clDice; above 0.5 it no longer fixes the width of a structure.
        iterations: Erosions of the skeleton; at least half of the widest structure, in pixels.
        smooth: Added to numerators and denominators.
        per_image: Take the scores image by image and average, instead of over the pooled batch.

    Raises:
        ConfigError: `alpha` is not within 0 and 1, `iterations` is not a whole number of at
            least 1, or `smooth` is negative.
    """

    def __init__(
        self,
        kind: str = "binary",
        alpha: float = 0.5,
        iterations: int = 3,
        smooth: float = 1.0,
        per_image: bool = False,
    ) -> None:
        super().__init__(kind)
        self.alpha = checked("alpha", alpha, high=1.0)
        if checked("iterations", iterations, low=1) != int(iterations):
            raise ConfigError(f"{iterations!r} is not a whole number", where="loss.iterations")
        self.iterations = int(iterations)
        self.smooth, self.per_image = checked("smooth", smooth), per_image

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        dice = dice_loss(pixels, self.smooth, self.per_image, include_background=False)
        return (1 - self.alpha) * dice + self.alpha * self._centre_lines(pixels)

    def _centre_lines(self, pixels: Pixels) -> Tensor:
        """1 - clDice: harmonic mean of topology precision and sensitivity, a scalar."""
        first = 1 if pixels.kind is LabelKind.MULTICLASS else 0
        weight = pixels.weight.expand_as(pixels.target)[:, first:]
        # A pixel left out is background to both skeletons, so no gradient comes out of it.
        visible = (weight > 0).to(weight.dtype)
        target = pixels.target[:, first:] * visible
        predicted = pixels.probabilities()[:, first:] * visible
        with torch.no_grad():
            true_lines = soft_skeleton(target, self.iterations) * weight
        lines = soft_skeleton(predicted, self.iterations) * weight
        precision = self._share(lines, target)
        sensitivity = self._share(true_lines, predicted)
        score = 2 * precision * sensitivity / (precision + sensitivity).clamp_min(TINY)
        counted = totals(weight, per_image=self.per_image).gt(0).to(weight.dtype)
        return mean_counted(1 - score, counted)

    def _share(self, lines: Tensor, mask: Tensor) -> Tensor:
        """Part of the centre lines that lies in the mask, (G, K)."""
        inside = totals(lines * mask, per_image=self.per_image)
        return ratio(inside, totals(lines, per_image=self.per_image), self.smooth)

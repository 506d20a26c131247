"""Dice, alone and added to cross-entropy."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor

from faultline.errors import ConfigError
from faultline.losses.loss import (
    LOSSES,
    SegmentationLoss,
    checked,
    checked_weights,
)
from faultline.losses.overlap import mean_counted, overlap, totals
from faultline.losses.targets import TINY, Pixels
from faultline.types import LabelKind


@final
@LOSSES.register("dice", aliases=("dice_loss", "Dice"))
class DiceLoss(SegmentationLoss):
    """1 - soft Dice, averaged over classes (Milletari et al. 2016, without squares). 0 to 1.

    Args:
        kind: Relation between classes; for binary only the foreground counts.
        smooth: Added to numerator and denominator; above 0 it lets a class that is absent from
            the batch still punish false positives. Of classes that exclude each other, those
            that are absent do not count, unless the background is left out.
        per_image: Take Dice image by image and average, instead of over the pooled batch.
        include_background: Whether class 0 of a multiclass label space counts.

    Raises:
        ConfigError: `smooth` is negative.
    """

    def __init__(
        self,
        kind: str = "binary",
        smooth: float = 1.0,
        per_image: bool = False,
        include_background: bool = True,
    ) -> None:
        super().__init__(kind)
        self.smooth = checked("smooth", smooth)
        self.per_image, self.include_background = per_image, include_background

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        return dice_loss(pixels, self.smooth, self.per_image, self.include_background)


@final
@LOSSES.register("bce_dice", aliases=("BCEDice", "bce+dice", "bce_dice_loss", "BCEDiceLoss"))
class BCEDiceLoss(SegmentationLoss):
    """Cross-entropy plus Dice: smooth gradients from one, balance from the other. At least 0.

    Args:
        kind: Relation between classes; multiclass takes the softmax cross-entropy.
        bce_weight: Factor of the cross-entropy.
        dice_weight: Factor of Dice.
        smooth: See `DiceLoss`.
        per_image: See `DiceLoss`.
        include_background: See `DiceLoss`; the cross-entropy always counts every class.

    Raises:
        ConfigError: A factor or `smooth` is negative, or both factors are 0.
    """

    def __init__(
        self,
        kind: str = "binary",
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
        smooth: float = 1.0,
        per_image: bool = False,
        include_background: bool = True,
    ) -> None:
        super().__init__(kind)
        self.bce_weight, self.dice_weight = checked_weights(
            bce_weight=bce_weight, dice_weight=dice_weight
        )
        self.smooth = checked("smooth", smooth)
        self.per_image, self.include_background = per_image, include_background

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        dice = dice_loss(pixels, self.smooth, self.per_image, self.include_background)
        return self.bce_weight * pixels.mean(pixels.cross_entropy()) + self.dice_weight * dice


@final
@LOSSES.register("weighted_bce_dice", aliases=("weighted_bce", "WeightedBCEDice"))
class WeightedBCEDiceLoss(SegmentationLoss):
    """Cross-entropy with heavier positives, plus Dice, for sparse foreground. At least 0.

    Of classes that exclude each other, the weights are in the softmax as well: w_k p_k / sum w p is
    compared with the truth. So the best p is that of the data, whatever the weights, and rare
    classes do not grow at their edges (Ren et al. 2020, Menon et al. 2021).

    Args:
        kind: Relation between classes.
        pos_weight: Factor of the positive term. "auto": negatives / positives among the pixels
            of the batch that count, class by class, times `factor`, held between
            1 / `max_pos_weight` and `max_pos_weight`. Of classes that exclude each other, factor
            of the pixels of every class but the most frequent one of the batch; "auto": its
            pixels / those of the class, times `factor`, held between 1 and `max_pos_weight`.
        factor: Multiplies the automatic ratio.
        max_pos_weight: Cap of the automatic ratio; a crop with a few positives would otherwise
            let them drown everything else.
        bce_weight: Factor of the cross-entropy.
        dice_weight: Factor of Dice.
        smooth: See `DiceLoss`.
        per_image: See `DiceLoss`.

    Raises:
        ConfigError: A number is out of range, both factors are 0, or `pos_weight` is another word.
    """

    def __init__(
        self,
        kind: str = "binary",
        pos_weight: float | Literal["auto"] = "auto",
        factor: float = 1.0,
        max_pos_weight: float = 20.0,
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
        smooth: float = 1.0,
        per_image: bool = False,
    ) -> None:
        super().__init__(kind)
        self.pos_weight = _checked_pos_weight(pos_weight)
        self.factor = checked("factor", factor, above=True)
        self.max_pos_weight = checked("max_pos_weight", max_pos_weight, low=1.0)
        self.bce_weight, self.dice_weight = checked_weights(
            bce_weight=bce_weight, dice_weight=dice_weight
        )
        self.smooth, self.per_image = checked("smooth", smooth), per_image

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        factors = self.positive_weight(pixels)
        if pixels.kind is LabelKind.MULTICLASS:
            by_class = (pixels.target * factors.view(-1, 1, 1)).sum(1, keepdim=True)
            entropy = pixels.mean(pixels.shifted(factors.log()).cross_entropy() * by_class)
        else:
            entropy = pixels.mean(pixels.cross_entropy(factors))
        dice = dice_loss(pixels, self.smooth, self.per_image, include_background=True)
        return self.bce_weight * entropy + self.dice_weight * dice

    def positive_weight(self, pixels: Pixels) -> Tensor:
        """Factor of the positive term, or of a class's pixels, that holds for this batch, (K,)."""
        if pixels.kind is LabelKind.MULTICLASS:
            return self._class_weight(totals(pixels.target * pixels.weight, per_image=False)[0])
        if not isinstance(self.pos_weight, str):
            return pixels.logits.new_full(pixels.logits.shape[1:2], self.pos_weight)
        positives = totals(pixels.target * pixels.weight, per_image=False)[0]
        negatives = totals(pixels.weight, per_image=False)[0] - positives
        balance = self.factor * negatives / positives.clamp_min(TINY)
        return balance.clamp(1 / self.max_pos_weight, self.max_pos_weight)

    def _class_weight(self, counts: Tensor) -> Tensor:
        """Factor of the pixels of each class, (K,), from their numbers (K,)."""
        most = counts.max()
        if isinstance(self.pos_weight, str):
            rarity = self.factor * most / counts.clamp_min(TINY)
            factors = rarity.clamp(1, self.max_pos_weight)
        else:
            factors = torch.full_like(counts, self.pos_weight)
        return torch.where(counts == most, torch.ones_like(counts), factors)


def dice_loss(pixels: Pixels, smooth: float, per_image: bool, include_background: bool) -> Tensor:
    """1 - Dice over the classes that have pixels to count, a scalar."""
    counts = overlap(pixels, per_image=per_image, include_background=include_background)
    return mean_counted(1 - counts.dice(smooth), counts.counted)


def _checked_pos_weight(value: float | str) -> float | Literal["auto"]:
    if not isinstance(value, str):
        return checked("pos_weight", value, above=True)
    if value != "auto":
        raise ConfigError(
            f"{value!r} is neither a number nor 'auto'",
            where="loss.pos_weight",
            remedy="set a number above 0, or auto",
        )
    return "auto"

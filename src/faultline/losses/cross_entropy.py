"""Cross-entropies: one sigmoid a class, or one softmax over classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor

from faultline.errors import ConfigError
from faultline.losses.loss import LOSSES, SIGMOID_KINDS, SegmentationLoss, checked
from faultline.losses.targets import TINY, Pixels
from faultline.types import LabelKind


@final
@LOSSES.register("bce", aliases=("bce_with_logits", "BCE", "bce_loss"))
class BCELoss(SegmentationLoss):
    """Binary cross-entropy: the weighted mean over pixels and classes. At least 0."""

    kinds = SIGMOID_KINDS

    def __init__(self, kind: str = "binary") -> None:
        super().__init__(kind)

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        return pixels.mean(pixels.cross_entropy())


@final
@LOSSES.register("cross_entropy", aliases=("ce", "CrossEntropy", "cross_entropy_loss"))
class CrossEntropyLoss(SegmentationLoss):
    """Softmax cross-entropy for multiclass label spaces. At least 0.

    Args:
        kind: "multiclass", the only one.
        class_weights: One weight a class; the mean is then over weights, as in
            `torch.nn.functional.cross_entropy`.

    Raises:
        ConfigError: A class weight is negative.
    """

    kinds = (LabelKind.MULTICLASS,)

    def __init__(
        self, kind: str = "multiclass", class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(kind)
        self.class_weights = checked_per_class("class_weights", class_weights)

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        terms = pixels.cross_entropy()
        if self.class_weights is None:
            return pixels.mean(terms)
        by_class = per_class("class_weights", self.class_weights, pixels)
        weight = pixels.weight * (pixels.target * by_class).sum(1, keepdim=True)
        return (terms * weight).sum() / weight.sum().clamp_min(TINY)


def checked_per_class(
    name: str, values: Sequence[float] | None, high: float = float("inf")
) -> list[float] | None:
    """`values` as a list of floats from 0 to `high`, or None.

    Raises:
        ConfigError: One of them is out of range.
    """
    return None if values is None else [checked(name, value, high=high) for value in values]


def per_class(name: str, values: Sequence[float], pixels: Pixels) -> Tensor:
    """`values` as (K, 1, 1), to multiply (B, K, H, W).

    Raises:
        ConfigError: There is not one value a class.
    """
    classes = pixels.logits.shape[1]
    if len(values) != classes:
        raise ConfigError(
            f"{len(values)} values for logits of K = {classes} classes",
            where=f"loss.{name}",
            remedy=f"give {classes} values, in the order of the classes",
        )
    return pixels.logits.new_tensor(list(values)).view(-1, 1, 1)

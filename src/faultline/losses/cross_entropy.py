"""Cross-entropies: one sigmoid per class, or one softmax over classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor

from faultline.errors import ConfigError
from faultline.losses.loss import LOSSES, SIGMOID_KINDS, SegmentationLoss, checked
from faultline.losses.targets import TINY, Pixels
from faultline.types import LabelKind


@final
@LOSSES.register(
    "bce", aliases=("bce_with_logits", "BCE", "bce_loss"), tags=("segmentation", "classification")
)
class BCELoss(SegmentationLoss):
    """Binary cross-entropy: the weighted mean over pixels and classes. At least 0.

    Args:
        kind: "binary" or "multilabel".
        pos_weight: One factor per class on its positives, as in
            `torch.nn.functional.binary_cross_entropy_with_logits`. In classification also
            "balanced": negatives over positives of the training pictures.
        class_weights: One weight per class; the mean is then over weights. In classification also
            "balanced": N / (K n_c) for n_c pictures of N.
        label_smoothing: Share of a target that is moved half to 0 and half to 1.

    Raises:
        ConfigError: A weight is negative, or `label_smoothing` is not within 0 and 1.
    """

    kinds = SIGMOID_KINDS

    def __init__(
        self,
        kind: str = "binary",
        pos_weight: Sequence[float] | str | None = None,
        class_weights: Sequence[float] | str | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(kind)
        self.pos_weight = checked_per_class("pos_weight", pos_weight)
        self.class_weights = checked_per_class("class_weights", class_weights)
        self.label_smoothing = checked("label_smoothing", label_smoothing, high=1.0)

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        if self.pos_weight is not None:
            factors = per_class("pos_weight", self.pos_weight, pixels).flatten()
        else:
            factors = None
        terms = pixels.smoothed(self.label_smoothing).cross_entropy(factors)
        return weighted_mean(terms, self.class_weights, pixels)


@final
@LOSSES.register(
    "cross_entropy",
    aliases=("ce", "CrossEntropy", "cross_entropy_loss"),
    tags=("segmentation", "classification"),
)
class CrossEntropyLoss(SegmentationLoss):
    """Softmax cross-entropy for multiclass label spaces. At least 0.

    Args:
        kind: "multiclass", the only one.
        class_weights: One weight per class; the mean is then over weights, as in
            `torch.nn.functional.cross_entropy`. In classification also "balanced": N / (K n_c)
            for n_c training pictures of N.
        label_smoothing: Share of a target that is spread over all classes.

    Raises:
        ConfigError: A class weight is negative, or `label_smoothing` is not within 0 and 1.
    """

    kinds = (LabelKind.MULTICLASS,)

    def __init__(
        self,
        kind: str = "multiclass",
        class_weights: Sequence[float] | str | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(kind)
        self.class_weights = checked_per_class("class_weights", class_weights)
        self.label_smoothing = checked("label_smoothing", label_smoothing, high=1.0)

    def compute(self, pixels: Pixels) -> Tensor:
        """Value of the loss, a scalar."""
        terms = pixels.smoothed(self.label_smoothing).cross_entropy()
        return weighted_mean(terms, self.class_weights, pixels)


def weighted_mean(terms: Tensor, class_weights: Sequence[float] | None, pixels: Pixels) -> Tensor:
    """Mean of (B, K or 1, H, W) terms over pixel weights times class weights, a scalar.

    Sigmoid kinds weight each class's term; multiclass a pixel by the class that it is of.

    Raises:
        ConfigError: There is not one weight per class.
    """
    if class_weights is None:
        return pixels.mean(terms)
    by_class = per_class("class_weights", class_weights, pixels)
    if pixels.kind is LabelKind.MULTICLASS:
        by_class = (pixels.target * by_class).sum(1, keepdim=True)
    weight = pixels.weight * by_class
    return (terms * weight).sum() / weight.sum().clamp_min(TINY)


def checked_per_class(
    name: str, values: Sequence[float] | float | str | None, high: float = float("inf")
) -> list[float] | None:
    """`values` as a list of floats from 0 to `high`, or None.

    Raises:
        ConfigError: One of them is out of range, one number stands for all, or a word stands where
            the data has not been asked for numbers.
    """
    if values is None:
        return None
    if isinstance(values, str | float | int):
        raise ConfigError(_no_values(name, values), where=f"loss.{name}", remedy=_PER_CLASS)
    return [checked(name, value, high=high) for value in values]


_COUNTED = {"alpha": "dynamic", "pos_weight": "balanced", "class_weights": "balanced"}
_PER_CLASS = "give one number per class, such as [1, 2]"


def _no_values(name: str, value: object) -> str:
    """Why `value` cannot stand for one number per class."""
    word = _COUNTED.get(name)
    if value == word:
        return f"{value!r} is counted from the training pictures, in classification only"
    counted = "" if word is None else f", nor {word!r}, which classification counts"
    return f"{value!r} is not one number per class{counted}"


def per_class(name: str, values: Sequence[float], pixels: Pixels) -> Tensor:
    """`values` as (K, 1, 1), to multiply (B, K, H, W).

    Raises:
        ConfigError: There is not one value per class.
    """
    classes = pixels.logits.shape[1]
    if len(values) != classes:
        raise ConfigError(
            f"{len(values)} values for logits of K = {classes} classes",
            where=f"loss.{name}",
            remedy=f"give {classes} values, in the order of the classes",
        )
    return pixels.logits.new_tensor(list(values)).view(-1, 1, 1)

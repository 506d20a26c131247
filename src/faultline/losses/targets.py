"""The one place where logits and mask values become the terms that losses are made of.

A whole picture that is classified is one pixel: (B, K) logits become (B, K, 1, 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from faultline.errors import ContractError
from faultline.types import IGNORE_INDEX, LabelKind

TINY = 1e-7
"""Smallest denominator: reached only by a sum over nothing, whose numerator is 0 as well."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Predictions and truth of a batch in one form for all kinds.

    Attributes:
        logits: (B, K, H, W), float32 or float64.
        target: (B, K, H, W), 0 to 1: the mask, or one-hot for multiclass; 0 where left out.
        weight: (B, K, H, W), for multiclass (B, 1, H, W): pixel weight, 0 where left out.
        kind: Relation between classes.
    """

    logits: Tensor
    target: Tensor
    weight: Tensor
    kind: LabelKind

    def probabilities(self) -> Tensor:
        """(B, K, H, W): sigmoid, or softmax over K for multiclass."""
        if self.kind is LabelKind.MULTICLASS:
            return self.logits.softmax(1)
        return self.logits.sigmoid()

    def cross_entropy(self, pos_weight: Tensor | None = None) -> Tensor:
        """-log of the probability of the truth; (B, K, H, W), for multiclass (B, 1, H, W).

        Args:
            pos_weight: (K,), weight of the positive term of each class; not for multiclass.
        """
        if self.kind is LabelKind.MULTICLASS:
            return -(self.target * self.logits.log_softmax(1)).sum(1, keepdim=True)
        shaped = None if pos_weight is None else pos_weight.view(-1, 1, 1)
        return F.binary_cross_entropy_with_logits(
            self.logits, self.target, pos_weight=shaped, reduction="none"
        )

    def shifted(self, by: Tensor) -> Pixels:
        """The same with `by` (K,) added to the logits of the classes."""
        return replace(self, logits=self.logits + by.view(-1, 1, 1))

    def smoothed(self, amount: float) -> Pixels:
        """The same with soft targets (Szegedy et al. 2016, section 7), `amount` in all.

        Sigmoid kinds move t to t (1 - e) + e / 2, multiclass spreads e over the K classes.
        """
        if not amount:
            return self
        ways = self.logits.shape[1] if self.kind is LabelKind.MULTICLASS else 2
        return replace(self, target=self.target * (1 - amount) + amount / ways)

    def mean(self, terms: Tensor) -> Tensor:
        """Weighted mean of (B, K or 1, H, W) terms, a scalar; 0 if nothing has weight."""
        return (terms * self.weight).sum() / self.weight.sum().clamp_min(TINY)


def encode(logits: Tensor, target: Tensor, weight: Tensor | None, kind: LabelKind) -> Pixels:
    """Check a batch and bring it into the form of `Pixels`; arguments as in `SegmentationLoss`.

    Raises:
        ContractError: A shape or type is wrong, or (on a CPU) a target value is.
    """
    if logits.ndim == 2 and target.ndim < 3:
        logits, target, weight = _as_one_pixel(logits, target, weight, kind)
    _check_logits(logits, kind)
    batch, classes, height, width = logits.shape
    plane, channel = (batch, height, width), (batch, 1, height, width)
    expected = {
        LabelKind.BINARY: (plane, channel),
        LabelKind.MULTILABEL: ((batch, classes, height, width),),
        LabelKind.MULTICLASS: (plane,),
    }
    _check_shape(f"target ({kind.value})", target, expected[kind])
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    if kind is not LabelKind.MULTILABEL:
        target = target.view(channel)
    # Comparing into the target's own type is 10 times faster on a CPU than into bool.
    valid = torch.ne(target, IGNORE_INDEX, out=torch.empty_like(target))
    values = target * valid
    _check_values(values, classes, kind)
    truth = values.to(dtype)
    if kind is LabelKind.MULTICLASS:
        truth = _one_hot(truth, classes) * valid
    counted = valid.to(dtype)
    if weight is not None:
        _check_shape("weight", weight, (plane, channel))
        counted = counted * weight.to(dtype).view(channel)
    # Sums below run over memory in order; channels_last logits would not.
    return Pixels(logits.to(dtype).contiguous(), truth, counted, kind)


def _as_one_pixel(
    logits: Tensor, target: Tensor, weight: Tensor | None, kind: LabelKind
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(B, K) logits, their target (B,) or (B, K) and weight (B,), with H = W = 1."""
    batch, classes = logits.shape
    expected = {
        LabelKind.BINARY: ((batch,), (batch, 1)),
        LabelKind.MULTILABEL: ((batch, classes),),
        LabelKind.MULTICLASS: ((batch,),),
    }
    _check_shape(f"target ({kind.value})", target, expected[kind])
    if weight is not None:
        _check_shape("weight", weight, ((batch,), (batch, 1)))
        weight = weight.reshape(batch, 1, 1)
    return logits[:, :, None, None], target[..., None, None], weight


def _one_hot(index: Tensor, classes: int) -> Tensor:
    """(B, 1, H, W) class indices as (B, K, H, W) zeros and ones of the same type."""
    labels = torch.arange(classes, dtype=index.dtype, device=index.device).view(1, -1, 1, 1)
    batch, _, height, width = index.shape
    return torch.eq(index, labels, out=index.new_empty(batch, classes, height, width))


def _check_logits(logits: Tensor, kind: LabelKind) -> None:
    if logits.ndim != 4 or not logits.is_floating_point():
        raise ContractError(
            f"shape {tuple(logits.shape)} of {logits.dtype}, expected floating (B, K, H, W), "
            "or (B, K) for whole pictures",
            where="logits",
            remedy="give the loss what the model returns",
        )
    classes = logits.shape[1]
    if kind is LabelKind.BINARY and classes != 1:
        rule = "K = 1 for kind binary"
    elif kind is LabelKind.MULTICLASS and classes < 2:
        rule = "K of at least 2 for kind multiclass"
    else:
        return
    raise ContractError(
        f"shape {tuple(logits.shape)} has K = {classes}, expected {rule}",
        where="logits",
        remedy="match the number of model outputs to the label space",
    )


def _check_shape(name: str, tensor: Tensor, allowed: tuple[tuple[int, ...], ...]) -> None:
    if tuple(tensor.shape) not in allowed:
        raise ContractError(
            f"shape {tuple(tensor.shape)}, expected {' or '.join(map(str, allowed))}",
            where=name,
            remedy="masks and weights have the batch, height and width of the logits",
        )


def _check_values(values: Tensor, classes: int, kind: LabelKind) -> None:
    """Refuse a target value that fits no rule; `values` is 0 where the pixel is left out."""
    multiclass = kind is LabelKind.MULTICLASS
    if multiclass and values.is_floating_point():
        raise ContractError(
            f"type {values.dtype}, expected integer class indices",
            where="target (multiclass)",
            remedy="convert the masks with .long()",
        )
    # Reading a value back would stall the queue of a GPU on every step.
    if values.device.type != "cpu" or values.numel() == 0:
        return
    low, high = (bound.item() for bound in torch.aminmax(values))
    highest = classes - 1 if multiclass else 1
    if not (low >= 0 and high <= highest):
        raise ContractError(
            f"values from {low} to {high}, expected 0 to {highest}, or {IGNORE_INDEX} for ignore",
            where=f"target ({kind.value})",
            remedy="load masks through faultline.data, which maps their values to classes",
        )

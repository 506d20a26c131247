"""What the two heads are taught by: masks weighted by tier, classes by difficulty and object."""

from __future__ import annotations

import torch
from torch import Tensor

from faultline.losses import SegmentationLoss
from faultline.types import LabelKind

_OBJECT = 0.5


def weighted_mask_loss(
    criterion: SegmentationLoss, logits: Tensor, mask: Tensor, weight: Tensor
) -> Tensor:
    """Loss of masks in which a picture counts by its weight (dual-head document, section 5.2).

    The criterion's weighted mean over pixels, times the mean weight of the pictures: a mean over
    all pictures of the batch, whatever it is accumulated from. Without that factor a batch of
    tier B alone would teach as much as one of tier A.

    Args:
        criterion: On logits, with pixels weighted.
        logits: (B, M, H, W).
        mask: (B, M, H, W) of 0 and 1; 255 is ignored.
        weight: (B,), 0 for a picture that teaches nothing of masks.
    """
    pixels = weight[:, None, None].expand(-1, *logits.shape[-2:])
    loss: Tensor = criterion(logits, mask, pixels)
    return loss * weight.mean()


def object_share(mask_logits: Tensor, first: int) -> Tensor:
    """Share of each picture that its masks take for object, (B,).

    Args:
        mask_logits: (B, M, H, W).
        first: First channel that is no background.
    """
    found = mask_logits[:, first:].sigmoid().amax(1) >= _OBJECT
    return found.float().mean((1, 2))


def truth_probability(logits: Tensor, target: Tensor, kind: LabelKind) -> Tensor:
    """Probability that a classifier gives the truth, (B,); the mean over classes for several.

    Args:
        logits: (B, K).
        target: (B, K) of 0 and 1, or (B,) class indices.
        kind: Relation between classes.
    """
    if kind is LabelKind.MULTICLASS:
        return logits.softmax(1).gather(1, target[:, None])[:, 0]
    probability = logits.sigmoid()
    return torch.where(target > 0, probability, 1 - probability).mean(1)


def picture_weights(
    right: Tensor, share: Tensor | None, hard_examples: float, object_weight: float
) -> Tensor:
    """Weight of each picture in the loss of classes, (B,): no gradient flows through it.

    (1 + h (1 - p)) (1 - o + o s): p is the probability of the truth, s the share of object.

    Args:
        right: p, (B,).
        share: s, (B,); None where o is 0.
        hard_examples: h.
        object_weight: o, 0 to 1.
    """
    weight = 1 + hard_examples * (1 - right.detach().float())
    if share is None:
        return weight
    return weight * (1 - object_weight + object_weight * share.detach().float())

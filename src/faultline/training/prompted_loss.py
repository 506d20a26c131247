"""What a false answer costs in training."""

from __future__ import annotations

import torch
from torch import Tensor

from faultline.metrics.prompted import FALSE_SHARE
from faultline.types import IGNORE_INDEX


def false_answer_loss(logits: Tensor, masks: Tensor, share: float = FALSE_SHARE) -> Tensor:
    """S / (S + share n) for each question whose mask is empty, 0 for the others; (N,).

    S is the sum of the n counted probabilities: the loss is a half where exactly the share is
    painted from which an answer counts as false, and steepest below it. Cross-entropy hardly minds
    a hundredth of a picture, and Dice with a smoothing of one pixel is flat long before: beside the
    weight of the positives, which a present question has, an absent one would have no say.

    Args:
        logits: (N, H, W).
        masks: (N, H, W) of 0, 1 and 255 (ignored).
        share: Share of the counted pixels at which the loss is a half, above 0.
    """
    counted = masks != IGNORE_INDEX
    empty = ~((masks > 0) & counted).flatten(1).any(1)
    painted = (logits.float().sigmoid() * counted).flatten(1).sum(1)
    allowed = (share * counted.flatten(1).sum(1)).clamp_min(torch.finfo(torch.float32).tiny)
    return torch.where(empty, painted / (painted + allowed), 0.0)

"""Where training starts: at how often each class occurs, and not at a guess of even chances.

Lin et al. 2017, section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from faultline.types import LabelKind

RAREST = 1e-4
"""Smallest share that counts: a class without any pixel would start at minus infinity."""


def start_at_shares(network: nn.Module, shares: Sequence[float], kind: LabelKind) -> bool:
    """Set the bias of the last convolution so that an untrained network answers `shares`.

    Args:
        network: Its last convolution is called `head` and gives K channels, or r^2 K of them that
            are folded out to K channels of r times the size (`F.pixel_shuffle`).
        shares: Share of the pixels of each class, K of them.
        kind: Relation between the classes: softmax over them, or a sigmoid each.

    Returns:
        Whether the network has such a convolution; otherwise it is left as it is.
    """
    head = getattr(network, "head", None)
    if not isinstance(head, nn.Conv2d) or head.bias is None or head.out_channels % len(shares):
        return False
    share = torch.tensor(shares, dtype=head.bias.dtype).clamp(RAREST, 1 - RAREST)
    logits = share.log() if kind is LabelKind.MULTICLASS else share.logit()
    with torch.no_grad():
        # pixel_shuffle takes neighbouring channels for the pixels of one class.
        head.bias.copy_(logits.repeat_interleave(head.out_channels // len(shares)))
    return True

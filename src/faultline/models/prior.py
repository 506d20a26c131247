"""Where training starts: at how often each class occurs, and not at a guess of 1 / K for each.

Lin et al. 2017, section 4.1, for many classes that exclude each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

RAREST = 1e-4
"""Smallest share that counts: a class without any pixel would start at minus infinity."""


def start_at_shares(network: nn.Module, shares: Sequence[float]) -> bool:
    """Set the bias of the last convolution so that softmax gives `shares` for an output of 0.

    Args:
        network: Its last convolution is called `head` and gives K channels, or r^2 K of them that
            are folded out to K channels of r times the size (`F.pixel_shuffle`).
        shares: Share of the pixels of each class, K of them.

    Returns:
        Whether the network has such a convolution; otherwise it is left as it is.
    """
    head = getattr(network, "head", None)
    if not isinstance(head, nn.Conv2d) or head.bias is None or head.out_channels % len(shares):
        return False
    logits = torch.tensor(shares, dtype=head.bias.dtype).clamp_min(RAREST).log()
    with torch.no_grad():
        # pixel_shuffle takes neighbouring channels for the pixels of one class.
        head.bias.copy_(logits.repeat_interleave(head.out_channels // len(shares)))
    return True

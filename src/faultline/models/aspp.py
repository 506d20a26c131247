"""Atrous spatial pyramid pooling (Chen et al. 2017, DeepLabv3, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from faultline.models.blocks import ConvNormAct, require


class ASPP(nn.Module):
    """Parallel dilated convolutions, concatenated and fused by a 1x1 convolution.

    (B, C, H, W) -> (B, D, H, W). A rate of 1 is a plain 1x1 branch, as in DeepLabv3.

    Args:
        in_channels: C.
        out_channels: D.
        rates: Dilation of each branch, in positions of the feature map.
        branch_channels: Width of a branch; D / 2 by default.
        keep_input: Fuse the input itself as well, so that what is seen at one position need not
            pass through the branches.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rates: Sequence[int] = (1, 2, 4, 8),
        branch_channels: int | None = None,
        keep_input: bool = False,
    ) -> None:
        super().__init__()
        valid = len(rates) > 0 and all(rate >= 1 for rate in rates)
        require(valid, "aspp_rates", list(rates), "one or more integers of at least 1")
        width = branch_channels or out_channels // 2
        self.branches = nn.ModuleList(
            ConvNormAct(in_channels, width, kernel=1 if rate == 1 else 3, rate=rate)
            for rate in rates
        )
        self.keep_input = keep_input
        fused = width * len(rates) + (in_channels if keep_input else 0)
        self.fuse = ConvNormAct(fused, out_channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H, W)."""
        seen = [branch(x) for branch in self.branches]
        fused: Tensor = self.fuse(torch.cat([x, *seen] if self.keep_input else seen, dim=1))
        return fused

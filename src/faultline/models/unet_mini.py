"""U-Net Mini: the baseline that the skip-free networks are measured against.

Ronneberger et al. 2015 with 4 levels, base width 16 and bilinear upsampling: about 0.49 M
parameters. Shapes for an input of (B, 3, H, W) and width w = base_channels:

    encoder 0   (B,  w, H,   W)   ----------------------------.
    encoder 1   (B, 2w, H/2, W/2) ------------------.         |
    encoder 2   (B, 4w, H/4, W/4) --------.         |         |
    bottleneck  (B, 8w, H/8, W/8)         |         |         |
    decoder 2   (B, 4w, H/4, W/4)  <- cat-'         |         |
    decoder 1   (B, 2w, H/2, W/2)  <- cat-----------'         |
    decoder 0   (B,  w, H,   W)    <- cat---------------------'
    head        (B,  K, H,   W)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultline.models.blocks import ConvNormAct, crop_like, pad_to_multiple, require
from faultline.models.registry import MODELS


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions with BatchNorm and ReLU, at one scale."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            ConvNormAct(in_channels, out_channels), ConvNormAct(out_channels, out_channels)
        )


@MODELS.register("unet_mini", tags=["segmentation"])
class UNetMini(nn.Module):
    """U-Net with 4 levels: the reference for every skip-free network.

    Args:
        num_classes: K, logit channels.
        base_channels: Width w of the first level.
        in_channels: Channels of the picture.
    """

    def __init__(self, num_classes: int = 1, base_channels: int = 16, in_channels: int = 3) -> None:
        super().__init__()
        require(base_channels >= 1, "base_channels", base_channels, "at least 1")
        widths = [base_channels * 2**level for level in range(4)]
        inputs = [in_channels, *widths]
        self.encoder = nn.ModuleList(
            DoubleConv(inputs[level], width) for level, width in enumerate(widths)
        )
        self.decoder = nn.ModuleList(
            DoubleConv(widths[level + 1] + widths[level], widths[level]) for level in (2, 1, 0)
        )
        self.head = nn.Conv2d(base_channels, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, K, H, W)."""
        image, x = x, pad_to_multiple(x, 8)
        skips: list[Tensor] = []
        for level, stage in enumerate(self.encoder):
            x = stage(x if level == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for level, stage in zip((2, 1, 0), self.decoder, strict=True):
            up = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = stage(torch.cat([skips[level], up], dim=1))
        return crop_like(self.head(x), image)

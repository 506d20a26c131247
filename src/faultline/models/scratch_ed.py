"""ScratchED: a plain encoder-decoder with nothing between encoder and decoder but the bottleneck.

Shapes for an input of (B, 3, H, W), width w = base_channels and three stages:

    stage 1     (B,  w, H/2, W/2)   Conv 3x3 /2 -> Conv 3x3
    stage 2     (B, 2w, H/4, W/4)
    stage 3     (B, 4w, H/8, W/8)
    bottleneck  (B, 8w, H/8, W/8)   two Conv 3x3; the only thing that the decoder sees
    decoder 3   (B, 4w, H/4, W/4)   bilinear x2 -> Conv 3x3 -> Conv 3x3
    decoder 2   (B, 2w, H/2, W/2)
    decoder 1   (B,  w, H,   W)
    head        (B,  K, H,   W)     Conv 1x1

Every convolution but the head's is followed by BatchNorm and ReLU. No skip connection across
scales, no dropout, no pretrained weights.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from faultline.models.blocks import ConvNormAct, crop_like, pad_to_multiple, require
from faultline.models.registry import MODELS


class Upsample2x(nn.Module):
    """Bilinear upsampling by two: (B, C, H, W) -> (B, C, 2H, 2W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2H, 2W)."""
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


@MODELS.register("scratch_ed", tags=["segmentation", "skip_free"])
class ScratchED(nn.Module):
    """Plain skip-free encoder-decoder, the from-scratch baseline.

    Args:
        num_classes: K, logit channels.
        base_channels: Width w of the first stage.
        stages: Number of stages, 3 or 4; each halves height and width. Four make a bottleneck
            at stride 16, in which lines one or two pixels wide do not survive.
        in_channels: Channels of the picture.
    """

    def __init__(
        self,
        num_classes: int = 1,
        base_channels: int = 32,
        stages: int = 3,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        require(stages in (3, 4), "stages", stages, "3 or 4")
        require(base_channels >= 1, "base_channels", base_channels, "at least 1")
        widths = [base_channels * 2**index for index in range(stages)]
        deepest = 2 * widths[-1]
        inputs = [in_channels, *widths[:-1]]
        self.multiple = 2**stages
        self.encoder = nn.Sequential(
            *(_encoder_stage(before, after) for before, after in zip(inputs, widths, strict=True))
        )
        self.bottleneck = nn.Sequential(
            ConvNormAct(widths[-1], deepest), ConvNormAct(deepest, deepest)
        )
        inputs = [deepest, *widths[:0:-1]]
        self.decoder = nn.Sequential(
            *(_decoder_stage(a, b) for a, b in zip(inputs, widths[::-1], strict=True))
        )
        self.head = nn.Conv2d(base_channels, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, K, H, W)."""
        features = self.encoder(pad_to_multiple(x, self.multiple))
        logits = self.head(self.decoder(self.bottleneck(features)))
        return crop_like(logits, x)


def _encoder_stage(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNormAct(in_channels, out_channels, stride=2), ConvNormAct(out_channels, out_channels)
    )


def _decoder_stage(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        Upsample2x(),
        ConvNormAct(in_channels, out_channels),
        ConvNormAct(out_channels, out_channels),
    )

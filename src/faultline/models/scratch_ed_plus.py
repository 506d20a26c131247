"""ScratchEDPlus: the skip-free network that is meant to match a U-Net on thin structures.

Same skeleton as ScratchED. What a U-Net gets from its skips, this gets from a bottleneck that
loses little: three stages of in-scale residual blocks with channel attention, the last of which
widens its view by dilation instead of halving the map again (Yu & Koltun 2016), and ASPP.
Nothing at full resolution: convolutions there cost most of the time and a skip-free decoder has
no full-resolution information to refine, so the stem folds 2x2 pixels into channels and the head
unfolds them (sub-pixel convolution, Shi et al. 2016).

Where in a 4x4 block a thin line runs is known to the channels of the bottleneck only. The decoder
therefore adds to the bilinear upsampling what the channels say about the position inside a block:
interpolation alone blurs it (see docs/decisions).

Shapes for an input of (B, 3, H, W) and width w = base_channels:

    stem        (B, 12, H/2, W/2)   space to depth
    stage 1     (B,  w, H/2, W/2)   Conv 3x3 -> residual block(s) -> SE
    stage 2     (B, 2w, H/4, W/4)   Conv 3x3 /2 -> residual block(s) -> SE
    stage 3     (B, 3w, H/4, W/4)   Conv 3x3 -> residual block(s) with dilation 2 -> SE
    bottleneck  (B, 4w, H/4, W/4)   ASPP and its input -> 1x1 fusion; all that the decoder sees
    decoder     (B,  w, H/2, W/2)   bilinear x2 + detail -> residual blocks -> SE
    head        (B,  K, H,   W)     Conv 3x3 to 4K channels -> depth to space
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from faultline.models.aspp import ASPP
from faultline.models.blocks import (
    ConvNormAct,
    ResidualBlock,
    SqueezeExcite,
    crop_like,
    pad_to_multiple,
    require,
)
from faultline.models.registry import MODELS


@MODELS.register("scratch_ed_plus", tags=["segmentation", "skip_free"])
class ScratchEDPlus(nn.Module):
    """Skip-free encoder-decoder with residual stages, SE and ASPP.

    Args:
        num_classes: K, logit channels.
        base_channels: Width w of the first stage.
        blocks: Residual blocks in each of the three stages.
        aspp_rates: Dilations at the bottleneck, in steps of 4 pixels.
        in_channels: Channels of the picture.
        decoder_blocks: Residual blocks of the decoder.
    """

    def __init__(
        self,
        num_classes: int = 1,
        base_channels: int = 32,
        blocks: Sequence[int] = (1, 1, 1),
        aspp_rates: Sequence[int] = (2, 4, 8, 16),
        in_channels: int = 3,
        decoder_blocks: int = 2,
    ) -> None:
        super().__init__()
        require(base_channels >= 1, "base_channels", base_channels, "at least 1")
        require(len(blocks) == 3, "blocks", list(blocks), "three integers, one a stage")
        require(decoder_blocks >= 0, "decoder_blocks", decoder_blocks, "at least 0")
        w = base_channels
        self.encoder = nn.Sequential(
            stage(4 * in_channels, w, blocks[0]),
            stage(w, 2 * w, blocks[1], stride=2),
            stage(2 * w, 3 * w, blocks[2], rate=2),
        )
        self.bottleneck: nn.Module = ASPP(
            3 * w, 4 * w, aspp_rates, branch_channels=3 * w // 2, keep_input=True
        )
        self.decoder = nn.Sequential(decoder_stage(4 * w, w, decoder_blocks))
        self.head = nn.Conv2d(w, 4 * num_classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, K, H, W)."""
        folded = F.pixel_unshuffle(pad_to_multiple(x, 4), 2)
        logits = self.head(self.decoder(self.bottleneck(self.encoder(folded))))
        return crop_like(F.pixel_shuffle(logits, 2), x)


def stage(
    in_channels: int, out_channels: int, blocks: int, stride: int = 1, rate: int = 1
) -> nn.Sequential:
    """Change width and scale, refine at that scale with dilation `rate`, weigh the channels."""
    return nn.Sequential(
        ConvNormAct(in_channels, out_channels, stride=stride),
        *(ResidualBlock(out_channels, rate) for _ in range(blocks)),
        SqueezeExcite(out_channels),
    )


class DetailUpsample2x(nn.Module):
    """Bilinear upsampling by two, plus the detail that channels hold about each of the four pixels.

    (B, C, H, W) -> (B, D, 2H, 2W): ReLU(BN(bilinear(Conv 1x1) + depth to space(Conv 3x3 to 4D))).
    The convolutions run at the lower resolution, where they cost a quarter.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.detail = nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, 2H, 2W)."""
        smooth = F.interpolate(self.smooth(x), scale_factor=2, mode="bilinear", align_corners=False)
        return F.relu(self.norm(smooth + F.pixel_shuffle(self.detail(x), 2)), inplace=True)


def decoder_stage(in_channels: int, out_channels: int, blocks: int = 1) -> nn.Sequential:
    """Double height and width, refine at that scale, then weigh the channels."""
    return nn.Sequential(
        DetailUpsample2x(in_channels, out_channels),
        *(ResidualBlock(out_channels) for _ in range(blocks)),
        SqueezeExcite(out_channels),
    )

"""PromptED without its text side: what one model for every question is compared with.

The same stages, widths and head; each class has a logit of its own instead of a prompt.

Shapes for an input of (B, 3, H, W) and width w = base_channels:

    stem        (B, 12, H/2, W/2)   space to depth
    encoder     (B, 4w, H/8, W/8)   three stages, as in ScratchEDPlus
    bottleneck  (B, 8w, H/8, W/8)   ASPP; the only thing that the decoder sees
    decoder     (B,  w, H/2, W/2)   two stages of ScratchEDPlus
    head        (B,  K, H, W)       Conv 3x3 to 4K channels -> depth to space
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from faultline.models.blocks import crop_like, pad_to_multiple
from faultline.models.prompt_ed import picture_bottleneck, picture_decoder, picture_encoder
from faultline.models.registry import MODELS


@MODELS.register("prompt_ed_plain", tags=["segmentation", "skip_free"])
class PromptEDPlain(nn.Module):
    """The skip-free encoder-decoder of PromptED, for classes instead of prompts.

    Args:
        num_classes: K, logit channels.
        base_channels: Width w of the first stage.
        blocks: Residual blocks in each of the three stages.
        aspp_rates: Dilations at the bottleneck, in steps of 8 pixels.
        in_channels: Channels of the picture.
    """

    def __init__(
        self,
        num_classes: int = 1,
        base_channels: int = 24,
        blocks: Sequence[int] = (1, 1, 1),
        aspp_rates: Sequence[int] = (1, 2, 4, 8),
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.encoder = picture_encoder(base_channels, blocks, in_channels)
        self.bottleneck = picture_bottleneck(base_channels, aspp_rates)
        self.decoder = nn.Sequential(*picture_decoder(base_channels))
        self.head = nn.Conv2d(base_channels, 4 * num_classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, K, H, W)."""
        folded = F.pixel_unshuffle(pad_to_multiple(x, 8), 2)
        logits = self.head(self.decoder(self.bottleneck(self.encoder(folded))))
        return crop_like(F.pixel_shuffle(logits, 2), x)

"""ScratchEDPlus with spatial dropout in its deeper blocks: the regularisation experiment."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from faultline.models.blocks import require
from faultline.models.registry import MODELS
from faultline.models.scratch_ed_plus import ScratchEDPlus


@MODELS.register("scratch_ed_plus_dropout", tags=["segmentation", "skip_free"])
class ScratchEDPlusDropout(ScratchEDPlus):
    """ScratchEDPlus with Dropout2d after the third stage and the bottleneck.

    Whole channels are dropped (Tompson et al. 2015): neighbouring pixels of a feature map are so
    alike that dropping single ones regularises little.

    Args:
        num_classes: K, logit channels.
        base_channels: Width w of the first stage.
        blocks: Residual blocks in each of the three stages.
        aspp_rates: Dilations at the bottleneck, in steps of 4 pixels.
        in_channels: Channels of the picture.
        decoder_blocks: Residual blocks of the decoder.
        dropout: Share of channels dropped while training.
    """

    def __init__(
        self,
        num_classes: int = 1,
        base_channels: int = 32,
        blocks: Sequence[int] = (1, 1, 1),
        aspp_rates: Sequence[int] = (2, 4, 8, 16),
        in_channels: int = 3,
        decoder_blocks: int = 2,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(
            num_classes, base_channels, blocks, aspp_rates, in_channels, decoder_blocks
        )
        require(0.0 <= dropout < 1.0, "dropout", dropout, "at least 0 and below 1")
        self.encoder.append(nn.Dropout2d(dropout))
        self.bottleneck = nn.Sequential(self.bottleneck, nn.Dropout2d(dropout))

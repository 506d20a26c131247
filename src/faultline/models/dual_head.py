"""One backbone, two heads: what the picture shows, and where (DeepLabv3+, Chen et al. 2018).

Shapes for an input of (B, 3, H, W), maps c4, c8, c16, c32 and embedding E of the backbone, width D:

    classes     (B, K)           from the embedding
    aspp        (B, D, H/32, W/32)   from c32
    join 16     (B, D, H/16, W/16)   upsampled, with c16 narrowed to S channels
    join 8      (B, D, H/8,  W/8)
    join 4      (B, D, H/4,  W/4)
    masks       (B, M, H,    W)      1x1 convolution, upsampled, cropped to the picture
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from faultline.models.aspp import ASPP
from faultline.models.backbones import Backbone, Pretrained, create_backbone
from faultline.models.blocks import ConvNormAct, require
from faultline.models.cbam import Attention
from faultline.models.registry import MODELS

Answer = Literal["both", "classes", "masks"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)


class DualLogits(NamedTuple):
    """Both answers of a dual-head network.

    Attributes:
        classes: (B, K).
        masks: (B, M, H, W).
    """

    classes: Tensor
    masks: Tensor


class MaskDecoder(nn.Module):
    """Four maps of a backbone -> mask logits at stride 4.

    Args:
        channels: Channels of the maps at strides 4, 8, 16 and 32.
        num_masks: M, logit channels.
        width: D, channels of the decoder.
        skip_channels: S, channels that a finer map is narrowed to before it joins.
        aspp_rates: Dilations at stride 32.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_masks: int,
        width: int,
        skip_channels: int,
        aspp_rates: Sequence[int],
    ) -> None:
        super().__init__()
        finer = list(channels[:3])[::-1]
        self.aspp = ASPP(channels[3], width, aspp_rates)
        self.narrow = nn.ModuleList(ConvNormAct(c, skip_channels, kernel=1) for c in finer)
        self.join = nn.ModuleList(ConvNormAct(width + skip_channels, width) for _ in finer)
        self.head = nn.Conv2d(width, num_masks, 1)
        self.checkpointing = False

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps at strides 4, 8, 16 and 32 -> (B, M, ceil(H/4), ceil(W/4))."""
        x: Tensor = self.aspp(maps[3])
        for narrow, join, skip in zip(self.narrow, self.join, maps[2::-1], strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = self._join(join, torch.cat([x, narrow(skip)], dim=1))
        return self.head(x)  # type: ignore[no-any-return]

    def _join(self, join: nn.Module, x: Tensor) -> Tensor:
        if not (self.checkpointing and self.training and torch.is_grad_enabled()):
            return join(x)  # type: ignore[no-any-return]
        return checkpoint(join, x, use_reentrant=False)  # type: ignore[no-any-return]

    def set_grad_checkpointing(self, enable: bool = True) -> bool:
        """Compute the joins, which hold most of the memory, again when they are needed."""
        self.checkpointing = enable
        return True


class DualHead(nn.Module):
    """Shared features for classes and masks.

    Args:
        backbone: Built with `features=True`.
        decoder: Its masks are at stride 4.
        num_classes: K, class logits.
        dropout: Share of the embedding that is dropped in training.
        answer: What `forward` gives: `both`, or the logits of one head alone.
    """

    def __init__(
        self,
        backbone: Backbone,
        decoder: nn.Module,
        num_classes: int,
        dropout: float = 0.0,
        answer: Answer = "both",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(backbone.embedding_dim, num_classes)
        self.answer = answer

    def forward(self, x: Tensor) -> DualLogits | Tensor:
        """(B, 3, H, W) -> class logits (B, K) and mask logits (B, M, H, W), or one of them."""
        maps, embedding = self.backbone.features_and_embedding(x)
        if self.answer == "classes":
            return self._classes(embedding)
        small: Tensor = self.decoder(maps)
        masks = F.interpolate(small, scale_factor=4, mode="bilinear", align_corners=False)
        masks = masks[..., : x.shape[-2], : x.shape[-1]]
        return masks if self.answer == "masks" else DualLogits(self._classes(embedding), masks)

    def _classes(self, embedding: Tensor) -> Tensor:
        return self.head(self.dropout(embedding))  # type: ignore[no-any-return]

    def set_grad_checkpointing(self, enable: bool = True) -> bool:
        """See `Backbone.set_grad_checkpointing`."""
        return self.backbone.set_grad_checkpointing(enable)


@MODELS.register("dual_head", tags=["dual_head"])
def dual_head(
    num_classes: int = 1,
    num_masks: int = 1,
    backbone: str = "conv_next",
    size: str = "nano",
    pretrained: Pretrained = False,
    decoder_channels: int = 64,
    skip_channels: int = 24,
    aspp_rates: Sequence[int] = (1, 2, 3),
    dropout: float = 0.0,
    cbam: Attention = "none",
    cbam_stages: Sequence[int] = (3, 4),
    drop_path: float = 0.0,
    in_channels: int = 3,
    answer: Answer = "both",
) -> nn.Module:
    """One backbone with a classification head and a light segmentation decoder.

    Args:
        num_classes: K, class logits.
        num_masks: M, mask logits.
        backbone: A backbone's name, or `timm:<name>`.
        size: `nano` (trains on two cores) or `full`.
        pretrained: false, true (published weights, an error where they cannot be had),
            `if_available`, or the path of a weights file.
        decoder_channels: Width of the decoder.
        skip_channels: Channels that a finer map is narrowed to before it joins.
        aspp_rates: Dilations at stride 32; 6, 12 and 18 in the document, more than small
            pictures have positions.
        dropout: Share of the embedding that is dropped in training.
        cbam: `none`, `channel`, `spatial` or `both`: attention after stages.
        cbam_stages: Those stages, 1 to 4.
        drop_path: Share of residual paths that are dropped in training (Huang et al. 2016).
        in_channels: Channels of the picture.
        answer: `both`, or the logits of one head alone: `classes` or `masks`. The weights are the
            same.
    """
    require(num_classes >= 1, "num_classes", num_classes, "at least 1")
    require(num_masks >= 1, "num_masks", num_masks, "at least 1")
    require(decoder_channels >= 2, "decoder_channels", decoder_channels, "at least 2")
    require(skip_channels >= 1, "skip_channels", skip_channels, "at least 1")
    require(0 <= dropout < 1, "dropout", dropout, "from 0 up to, not including, 1")
    require(answer in ANSWERS, "answer", answer, f"one of {', '.join(ANSWERS)}")
    trunk = create_backbone(
        backbone, size, pretrained=pretrained, in_channels=in_channels, drop_path=drop_path,
        cbam=cbam, cbam_stages=cbam_stages,
    )  # fmt: skip
    decoder = MaskDecoder(trunk.channels, num_masks, decoder_channels, skip_channels, aspp_rates)
    return DualHead(trunk, decoder, num_classes, dropout, answer)

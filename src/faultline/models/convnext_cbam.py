"""ConvNeXt with CBAM after its last two stages, for steel defects.

Why there: after stage 3 a position stands for 16 x 16 pixels and its channels for parts of defects,
after stage 4 for 32 x 32 pixels; weighing those channels and places weighs evidence. After stages 1
and 2 channels are edges and grain, which every class needs, and maps are 16 to 64 times larger.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from faultline.models.backbones import Pretrained
from faultline.models.cbam import Attention
from faultline.models.classifier import TAGS, Pooling, classifier
from faultline.models.registry import MODELS


@MODELS.register("convnext_cbam", tags=TAGS)
def convnext_cbam(
    num_classes: int = 1,
    size: str = "nano",
    attention: Attention = "both",
    stages: Sequence[int] = (3, 4),
    pretrained: Pretrained = False,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    in_channels: int = 3,
    pooling: Pooling = "average",
) -> nn.Module:
    """ConvNeXt with channel and spatial attention after stages 3 and 4; `full` is ConvNeXt-Tiny.

    Args:
        num_classes: K, logits.
        size: `nano` (trains on two cores) or `full`.
        attention: `none`, `channel`, `spatial` or `both`.
        stages: Stages that attention follows, 1 to 4.
        pretrained: false, true (published weights, an error where they cannot be had),
            `if_available`, or the path of a weights file.
        dropout: Share of the embedding that is dropped in training.
        drop_path: Share of residual paths that are dropped in training (Huang et al. 2016).
        in_channels: Channels of the picture.
        pooling: `average`, or `maximum` for defects that are small in the picture.
    """
    return classifier(
        num_classes, "conv_next", size, pretrained, dropout, attention, stages, drop_path,
        in_channels, pooling,
    )  # fmt: skip

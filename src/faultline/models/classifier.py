"""Networks that name what a whole picture shows: a backbone, pooling, and one linear layer.

Shapes for an input of (B, 3, H, W), E the backbone's embedding, C the channels of its four maps:

    average    the backbone's embedding                                     (B, E)
    maximum    the embedding, and the highest value of each map's channels    (B, E + sum(C))
    dropout                                                                 the same
    head       logits                                                       (B, K)

Sigmoids or a softmax are the loss's and the predictor's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from faultline.models.backbones import PLANS, Backbone, Pretrained, create_backbone
from faultline.models.blocks import require
from faultline.models.cbam import Attention
from faultline.models.registry import MODELS

TAGS = ("classification",)


Pooling = Literal["average", "maximum"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


class Classifier(nn.Module):
    """A backbone, its maps pooled over the picture, dropout, and a linear layer.

    Args:
        backbone: For `average` its `embed` is used, build it with `features=False`; `maximum` needs
            its maps.
        num_classes: K, logits.
        dropout: Share of what was pooled that is dropped in training.
        pooling: `average` weighs every part of the picture alike; `maximum` adds the strongest
            sign anywhere, which a defect of few pixels leaves (Oquab et al. 2015).
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int = 1,
        dropout: float = 0.0,
        pooling: Pooling = "average",
    ) -> None:
        super().__init__()
        require(num_classes >= 1, "num_classes", num_classes, "at least 1")
        require(0 <= dropout < 1, "dropout", dropout, "from 0 up to, not including, 1")
        require(pooling in POOLINGS, "pooling", pooling, f"one of {', '.join(POOLINGS)}")
        self.backbone = backbone
        self.pooling = pooling
        width = backbone.embedding_dim + (sum(backbone.channels) if pooling == "maximum" else 0)
        # Maxima of different channels, unlike their means, are of very different sizes.
        self.norm = nn.Identity() if pooling == "average" else nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, K)."""
        return self.head(self.dropout(self.norm(self._pooled(x))))  # type: ignore[no-any-return]

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pooling == "average":
            return self.backbone.embed(x)
        maps, embedding = self.backbone.features_and_embedding(x)
        return torch.cat([embedding, *(one.amax((2, 3)) for one in maps)], 1)

    def set_grad_checkpointing(self, enable: bool = True) -> bool:
        """See `Backbone.set_grad_checkpointing`."""
        return self.backbone.set_grad_checkpointing(enable)


@MODELS.register("classifier", tags=TAGS)
def classifier(
    num_classes: int = 1,
    backbone: str = "conv_next",
    size: str = "nano",
    pretrained: Pretrained = False,
    dropout: float = 0.0,
    cbam: Attention = "none",
    cbam_stages: Sequence[int] = (3, 4),
    drop_path: float = 0.0,
    in_channels: int = 3,
    pooling: Pooling = "average",
) -> nn.Module:
    """Any backbone, pooled, with one linear layer: names what a picture shows.

    Args:
        num_classes: K, logits.
        backbone: A backbone's name, or `timm:<name>`.
        size: `nano` (trains on two cores) or `full`.
        pretrained: false, true (published weights, an error where they cannot be had),
            `if_available`, or the path of a weights file.
        dropout: Share of the embedding that is dropped in training.
        cbam: `none`, `channel`, `spatial` or `both`: attention after stages.
        cbam_stages: Those stages, 1 to 4.
        drop_path: Share of residual paths that are dropped in training (Huang et al. 2016).
        in_channels: Channels of the picture.
        pooling: `average`, or `maximum` for defects that are small in the picture.
    """
    trunk = create_backbone(
        backbone,
        size,
        pretrained=pretrained,
        in_channels=in_channels,
        drop_path=drop_path,
        features=pooling != "average",
        cbam=cbam,
        cbam_stages=cbam_stages,
    )
    return Classifier(trunk, num_classes, dropout, pooling)


def _register(name: str, alias: str, summary: str) -> None:
    def build(
        num_classes: int = 1,
        size: str = "nano",
        pretrained: Pretrained = False,
        dropout: float = 0.0,
        cbam: Attention = "none",
        cbam_stages: Sequence[int] = (3, 4),
        drop_path: float = 0.0,
        in_channels: int = 3,
        pooling: Pooling = "average",
    ) -> nn.Module:
        return classifier(
            num_classes, name, size, pretrained, dropout, cbam, cbam_stages, drop_path,
            in_channels, pooling,
        )  # fmt: skip

    settings = (classifier.__doc__ or "").partition("\n")[2]
    lines = settings.splitlines(keepends=True)
    build.__doc__ = f"{summary}\n{''.join(line for line in lines if ' backbone:' not in line)}"
    MODELS.register(name, aliases=[alias], tags=TAGS)(build)


for _plan in PLANS:
    _register(_plan.name, _plan.document.name, _plan.summary)

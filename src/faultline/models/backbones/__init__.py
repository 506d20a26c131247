"""Backbones: fifteen by name, each in two sizes, and any other network of timm.

`create_backbone("conv_next", size="nano")` returns a `Backbone` that maps pictures (B, 3, H, W) to
four maps at strides 4, 8, 16 and 32, and to an embedding (B, E). timm is imported when a backbone
is built, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from faultline.models.backbones.any_timm import PREFIX, timm_backbone
from faultline.models.backbones.backbone import Backbone, Evidence
from faultline.models.backbones.catalogue import PLANS, documented
from faultline.models.backbones.plan import SIZES, Documented
from faultline.models.backbones.registry import BACKBONES
from faultline.models.backbones.reparameterise import for_inference, reparameterize
from faultline.models.backbones.stages import insert_cbam
from faultline.models.backbones.weights import Pretrained
from faultline.models.cbam import Attention

__all__ = [
    "BACKBONES",
    "PLANS",
    "SIZES",
    "Backbone",
    "Documented",
    "Evidence",
    "Pretrained",
    "create_backbone",
    "documented",
    "for_inference",
    "insert_cbam",
    "reparameterize",
]


def create_backbone(
    name: str,
    size: str = "nano",
    *,
    pretrained: Pretrained = False,
    in_channels: int = 3,
    drop_path: float = 0.0,
    features: bool = True,
    cbam: Attention = "none",
    cbam_stages: Sequence[int] = (3, 4),
) -> Backbone:
    """Build the backbone `name`.

    Args:
        name: One of `BACKBONES`, or `timm:<name>` for any network of timm, which has one size.
        size: `nano` (trains on two cores) or `full`.
        pretrained: False, True (published weights, an error where they cannot be had),
            `if_available`, or the path of a weights file.
        in_channels: Channels of the picture.
        drop_path: Share of residual paths that are dropped in training (Huang et al. 2016).
        features: Whether the four maps are wanted. Without, parts that only serve them are not
            built, so that every parameter has its share in the embedding.
        cbam: `none`, `channel`, `spatial` or `both`: attention after stages.
        cbam_stages: Those stages, 1 to 4.

    Raises:
        UnknownNameError: No such backbone; the message names the nearest one.
        ConfigError: A value is out of range, or weights cannot be had.
        MissingExtraError: timm is not installed.
    """
    settings: dict[str, Any] = {
        "pretrained": pretrained,
        "in_channels": in_channels,
        "drop_path": drop_path,
        "features": features,
    }
    if name.startswith(PREFIX):
        backbone = timm_backbone(name.removeprefix(PREFIX), **settings)
        return insert_cbam(backbone, cbam, cbam_stages)
    return BACKBONES.build(name, size=size, cbam=cbam, cbam_stages=cbam_stages, **settings)

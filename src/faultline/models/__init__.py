"""Networks in pure PyTorch, built by name.

`create_model("scratch_ed_plus", base_channels=32)` returns an `nn.Module` that maps pictures
(B, 3, H, W), normalised, to logits (B, K, H, W) of the same height and width.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from faultline.models.registry import MODELS
from faultline.models.scratch_ed import ScratchED
from faultline.models.scratch_ed_plus import ScratchEDPlus
from faultline.models.scratch_ed_plus_dropout import ScratchEDPlusDropout
from faultline.models.unet_mini import UNetMini

__all__ = [
    "MODELS",
    "ScratchED",
    "ScratchEDPlus",
    "ScratchEDPlusDropout",
    "UNetMini",
    "count_parameters",
    "create_model",
]


def create_model(name: str, **settings: Any) -> nn.Module:
    """Build the model registered under `name`.

    Raises:
        UnknownNameError: No such model; the message names the nearest one.
        ConfigError: The model has no such setting, or a value is out of range.
    """
    return MODELS.build(name, **settings)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

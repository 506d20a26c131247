"""Networks in pure PyTorch, built by name.

`create_model("scratch_ed_plus", base_channels=32)` returns an `nn.Module` that maps pictures
(B, 3, H, W), normalised, to logits (B, K, H, W) of the same height and width.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from faultline.models.backbones import BACKBONES, create_backbone
from faultline.models.classifier import Classifier
from faultline.models.clipseg import ClipSeg
from faultline.models.convnext_cbam import convnext_cbam
from faultline.models.door import guard_input
from faultline.models.dual_head import DualHead
from faultline.models.prompt_ed import PromptED
from faultline.models.prompt_ed_plain import PromptEDPlain
from faultline.models.prompted import PromptedNetwork
from faultline.models.registry import MODELS
from faultline.models.scratch_ed import ScratchED
from faultline.models.scratch_ed_plus import ScratchEDPlus
from faultline.models.scratch_ed_plus_dropout import ScratchEDPlusDropout
from faultline.models.unet import UNet
from faultline.models.unet_mini import UNetMini
from faultline.models.unet_transformer import UNetTransformer

__all__ = [
    "BACKBONES",
    "MODELS",
    "Classifier",
    "ClipSeg",
    "DualHead",
    "PromptED",
    "PromptEDPlain",
    "PromptedNetwork",
    "ScratchED",
    "ScratchEDPlus",
    "ScratchEDPlusDropout",
    "UNet",
    "UNetMini",
    "UNetTransformer",
    "convnext_cbam",
    "count_parameters",
    "create_backbone",
    "create_model",
]


def create_model(name: str, **settings: Any) -> nn.Module:
    """Build the model registered under `name`.

    Raises:
        UnknownNameError: No such model; the message names the nearest one.
        ConfigError: The model has no such setting, or a value is out of range.

    The model itself raises ContractError for anything but a picture; see `guard_input`.
    """
    model = MODELS.build(name, **settings)
    return guard_input(model, MODELS.get(name), settings)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

"""Augmentations that change light and grain: the picture only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from faultline.data.transforms.registry import AUGMENTATIONS


@AUGMENTATIONS.register("colour", aliases=["color", "color_jitter", "colour_jitter"])
def colour(
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.1,
    hue: float = 0.0,
    p: float = 0.8,
) -> nn.Module:
    """Vary brightness, contrast, saturation and hue by up to the given shares."""
    jitter = v2.ColorJitter(brightness, contrast, saturation or None, hue or None)
    return v2.RandomApply([jitter], p=p)


@AUGMENTATIONS.register("blur")
def blur(sigma: Sequence[float] = (0.3, 1.2), kernel: int = 5, p: float = 0.1) -> nn.Module:
    """Gaussian blur with a standard deviation between the two given, in pixels."""
    low, high = sigma
    return v2.RandomApply([v2.GaussianBlur(kernel, (low, high))], p=p)


@AUGMENTATIONS.register("noise")
def noise(sigma: Sequence[float] = (1.0, 8.0), p: float = 0.1) -> nn.Module:
    """Gaussian noise with a standard deviation between the two given, in grey levels."""
    return v2.RandomApply([_GaussianNoise(*sigma)], p=p)


@AUGMENTATIONS.register("grey")
def grey(p: float = 0.1) -> nn.Module:
    """Drop the colour."""
    return v2.RandomGrayscale(p)


@AUGMENTATIONS.register("gamma")
class RandomGamma(v2.Transform):
    """Raise intensities to a random power between low and high: darker or brighter mid-tones."""

    def __init__(self, low: float = 0.7, high: float = 1.4, p: float = 0.3) -> None:
        super().__init__()
        self.low, self.high, self.p = low, high, p

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw whether to act, and the power."""
        power = float(torch.empty(()).uniform_(self.low, self.high))
        return {"power": power if float(torch.rand(())) < self.p else 1.0}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """uint8 picture -> uint8 picture; masks pass."""
        if not isinstance(inpt, tv_tensors.Image) or params["power"] == 1.0:
            return inpt
        changed = (inpt.float() / 255).pow(params["power"]).mul(255)
        return _as_uint8(changed, inpt)


class _GaussianNoise(v2.Transform):
    """torchvision's GaussianNoise takes a fixed sigma; cameras do not."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"sigma": float(torch.empty(()).uniform_(self.low, self.high))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        return _as_uint8(inpt.float() + params["sigma"] * torch.randn(inpt.shape), inpt)


def _as_uint8(values: Tensor, like: tv_tensors.Image) -> Any:
    return tv_tensors.wrap(values.round().clamp(0, 255).to(torch.uint8), like=like)

"""Augmentations that move pixels: picture and mask together."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from faultline.data.transforms.registry import AUGMENTATIONS
from faultline.types import IGNORE_INDEX

_FILL = {tv_tensors.Image: 0, tv_tensors.Mask: IGNORE_INDEX}


@AUGMENTATIONS.register("flip")
def flip(p: float = 0.5) -> nn.Module:
    """Mirror left-right and top-bottom, each with probability p."""
    return v2.Compose([v2.RandomHorizontalFlip(p), v2.RandomVerticalFlip(p)])


@AUGMENTATIONS.register("rotate90")
class Rotate90(v2.Transform):
    """Turn by 0, 90, 180 or 270 degrees, all equally likely. Exact: no pixel is interpolated."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the number of quarter turns."""
        return {"turns": int(torch.randint(4, ()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Turn the last two axes."""
        turned = torch.rot90(inpt, params["turns"], (-2, -1))
        return tv_tensors.wrap(turned, like=inpt)


@AUGMENTATIONS.register("zoom", aliases=["scale"])
def zoom(low: float = 0.8, high: float = 1.25, p: float = 0.3) -> nn.Module:
    """Enlarge or shrink about the centre by a factor between low and high."""
    return _sometimes(
        v2.RandomAffine(0, scale=(low, high), interpolation=InterpolationMode.BILINEAR, fill=_FILL),
        p,
    )


@AUGMENTATIONS.register("rotate")
def rotate(degrees: float = 15.0, p: float = 0.5) -> nn.Module:
    """Turn by any angle up to `degrees`; uncovered corners are ignored."""
    return _sometimes(
        v2.RandomRotation(degrees, interpolation=InterpolationMode.BILINEAR, fill=_FILL), p
    )


@AUGMENTATIONS.register("shear")
def shear(degrees: float = 10.0, p: float = 0.3) -> nn.Module:
    """Slant by an angle up to `degrees` along both axes."""
    slant = [-degrees, degrees, -degrees, degrees]
    return _sometimes(
        v2.RandomAffine(0, shear=slant, interpolation=InterpolationMode.BILINEAR, fill=_FILL), p
    )


@AUGMENTATIONS.register("resize")
class Resize(v2.Transform):
    """Resize to size x size; the mask by nearest neighbour."""

    def __init__(self, size: int = 256) -> None:
        super().__init__()
        self.size = size

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Bilinear for pictures, nearest for masks (torchvision's own rule)."""
        return F.resize(inpt, [self.size, self.size], antialias=True)


def _sometimes(transform: nn.Module, p: float) -> nn.Module:
    return v2.RandomApply([transform], p=p)

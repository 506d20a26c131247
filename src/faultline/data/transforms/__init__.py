"""Joint augmentations of picture and mask, by name and setting, on torchvision's transforms v2.

Each registered builder returns a transform that takes `(Image, Mask)` pairs of `tv_tensors`, so
geometry moves both and colour touches the picture only; masks are always resampled with nearest
neighbour. What a transform uncovers becomes *ignore* in the mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torchvision.transforms import v2

from faultline.data.transforms.registry import AUGMENTATIONS

from faultline.data.transforms import colour, geometry  # noqa: F401  isort: skip  (they register)

__all__ = ["AUGMENTATIONS", "build_augmentation"]


def build_augmentation(settings: Mapping[str, Mapping[str, Any] | None]) -> nn.Module:
    """Compose the named augmentations in the order given.

    Args:
        settings: Augmentation name -> its settings; None leaves it out.

    Raises:
        UnknownNameError: No such augmentation.
        ConfigError: An augmentation has no such setting.
    """
    used = {name: values for name, values in settings.items() if values is not None}
    parts = [AUGMENTATIONS.build(name, **values) for name, values in used.items()]
    return v2.Compose(parts) if parts else v2.Identity()

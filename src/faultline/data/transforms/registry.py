"""The registry of augmentations; plugins add theirs through `faultline.augmentations`."""

from __future__ import annotations

from torch import nn

from faultline.registry import Registry

AUGMENTATIONS: Registry[nn.Module] = Registry("augmentation", "faultline.augmentations")

"""Samples to a batch; pictures of different sizes are padded, and the padding is ignored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from faultline.data.dataset import Sample
from faultline.types import IGNORE_INDEX


@dataclass(slots=True)
class Batch:
    """What a training step takes.

    Attributes:
        ids: B ids.
        image: (B, 3, H, W) uint8.
        mask: (B, H, W) or (B, K, H, W) uint8; 255 is ignored.
    """

    ids: list[str]
    image: Tensor
    mask: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The same batch on `device`."""
        image = self.image.to(device, non_blocking=non_blocking)
        return Batch(self.ids, image, self.mask.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory."""
        return Batch(self.ids, self.image.pin_memory(), self.mask.pin_memory())


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples; smaller ones are padded at the right and bottom with zeros and *ignore*."""
    height = max(sample.image.shape[-2] for sample in samples)
    width = max(sample.image.shape[-1] for sample in samples)
    images = [_pad(sample.image, height, width, 0) for sample in samples]
    masks = [_pad(sample.mask, height, width, IGNORE_INDEX) for sample in samples]
    return Batch([sample.id for sample in samples], torch.stack(images), torch.stack(masks))


def _pad(x: Tensor, height: int, width: int, value: int) -> Tensor:
    missing = (0, width - x.shape[-1], 0, height - x.shape[-2])
    return F.pad(x, missing, value=value) if any(missing) else x

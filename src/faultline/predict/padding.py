"""Padding by reflection, by any amount, also of pictures smaller than the padding."""

from __future__ import annotations

import torch
from torch import Tensor


def pad_reflect(pictures: Tensor, height: int, width: int) -> Tensor:
    """Pad (B, C, H, W) below and on the right, by mirroring, to (B, C, height, width).

    Unlike `torch.nn.functional.pad`, mirrors as often as it takes: a single pixel becomes a flat
    picture.
    """
    rows = _mirrored(pictures.shape[2], height, pictures.device)
    columns = _mirrored(pictures.shape[3], width, pictures.device)
    if rows is not None:
        pictures = pictures.index_select(2, rows)
    if columns is not None:
        pictures = pictures.index_select(3, columns)
    return pictures


def padded_size(length: int, multiple: int, minimum: int) -> int:
    """Smallest size that is a multiple of `multiple` and at least `length` and `minimum`."""
    return -(-max(length, minimum) // multiple) * multiple


def _mirrored(length: int, target: int, device: torch.device) -> Tensor | None:
    """Indices 0 1 2 .. n-1 n-2 .. 1 0 1 ..; None where nothing is to be padded."""
    if target <= length:
        return None
    period = max(1, 2 * (length - 1))
    steps = torch.arange(target, device=device) % period
    return torch.minimum(steps, period - steps) if length > 1 else steps

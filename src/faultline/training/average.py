"""Averaged weights: an exponential moving average that does not lag behind at the start."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class AveragedWeights(WeightAveraging):
    """w <- d w + (1 - d) w_t with d = min(decay, (1 + t) / (10 + t)) (Tarvainen & Valpola 2017).

    Validation, selection and the bundle use the averaged weights and buffers.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
            if not averaged.is_floating_point():
                return current
            warm = min(decay, (1 + int(updates)) / (10 + int(updates)))
            return torch.lerp(current, averaged, warm)

        settings: dict[str, Any] = {"avg_fn": average}
        super().__init__(use_buffers=True, **settings)

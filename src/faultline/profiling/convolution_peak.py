"""How fast this machine convolves at best, measured: the yardstick for every network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from faultline.artifacts.precision import Resolved
from faultline.profiling.timing import shortest


@dataclass(frozen=True, slots=True)
class Convolution:
    """A 3 x 3 convolution of `channels` to as many, on (batch, channels, side, side)."""

    batch: int
    channels: int
    side: int

    @property
    def flops(self) -> int:
        """Operations of the forward pass; a multiply-add counts as two."""
        return 2 * 9 * self.batch * self.channels**2 * self.side**2


_ON_CPU = (Convolution(4, 64, 64), Convolution(4, 128, 32), Convolution(4, 256, 32))
_ON_GPU = (Convolution(64, 256, 64), Convolution(64, 512, 32))
_SECONDS = 0.4


@cache
def convolution_peak(device: torch.device, precision: str) -> float:
    """Operations per second of the fastest of a few large convolutions, forward, channels_last.

    Args:
        device: Where.
        precision: "fp32", "bf16" or "fp16".
    """
    chosen = _ON_GPU if device.type == "cuda" else _ON_CPU
    return max(_speed(one, device, Resolved(precision, "")) for one in chosen)


@torch.inference_mode()
def _speed(size: Convolution, device: torch.device, precision: Resolved) -> float:
    with torch.random.fork_rng(devices=[]):
        layer = nn.Conv2d(size.channels, size.channels, 3, padding=1, bias=False)
    # Weights of the type computed in: converting them is no part of the convolution.
    layer = layer.to(device, memory_format=torch.channels_last, dtype=precision.dtype)  # type: ignore[call-overload]
    pictures = torch.ones(
        size.batch, size.channels, size.side, size.side, device=device, dtype=precision.dtype
    ).contiguous(memory_format=torch.channels_last)
    return size.flops / shortest(lambda: layer(pictures), device, _SECONDS)

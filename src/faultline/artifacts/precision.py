"""Chooses the number format to compute in: by the device, and on a CPU by trying.

bf16 is several times faster than fp32 on a CPU with instructions for it, and several times
slower on one without (pytorch issues 118499, 183815); flags alone have been wrong on virtual
machines, so a short benchmark has the last word.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from faultline.artifacts.device import cpu_flags, resolve_device
from faultline.errors import ConfigError
from faultline.registry import did_you_mean

_NAMES = {
    "auto": "auto",
    **dict.fromkeys(("fp32", "32", "32-true", "float32", "full"), "fp32"),
    **dict.fromkeys(("bf16", "bf16-mixed", "bfloat16"), "bf16"),
    **dict.fromkeys(("fp16", "16", "16-mixed", "float16", "half"), "fp16"),
}
_LIGHTNING = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
_MIN_SPEEDUP = 1.15  # below this, fp32 is as fast and more exact
_ROUNDS = 3
_SECOND_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Resolved:
    """A number format and why it was chosen.

    Attributes:
        precision: "fp32", "bf16" or "fp16"; the last two mean autocast with fp32 weights.
        reason: One sentence for the log and for `doctor`.
    """

    precision: str
    reason: str

    @property
    def dtype(self) -> torch.dtype | None:
        """What autocast computes in; None without autocast."""
        return _DTYPES.get(self.precision)

    @property
    def lightning(self) -> str:
        """The name that `lightning.Trainer(precision=...)` knows it by."""
        return _LIGHTNING[self.precision]

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The autocast context for `device`; does nothing in fp32."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(device.type, dtype=self.dtype)


def resolve_precision(requested: str = "auto", device: str | torch.device = "auto") -> Resolved:
    """Settle the number format once, for training and prediction alike.

    Args:
        requested: "auto", "fp32", "bf16", "fp16", or a name that Lightning or torch uses for it.
        device: Where it will run; see `resolve_device`.

    Raises:
        ConfigError: The name is unknown, or the device cannot compute in it.
    """
    name = _NAMES.get(str(requested).lower())
    if name is None:
        raise ConfigError(
            f"unknown precision {requested!r}{did_you_mean(str(requested), _NAMES)}",
            remedy="use auto, fp32, bf16 or fp16",
        )
    device = resolve_device(device)
    if name == "fp16" and device.type == "cpu":
        raise ConfigError("fp16 cannot be used on a CPU", remedy="use precision=auto, bf16 or fp32")
    if name != "auto":
        return Resolved(name, f"{name} was asked for")
    if device.type == "cuda":
        return _for_cuda(device)
    if device.type == "cpu":
        return _for_cpu()
    return Resolved("fp32", f"fp32: autocast is not relied on for {device.type}")


def _for_cuda(device: torch.device) -> Resolved:
    with torch.cuda.device(device):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    if native:
        return Resolved("bf16", "bf16: the GPU computes in it natively")
    return Resolved("fp16", "fp16: the GPU has no native bf16")


def _for_cpu() -> Resolved:
    flags = [flag for flag in _BF16_FLAGS if flag in cpu_flags()]
    if not flags:
        return Resolved("fp32", f"fp32: the CPU has none of {', '.join(_BF16_FLAGS)}")
    speedup = bf16_speedup()
    measured = f"the CPU has {' and '.join(flags)}, and bf16 convolutions run {speedup:.1f}x"
    if speedup < _MIN_SPEEDUP:
        return Resolved("fp32", f"fp32: {measured} as fast as fp32, which is no gain")
    return Resolved("bf16", f"bf16: {measured} as fast as fp32")


@cache
def bf16_speedup() -> float:
    """How many times faster this CPU runs a few convolutions, forward and backward, in bf16.

    Takes about 0.3 s the first time, nothing after. Draws no random numbers.
    """
    # The caller may be predicting, where gradients are switched off.
    with torch.inference_mode(False), torch.enable_grad():
        pictures = torch.ones(4, 16, 64, 64).contiguous(memory_format=torch.channels_last)
        network = _few_convolutions()

        def step(dtype: torch.dtype | None) -> None:
            with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
                loss = network(pictures).float().mean()
            loss.backward()

        found = 0.0
        # A busy moment can hide the gain, hardly feign one: look again before giving it up.
        for _ in range(1 + _SECOND_LOOKS):
            plain, half = _best_times([lambda: step(None), lambda: step(torch.bfloat16)])
            found = max(found, plain / half)
            if found >= _MIN_SPEEDUP:
                break
    return found


def _few_convolutions() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        layers = [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1)]
        return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def _best_times(steps: list[Callable[[], None]]) -> list[float]:
    """Shortest time in seconds of each step; taken in turns, so that a busy moment hits all."""
    best = [float("inf")] * len(steps)
    for turn in range(1 + _ROUNDS):
        for index, step in enumerate(steps):
            start = time.perf_counter()
            step()
            if turn:  # the first turn only warms up
                best[index] = min(best[index], time.perf_counter() - start)
    return best

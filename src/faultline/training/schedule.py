"""Learning-rate schedules: cosine with warm-up over steps or time, and reduction on a plateau."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from faultline.config.schema import SchedulerConfig


def cosine_factor(step: int, progress: float, warmup_steps: int, min_factor: float) -> float:
    """Multiplier of the learning rate (Loshchilov & Hutter 2017, one cycle).

    Args:
        step: Optimizer steps done; the first `warmup_steps` rise linearly.
        progress: Share of the training that is done, 0 to 1.
        warmup_steps: Length of the rise.
        min_factor: Multiplier at the end.
    """
    rise = min(1.0, (step + 1) / max(1, warmup_steps))
    fall = min_factor + (1 - min_factor) * 0.5 * (1 + math.cos(math.pi * progress))
    return rise * fall


def build_scheduler(
    config: SchedulerConfig, optimizer: Optimizer, progress: Callable[[], float]
) -> dict[str, Any] | None:
    """The schedule as Lightning takes it, or None for a constant learning rate.

    Args:
        config: See SchedulerConfig.
        optimizer: What it drives.
        progress: Says which share of the training is done. It may go by wall-clock time, so that
            a time budget ends at the lowest learning rate and not in the middle of the slope.
    """
    if config.name == "plateau":
        scheduler = ReduceLROnPlateau(
            optimizer, factor=config.factor, patience=config.patience,
            min_lr=[group["lr"] * config.min_factor for group in optimizer.param_groups],
        )  # fmt: skip
        return {"scheduler": scheduler, "monitor": "val/loss", "strict": False}
    if config.name == "cosine":
        # LambdaLR calls once while it is made, before the trainer can tell any progress.
        def factor(step: int) -> float:
            done = progress() if step else 0.0
            return cosine_factor(step, done, config.warmup_steps, config.min_factor)

        return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
    return None

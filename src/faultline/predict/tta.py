"""Test-time augmentation: the mean over the mirrored copies of a picture."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

MIRRORS: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))
"""Axes of (B, C, H, W) to flip: none, left-right, up-down, both."""


def mirrored_mean(function: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    """Mean of `function` over four mirrorings, each turned back.

    Args:
        function: (B, C, H, W) -> probabilities (B, K, H, W). Probabilities are averaged, not
            logits, so that one very sure copy cannot outvote the rest.
        pictures: (B, C, H, W).
    """
    total = function(pictures)
    for axes in MIRRORS[1:]:
        total = total + function(pictures.flip(axes)).flip(axes)
    return total / len(MIRRORS)

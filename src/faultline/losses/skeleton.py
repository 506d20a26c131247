"""Soft skeleton of a probability map, fast enough on a CPU to sit in a training step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Offsets = tuple[tuple[int, int], ...]

_COLUMN: Offsets = ((0, 0), (-1, 0), (1, 0))
_ROW: Offsets = ((0, 0), (0, -1), (0, 1))
_CROSS: Offsets = (*_COLUMN, *_ROW[1:])


def soft_skeleton(image: Tensor, iterations: int) -> Tensor:
    """Centre lines of bright, thin structures; Shit et al. 2021, Alg. 1.

    The same values as the authors' loop of max pools. Each erosion is used twice (it ends one
    opening and begins the next), and their sum `skel + relu(delta - skel * delta)` is written as
    the product it is.

    Args:
        image: (B, K, H, W), 0 to 1.
        iterations: Erosions; at least half of the widest structure, in pixels.

    Returns:
        (B, K, H, W), 0 to 1.
    """
    remaining = torch.ones_like(image)
    for step in range(iterations + 1):
        eroded = soft_erode(image)
        remaining = remaining * (1 - (image - soft_dilate(eroded)).relu())
        if step < iterations:
            image = eroded
    return 1 - remaining


def soft_erode(image: Tensor) -> Tensor:
    """Minimum over a pixel and its 4 neighbours; outside counts as nothing. (B, K, H, W)."""
    return _extreme(image, _CROSS, largest=False)


def soft_dilate(image: Tensor) -> Tensor:
    """Maximum over a pixel and its 8 neighbours; outside counts as nothing. (B, K, H, W)."""
    return _extreme(_extreme(image, _COLUMN, largest=True), _ROW, largest=True)


def _extreme(image: Tensor, offsets: Offsets, *, largest: bool) -> Tensor:
    result: Tensor = _Extreme.apply(image, offsets, largest)
    return result


class _Extreme(torch.autograd.Function):
    """Maximum or minimum over shifted copies; the gradient goes to the first that attains it.

    Whole-plane passes over shifted views, about 7 times faster on a CPU than `max_pool2d`.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, offsets: Offsets, largest: bool) -> Tensor:
        pick = torch.maximum if largest else torch.minimum
        result = image.clone()
        for offset in offsets[1:]:
            here, there = _shifted(result, image, offset)
            pick(here, there, out=here)
        ctx.save_for_backward(image, result)
        ctx.offsets = offsets
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        image, result = ctx.saved_tensors
        remaining, passed = gradient.clone(), torch.zeros_like(gradient)
        for offset in ctx.offsets:
            here, there = _shifted(result, image, offset)
            left, source = _shifted(remaining, passed, offset)
            # Comparing into floats keeps the pass vectorised, which a bool result is not.
            share = torch.eq(here, there, out=torch.empty_like(here)).mul_(left)
            left.sub_(share)
            source.add_(share)
        return passed, None, None


def _shifted(result: Tensor, image: Tensor, offset: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Views of `result` at (y, x) and of `image` at (y + dy, x + dx), where both exist."""
    (top, below), (left, right) = (_span(step) for step in offset)
    return result[..., top, left], image[..., below, right]


def _span(step: int) -> tuple[slice, slice]:
    if step == 0:
        return slice(None), slice(None)
    shorter, longer = slice(None, -abs(step)), slice(abs(step), None)
    return (shorter, longer) if step > 0 else (longer, shorter)

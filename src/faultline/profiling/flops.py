"""Floating-point operations of a forward pass, counted by torch while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_flops(model: nn.Module, input_shape: Sequence[int]) -> int:
    """Operations of one forward pass in evaluation mode; a multiply-add counts as two.

    Counted are matrix products, convolutions and attention, which are nearly all of it.

    Args:
        model: Left in the mode that it was in.
        input_shape: (B, C, H, W).
    """
    return flops_by_layer(model, input_shape)[""]


def flops_by_layer(model: nn.Module, input_shape: Sequence[int]) -> dict[str, int]:
    """Operations of each module by its name in `named_modules`, that of the whole being ""."""
    tensor = next(model.parameters(), torch.empty(0))
    given = torch.zeros(*input_shape, device=tensor.device, dtype=tensor.dtype)
    return flops_of_call(model, model, given)


def flops_of_call(model: nn.Module, method: Callable[..., Any], *inputs: Any) -> dict[str, int]:
    """`flops_by_layer` of another call than that of the model with one tensor.

    Args:
        model: Left in the mode that it was in.
        method: The model, or one of its methods.
        inputs: What it is given.
    """
    was_training = model.training
    counter = FlopCounterMode(display=False)
    try:
        model.eval()
        with torch.no_grad(), counter:
            _Through(model, method)(*inputs)
    finally:
        model.train(was_training)
    root = f"{_Through.__name__}.network"
    found = {name: sum(by_op.values()) for name, by_op in counter.get_flop_counts().items()}
    total = found.pop("Global", 0)
    layers = {
        name.removeprefix(f"{root}."): count
        for name, count in found.items()
        if name.startswith(f"{root}.")
    }
    return {"": total, **layers}


class _Through(nn.Module):
    """Calls a method of a network: the counter names layers from the outermost module on."""

    def __init__(self, network: nn.Module, method: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network
        self._method = (method,)  # in a tuple: the network itself is no part of its own

    def forward(self, *inputs: Any) -> Any:
        return self._method[0](*inputs)

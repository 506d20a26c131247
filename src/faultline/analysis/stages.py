"""Where features are read: four stages of a network, and the embedding behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import activation as torch_activations

from faultline.models.backbones.staged import StagedBackbone, stage_taps
from faultline.models.backbones.tokens import TokenBackbone

STAGES = 4
EMBEDDING = "embedding"

_GATES = (nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Softmax, nn.LogSoftmax, nn.Hardtanh)
"""Functions that weigh or bound what something else gives: below zero is not "off" for them."""

FirstAxis = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Tap:
    """A place where features are read.

    Attributes:
        name: "stage 1" to "stage 4".
        module: Its output is read.
        flat: Brings that output to (B, places, C).
    """

    name: str
    module: nn.Module
    flat: FirstAxis


def taps_of(model: nn.Module) -> list[Tap]:
    """Up to four taps, in the order in which they run.

    Of backbones with stages the last feature at strides 4, 8, 16 and 32; of a plain transformer
    the blocks at every quarter of its depth; of any other network the activation functions (without
    any, the convolutions) at every quarter of their number.
    """
    backbone: Any = getattr(model, "backbone", None)
    if isinstance(backbone, StagedBackbone) and backbone.taps:
        flat = _last if backbone.channels_last_layout else _first
        inner: nn.Module = backbone.model
        modules = [inner.get_submodule(str(one["module"])) for one in stage_taps(inner)]
        return _named(modules, [flat] * len(modules))
    if isinstance(backbone, TokenBackbone):
        blocks = _quarters(list(backbone.model.blocks))
        return _named(blocks, [_last] * len(blocks))
    found = list(activations_of(model))
    if not found:
        found = [(one, _first) for one in model.modules() if isinstance(one, nn.Conv2d)]
    chosen = _quarters(found)
    return _named([one for one, _ in chosen], [flat for _, flat in chosen])


def activations_of(model: nn.Module) -> list[tuple[nn.Module, FirstAxis]]:
    """Activation functions of a network, and how their outputs become (B, places, C).

    Behind a linear layer of tokens channels come last; behind a convolution they come first.
    """
    found: dict[nn.Module, FirstAxis] = {}
    for parent in model.modules():
        children = list(parent.children())
        for place, child in enumerate(children):
            if is_activation(child):
                found.setdefault(child, _last if _is_of_tokens(children, place) else _first)
    return list(found.items())


def _is_of_tokens(siblings: list[nn.Module], place: int) -> bool:
    """Whether the nearest layer with weights before `place`, or else behind it, is linear."""
    for one in [*siblings[:place][::-1], *siblings[place + 1 :]]:
        if isinstance(one, (nn.Linear, nn.Conv2d)):
            return isinstance(one, nn.Linear)
    return False


def is_activation(module: nn.Module) -> bool:
    """Whether a channel that this function never lets above zero is switched off."""
    kind = type(module)
    known = kind.__module__ == torch_activations.__name__ or kind.__module__.startswith(
        "timm.layers.activations"
    )
    named_gate = any(word in kind.__name__.lower() for word in ("sigmoid", "tanh", "softmax"))
    tanh_form = "gelu" in kind.__name__.lower()
    return (
        known
        and not isinstance(module, (*_GATES, nn.MultiheadAttention))
        and (tanh_form or not named_gate)
    )


def head_of(model: nn.Module) -> nn.Module | None:
    """The linear layer that gives the classes; what it is given is the embedding."""
    own = getattr(model, "head", None)
    if isinstance(own, nn.Linear):
        return own
    linear = [one for one in model.modules() if isinstance(one, nn.Linear)]
    return linear[-1] if linear else None


def _named(modules: list[nn.Module], flat: list[FirstAxis]) -> list[Tap]:
    pairs = enumerate(zip(modules, flat, strict=True), 1)
    return [Tap(f"stage {number}", module, how) for number, (module, how) in pairs]


def _quarters(things: list[Any]) -> list[Any]:
    """The last thing of every quarter; all of four and fewer."""
    count = len(things)
    if count <= STAGES:
        return things
    return [things[(part + 1) * count // STAGES - 1] for part in range(STAGES)]


def _first(output: Tensor) -> Tensor:
    """(B, C, ...) -> (B, places, C)."""
    return output.flatten(2).transpose(1, 2) if output.ndim > 2 else output[:, None]


def _last(output: Tensor) -> Tensor:
    """(B, ..., C) -> (B, places, C)."""
    return output.flatten(1, -2) if output.ndim > 2 else output[:, None]

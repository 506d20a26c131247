"""The stages of a network as they run: what goes in, what comes out, how many parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One named part of a network in one forward pass.

    Attributes:
        name: As in `named_modules`.
        inputs: Shape of every tensor it was given.
        outputs: Shape of every tensor it gave.
        parameters: Number of scalars in it.
    """

    name: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    parameters: int


def run_stages(
    model: nn.Module, *inputs: Any, method: Callable[..., Any] | None = None
) -> list[Stage]:
    """Stages in the order in which a forward pass of `inputs` enters them, each once.

    Stages are the parts of the network; in place of a list or sequence of parts, each of these;
    and behind a part that holds a list of blocks itself (a transformer, parallel branches), each
    block. A part of which only the inside is called stands for what runs in it; what it gives is
    not known then, and shows in the stage behind it.

    On the meta device nothing is computed, so that any size costs next to nothing.

    Args:
        model: The network.
        inputs: What it is given.
        method: Of the network, run in place of a call of it.
    """
    calls: dict[str, _Call] = {}

    def before(name: str) -> Callable[..., None]:
        def note(part: nn.Module, given: Any, named: Any) -> None:
            calls.setdefault(name, _Call(len(calls), _shapes((given, named))))

        return note

    def after(name: str) -> Callable[..., None]:
        def note(part: nn.Module, given: Any, output: Any) -> None:
            calls[name].outputs = calls[name].outputs or _shapes(output)

        return note

    with ExitStack() as hooks, torch.no_grad():
        for name, part in model.named_modules():
            for handle in (
                part.register_forward_pre_hook(before(name), with_kwargs=True),
                part.register_forward_hook(after(name)),
            ):
                hooks.callback(handle.remove)
        (method or model)(*inputs)
    found = [stage for name, part in model.named_children() for stage in _walk(name, part, calls)]
    return [stage for _, stage in sorted(found, key=lambda pair: pair[0])]


@dataclass
class _Call:
    order: int
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...] = ()


def _walk(
    name: str, part: nn.Module, calls: dict[str, _Call], opened: bool = False
) -> Iterator[tuple[int, Stage]]:
    """Stages at and in a part, with their place in the order of calls."""
    if type(part) is nn.ModuleList or (type(part) is nn.Sequential and not opened):
        for key, member in part.named_children():
            yield from _walk(f"{name}.{key}", member, calls, opened=True)
        return
    inside = [call for path, call in calls.items() if f"{path}.".startswith(f"{name}.")]
    if not inside:
        return
    own = calls.get(name) or _Call(inside[0].order, inside[0].inputs)
    size = sum(parameter.numel() for parameter in part.parameters())
    yield own.order, Stage(name, own.inputs, own.outputs, size)
    for key, child in part.named_children():
        if type(child) is nn.ModuleList and name in calls:
            yield from _walk(f"{name}.{key}", child, calls)


def _shapes(value: Any) -> tuple[Shape, ...]:
    """Shapes of all tensors in nested tuples, lists and mappings, in order."""
    if isinstance(value, Tensor):
        return (tuple(value.shape),)
    if isinstance(value, dict):
        value = tuple(value.values())
    if not isinstance(value, (tuple, list)):
        return ()
    return tuple(shape for item in value for shape in _shapes(item))

"""Which layer first produced a NaN or an infinity."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class NonFinite:
    """Where a forward pass first went wrong.

    Attributes:
        layer: Name of the layer as in `named_modules`; "" is the model itself.
        kind: Its class.
        part: `input` (what the layer was given is not finite: the code around it made that),
            `output`, or the name of a parameter or buffer of the layer that is not finite.
        value: `NaN` or `Inf`.
    """

    layer: str
    kind: str
    part: str
    value: Literal["NaN", "Inf"]

    def __str__(self) -> str:
        name = f"layer {self.layer!r} ({self.kind})" if self.layer else f"the model ({self.kind})"
        if self.part == "output":
            return f"{name} first gave {self.value}"
        if self.part == "input" and not self.layer:
            return f"{name} was given {self.value}"
        if self.part == "input":
            return f"{name} was given {self.value}; every layer before it gave finite values"
        return f"{name} first gave {self.value}: its {self.part!r} holds {self.value}"


@torch.no_grad()
def first_nonfinite(model: nn.Module, *inputs: Any, **named: Any) -> NonFinite | None:
    """Run `model` once more on `inputs` and say where NaN or infinity came up first.

    Its mode (training or not) is left as it is, so that what happened happens again; buffers, such
    as running statistics, and torch's random state are put back.

    Args:
        model: The network.
        inputs: What it was called with.
        named: What it was called with by name.

    Returns:
        None where every value of every layer is finite.
    """
    return _watched(model, _Watcher(), lambda: model(*inputs, **named))


@torch.no_grad()
def first_nonfinite_in(
    method: Callable[..., Any], model: nn.Module, *inputs: Any
) -> NonFinite | None:
    """`first_nonfinite` for another method of `model` than its call.

    Args:
        method: The method, bound to `model`.
        model: The network.
        inputs: What the method was given.
    """
    watcher = _Watcher()

    def run() -> None:
        # Only a call of the model itself would be seen.
        watcher.look("", model, "input", inputs)
        watcher.look("", model, "output", method(*inputs))

    return _watched(model, watcher, run)


def _watched(model: nn.Module, watcher: _Watcher, run: Callable[[], Any]) -> NonFinite | None:
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    gpus = {p.device.index for p in model.parameters() if p.is_cuda}
    with watcher.attached(model), torch.random.fork_rng(sorted(gpus)):
        try:
            run()
        except _FoundError:
            pass
        finally:
            for buffer, before in kept:
                buffer.copy_(before)
    return watcher.found


class _FoundError(Exception):
    """Ends the forward pass at the first finding."""


class _Watcher:
    """Looks at what goes into and comes out of every layer, in the order of the forward pass."""

    def __init__(self) -> None:
        self.found: NonFinite | None = None

    @contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        handles = []
        for name, layer in model.named_modules():
            handles += [
                layer.register_forward_pre_hook(self._before(name), prepend=True, with_kwargs=True),
                layer.register_forward_hook(self._after(name), with_kwargs=True),
            ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, name: str) -> Any:
        def look(layer: nn.Module, inputs: Any, named: Any) -> None:
            self.look(name, layer, "input", (inputs, named))

        return look

    def _after(self, name: str) -> Any:
        def look(layer: nn.Module, inputs: Any, named: Any, output: Any) -> None:
            self.look(name, layer, "output", output)

        return look

    def look(self, name: str, layer: nn.Module, part: str, values: Any) -> None:
        """Look at what a layer was given or gave.

        Raises:
            _FoundError: It is not finite.
        """
        value = _wrong_value(values)
        if value is None:
            return
        if part == "output":
            part = _wrong_tensor(layer) or part
        self.found = NonFinite(name, type(layer).__name__, part, value)
        raise _FoundError


def _wrong_tensor(layer: nn.Module) -> str | None:
    """Name of the first parameter or buffer of the layer itself that is not finite."""
    own = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
    return next((name for name, tensor in own if _wrong_value(tensor)), None)


def _wrong_value(value: Any) -> Literal["NaN", "Inf"] | None:
    """`NaN` or `Inf` where a tensor, or one in tuples, lists, mappings or records, holds one."""
    if isinstance(value, Tensor):
        if not (value.is_floating_point() or value.is_complex()) or bool(value.isfinite().all()):
            return None
        return "NaN" if bool(value.isnan().any()) else "Inf"
    if isinstance(value, dict):
        value = value.values()
    elif dataclasses.is_dataclass(value):
        value = [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    elif not isinstance(value, (tuple, list)):
        return None
    return next((found for item in value if (found := _wrong_value(item))), None)

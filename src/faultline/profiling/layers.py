"""Where the time goes: forward by layer, a training step by operator."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from faultline.artifacts.precision import Resolved
from faultline.profiling.flops import flops_of_call
from faultline.profiling.subject import Profiled, TrainingStep, synchronise

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class LayerTime:
    """One layer in a forward pass.

    Attributes:
        name: As in `named_modules`; the last row, "(between layers)", is all that no layer does.
        kind: Class of the layer.
        milliseconds: Median over passes.
        share: Of the whole pass.
        flops: Operations of the layer for the whole batch.
        parameters: Scalars in it.
    """

    name: str
    kind: str
    milliseconds: float
    share: float
    flops: int
    parameters: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def time_layers(
    subject: Profiled, batch: int, size: Sequence[int], device: torch.device, precision: Resolved
) -> list[LayerTime]:
    """Time of each layer (a module without modules in it) in a forward pass, slowest first.

    On a GPU each layer is waited for, which adds the time of a launch to it.
    """
    network = subject.build().to(device).eval()
    given, method = subject.inputs(batch, size, device), subject.method(network)
    flops = flops_of_call(network, method, *given)
    leaves = {name: m for name, m in network.named_modules() if not list(m.children())}
    clock = _Clock(device)
    passes = []
    with ExitStack() as hooks, torch.inference_mode(), precision.autocast(device):
        for name, leaf in leaves.items():
            hooks.callback(leaf.register_forward_pre_hook(clock.starter(name)).remove)
            hooks.callback(leaf.register_forward_hook(clock.stopper(name)).remove)
        for round_ in range(1 + _ROUNDS):
            clock.spent.clear()
            start = time.perf_counter()
            method(*given)
            synchronise(device)
            if round_:  # the first pass only warms up
                passes.append((time.perf_counter() - start, dict(clock.spent)))
    whole, spent = sorted(passes, key=lambda one: one[0])[len(passes) // 2]
    rows = [
        LayerTime(
            name, type(leaves[name]).__name__, 1e3 * seconds, seconds / whole, flops.get(name, 0),
            sum(parameter.numel() for parameter in leaves[name].parameters()),
        )
        for name, seconds in spent.items()
    ]  # fmt: skip
    rest = whole - sum(spent.values())
    rows.sort(key=lambda row: -row.milliseconds)
    return [*rows, LayerTime("(between layers)", "", 1e3 * rest, rest / whole, 0, 0)]


class _Clock:
    """Adds up the time between the start and the stop of each layer."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.spent: dict[str, float] = defaultdict(float)
        self._started: dict[str, float] = {}

    def starter(self, name: str) -> Any:
        def start(*inputs: Any) -> None:
            synchronise(self.device)
            self._started[name] = time.perf_counter()

        return start

    def stopper(self, name: str) -> Any:
        def stop(*inputs: Any) -> None:
            synchronise(self.device)
            self.spent[name] += time.perf_counter() - self._started[name]

        return stop


def time_operators(
    subject: Profiled, batch: int, size: Sequence[int], device: torch.device, precision: Resolved,
    most: int = 12,
) -> list[dict[str, Any]]:  # fmt: skip
    """The operators of a training step that take most time, by torch's profiler.

    Returns:
        Rows of `name`, `calls`, `milliseconds` (without what an operator calls) and `share`.
    """
    # Read when the profiler first starts; it writes of its own doings to the console otherwise.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    step = TrainingStep(subject, batch, size, device, precision)
    step()
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as recorded:
        step()
    own = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = [(event.key, event.count, getattr(event, own) / 1e3)
              for event in recorded.key_averages()]  # fmt: skip
    whole = sum(milliseconds for *_, milliseconds in events) or 1.0
    events.sort(key=lambda event: -event[2])
    return [
        {"name": name, "calls": calls, "milliseconds": spent, "share": spent / whole}
        for name, calls, spent in events[:most]
    ]

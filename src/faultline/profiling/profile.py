"""Everything that a network costs, as one plain dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from faultline.artifacts.device import device_name
from faultline.artifacts.precision import Resolved, resolve_precision
from faultline.errors import ConfigError
from faultline.models import count_parameters
from faultline.profiling.activations import activation_bytes
from faultline.profiling.flops import flops_of_call
from faultline.profiling.layers import time_layers, time_operators
from faultline.profiling.peak_memory import curve_of, free_bytes, measure_peaks
from faultline.profiling.subject import Profiled, TrainingStep
from faultline.profiling.throughput import measure_throughput
from faultline.progress import Progress
from faultline.training.memory import MemoryCurve, plan_batch, tier

SCHEMA = 1
_SPEED_BATCH = 8
_BYTES_A_WEIGHT = 4
_COPIES = 4  # the weight, its gradient, and AdamW's two moments, all fp32
CARDS = (12, 24, 32)
"""Sizes of graphics cards in GB, of the steel document's table."""


@dataclass(frozen=True)
class ProfileSettings:
    """How a profile is taken.

    Attributes:
        size: (H, W) of the pictures, (T, M) of clips.
        batches: Batch sizes whose memory is measured; the largest that fitted, 8 at most, gives
            speed and layers.
        precision: `auto`, or the number format of memory and layers; speed is measured in fp32
            and, where the device computes in it, in bf16 too.
        seconds: Time for each measurement of speed.
    """

    size: tuple[int, int] = (256, 256)
    batches: tuple[int, ...] = (1, 2, 4, 8)
    precision: str = "auto"
    seconds: float = 1.5

    def __post_init__(self) -> None:
        if min(self.size) < 1 or not self.batches or min(self.batches) < 1 or self.seconds <= 0:
            raise ConfigError(
                f"size={self.size}, batches={self.batches}, seconds={self.seconds}: "
                "sizes, batches and times are above 0"
            )


def profile_subject(
    subject: Profiled,
    device: torch.device,
    settings: ProfileSettings | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Measure `subject` on `device`.

    Returns:
        Plain values: `parameters`, `flops` (one picture, forward), `activations` (bytes kept for
        the backward pass by each picture), `kept_once` (by a batch of any size), `cards` (see
        `card_plans`), `memory` (one row per batch size), `tier`, `plan`, `throughput` (one row a
        number format), `layers`, `operators`, and what it was measured on.

    Raises:
        FaultlineError: The subject cannot be built, or does not take pictures of this size.
    """
    settings = settings or ProfileSettings()
    precision = resolve_precision(settings.precision, device)
    forms = _formats(device)
    count = _Count(progress, len(set(settings.batches)) + len(forms) + 3)
    costs = count_costs(subject, device, settings, precision)
    count()
    peaks = measure_peaks(subject, settings.batches, settings.size, device, precision, count)
    curve = curve_of(peaks)
    batch = min(_SPEED_BATCH, max((p.batch for p in peaks if p.bytes is not None), default=1))
    speeds = []
    for form in forms:
        speeds.append(
            measure_throughput(
                subject, batch, settings.size, device, form, costs["flops"], settings.seconds
            ).to_dict()
        )
        count()
    layers = time_layers(subject, batch, settings.size, device, precision)
    count()
    operators = time_operators(subject, batch, settings.size, device, precision)
    count()
    free = free_bytes(device)
    return {
        "schema": SCHEMA,
        "name": subject.name,
        "kind": subject.kind,
        "settings": subject.settings,
        "unit": subject.unit,
        "size": list(settings.size),
        "measured": subject.described(settings.size),
        "device": {"type": device.type, "name": device_name(device),
                   "threads": torch.get_num_threads()},
        "precision": {"precision": precision.precision, "reason": precision.reason},
        **costs,
        "cards": card_plans(costs["parameters"], costs["activations"], costs["kept_once"]),
        "memory": [asdict(peak) for peak in peaks],
        "free": free,
        "tier": None if curve is None else tier(curve).value,
        "plan": None if curve is None else asdict(plan_batch(curve, free)),
        "throughput": speeds,
        "speed_batch": batch,
        "layers": [layer.to_dict() for layer in layers],
        "operators": operators,
    }  # fmt: skip


def count_costs(
    subject: Profiled, device: torch.device, settings: ProfileSettings, precision: Resolved
) -> dict[str, Any]:
    """What can be counted rather than measured: parameters, operations, bytes kept for backward.

    `activations` is of one picture or clip more, `kept_once` what does not grow with the batch.
    """
    step = TrainingStep(subject, 1, settings.size, device, precision)
    parameters = count_parameters(step.network)
    # Before the forward pass in training mode: a batch of one upsets running averages.
    flops = flops_of_call(step.network, step.method, *step.inputs)[""]
    one = activation_bytes(step.network, step.forward)
    pair = TrainingStep(subject, 2, settings.size, device, precision)
    # Autocast also keeps each weight in its own format, once a step whatever the batch.
    each = activation_bytes(pair.network, pair.forward) - one
    return {
        "parameters": parameters,
        "weights_bytes": _BYTES_A_WEIGHT * parameters,
        "flops": flops,
        "activations": each,
        "kept_once": max(0, one - each),
    }


def card_plans(parameters: int, activations: int, kept_once: int = 0) -> list[dict[str, Any]]:
    """What would fit on cards of `CARDS` GB: one row each, computed and not measured there.

    A step is taken to need 16 bytes per parameter, `kept_once` bytes, and `activations` bytes a
    picture; see `plan_batch` for the margin over it, which workspaces and temporary tensors come
    out of.
    """
    curve = counted_curve(parameters, activations, kept_once)
    return [{"gigabytes": size, **asdict(plan_batch(curve, 1e9 * size))} for size in CARDS]


def counted_curve(
    parameters: int, activations: int, kept_once: int, batches: Sequence[int] = (1, 2)
) -> MemoryCurve:
    """Memory of a training step by batch size, by the rule of `card_plans`."""
    fixed = _COPIES * _BYTES_A_WEIGHT * parameters + kept_once
    return MemoryCurve({batch: fixed + batch * activations for batch in batches})


def _formats(device: torch.device) -> list[str]:
    """fp32, and what the device gains from."""
    best = resolve_precision("auto", device).precision
    return ["fp32"] if best == "fp32" else ["fp32", best]


class _Count:
    """Tells progress one thing at a time."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        progress(0, total)

    def __call__(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)

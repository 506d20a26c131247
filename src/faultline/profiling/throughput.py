"""Pictures or clips per second, forward and in training."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from faultline.artifacts.precision import Resolved
from faultline.profiling.convolution_peak import convolution_peak
from faultline.profiling.subject import Profiled, TrainingStep
from faultline.profiling.timing import median

BACKWARD_FACTOR = 3
"""Operations of a training step over those of its forward pass: the gradients by inputs and by
weights cost as much again each."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Speed in one number format, channels_last.

    Attributes:
        precision: The format.
        batch: Samples at a time.
        forward: Pictures or clips per second in evaluation, without gradients.
        training: The same of forward, backward and optimizer step, loading left out.
        peak: Operations per second of this machine's fastest convolution in this format.
        forward_share: Of that peak.
        training_share: Of that peak, at three times the operations.
    """

    precision: str
    batch: int
    forward: float
    training: float
    peak: float
    forward_share: float
    training_share: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def measure_throughput(
    subject: Profiled,
    batch: int,
    size: Sequence[int],
    device: torch.device,
    precision: str,
    flops: int,
    seconds: float,
) -> Throughput:
    """Median speed of repeated passes.

    Args:
        subject: What to run.
        batch: Samples at a time.
        size: (H, W).
        device: Where.
        precision: "fp32", "bf16" or "fp16".
        flops: Operations of the forward pass of one picture or clip.
        seconds: For each of the two measurements; at least three passes are made.
    """
    form = Resolved(precision, "")
    step = TrainingStep(subject, batch, size, device, form)
    training = batch / median(step, device, seconds)
    forward = batch / median(_forward(step, form), device, seconds)
    peak = convolution_peak(device, precision)
    del step
    gc.collect()
    return Throughput(
        precision, batch, forward, training, peak,
        forward * flops / peak, BACKWARD_FACTOR * training * flops / peak,
    )  # fmt: skip


def _forward(step: TrainingStep, form: Resolved) -> Any:
    step.network.eval()

    @torch.inference_mode()
    def run() -> None:
        with form.autocast(step.device):
            step.method(*step.inputs)

    return run

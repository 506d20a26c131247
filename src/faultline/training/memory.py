"""How much memory a batch takes, which tier that is, and how a batch is cut to fit a device.

One rule for all networks. The tiers are those of the dual-head document, section 3.1, with the
thresholds that its own table follows; see `tier`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from faultline.errors import ConfigError

EFFECTIVE_BATCH = 32
"""Samples that one optimizer step sees, whatever fits at a time (document, section 3.2)."""

MARGIN = 1.15
"""Free memory must be this many times the peak (document, section 3.3)."""

TIER_BATCH = 8
"""Batch size at which tiers are told apart."""

LIGHT_BELOW = 0.7e9
MEDIUM_BELOW = 1.5e9
"""Bytes at `TIER_BATCH`."""

HEAVY_FIXED = 0.25
"""Least share of the peak that does not grow with the batch, for HEAVY rather than HIGH."""


class Tier(StrEnum):
    """Classes of memory, from little to much."""

    LIGHT = "LIGHT"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    HEAVY = "HEAVY"


@dataclass(frozen=True)
class MemoryCurve:
    """Peak memory of a training step over the batch size.

    Attributes:
        measured: Batch size -> bytes.
    """

    measured: Mapping[int, int]

    def __post_init__(self) -> None:
        if not self.measured:
            raise ConfigError("no batch size was measured")

    @property
    def line(self) -> tuple[float, float]:
        """(bytes whatever the batch, bytes per sample): least squares; the first from 0 up.

        With one batch size alone, everything counts as growing with the batch.
        """
        sizes, peaks = list(self.measured), list(self.measured.values())
        if len(sizes) == 1:
            return 0.0, peaks[0] / sizes[0]
        mean_size, mean_peak = sum(sizes) / len(sizes), sum(peaks) / len(peaks)
        spread = sum((size - mean_size) ** 2 for size in sizes)
        slope = sum((s - mean_size) * (p - mean_peak) for s, p in zip(sizes, peaks, strict=True))
        each = max(0.0, slope / spread)
        return max(0.0, mean_peak - each * mean_size), each

    def at(self, batch: int) -> float:
        """Bytes at `batch`: as measured, else by the line through what was measured."""
        if batch in self.measured:
            return float(self.measured[batch])
        fixed, each = self.line
        return fixed + each * batch


def tier(curve: MemoryCurve) -> Tier:
    """Class of memory of a training step.

    At a batch of 8: LIGHT below 0.7 GB, MEDIUM below 1.5 GB. Above, HEAVY if at least a quarter
    does not grow with the batch (weights, gradients and optimizer: halving the batch helps
    little), else HIGH (activations: halving the batch helps). GB is 10^9 bytes.
    """
    peak = curve.at(TIER_BATCH)
    if peak < MEDIUM_BELOW:
        return Tier.LIGHT if peak < LIGHT_BELOW else Tier.MEDIUM
    return Tier.HEAVY if curve.line[0] >= HEAVY_FIXED * peak else Tier.HIGH


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How an effective batch is made of physical ones.

    Attributes:
        batch: Samples at a time.
        accumulation: Batches an optimizer step.
        fits: Whether even this is expected to fit; if not, gradient checkpointing is needed.
        needed: Bytes that it is expected to take, margin included.
    """

    batch: int
    accumulation: int
    fits: bool
    needed: float


def plan_batch(
    curve: MemoryCurve, available: float, effective: int = EFFECTIVE_BATCH, margin: float = MARGIN
) -> BatchPlan:
    """The largest batch that fits, halved from `effective` on; the rest is accumulation.

    Args:
        curve: What was measured.
        available: Bytes that are free.
        effective: Samples an optimizer step.
        margin: Memory must be this many times the expected peak.

    Raises:
        ConfigError: `effective` or `available` is not positive, or `margin` below 1.
    """
    if effective < 1 or available <= 0 or margin < 1:
        raise ConfigError(
            f"effective={effective}, available={available:g}, margin={margin:g}: effective must be "
            "at least 1, available above 0 and margin at least 1"
        )
    batch = effective
    while batch > 1 and (effective % batch or margin * curve.at(batch) > available):
        batch //= 2
    needed = margin * curve.at(batch)
    return BatchPlan(batch, effective // batch, needed <= available, needed)

"""Counts of a promptable segmenter, prompt by prompt: what is found where it is, and what is
painted where it is not.

A picture that shows what was asked for counts towards IoU and the like; one that does not counts
towards the rate of false answers only. A false answer paints more than `FALSE_SHARE` of the
picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from faultline.errors import ConfigError
from faultline.metrics.confusion import BinaryCounts
from faultline.metrics.histogram import ProbabilityHistogram, reaching
from faultline.metrics.inputs import ArrayLike, Floats
from faultline.metrics.thresholds import (
    DEFAULT_THRESHOLD,
    ThresholdChoice,
    ThresholdStatus,
    choose_threshold,
)

FALSE_SHARE = 0.005
"""Share of a picture from which paint for something absent is a false answer."""

MAX_FALSE_RATE = 0.05
_WORTH = 0.95
"""IoU kept, as a share of the best, for which fewer false answers are bought."""


class PromptCounts:
    """Streaming counts of one prompt (or class) at every threshold k / bins.

    Attributes:
        present: Probabilities by truth over the pictures that show it.
        absent: Share of each other picture that reaches threshold k, (bins + 1,) each.
    """

    def __init__(self, bins: int = 1000) -> None:
        self.bins = bins
        self.present = ProbabilityHistogram(bins)
        self.absent: list[Floats] = []
        self.pictures = 0

    def update(self, probability: ArrayLike, truth: ArrayLike) -> None:
        """Add one picture.

        Args:
            probability: (H, W) floats in [0, 1].
            truth: (H, W) of 0, 1 and 255 (ignored).

        Raises:
            ContractError: Shapes differ, or a probability lies outside [0, 1].
            MaskError: `truth` holds other values.
        """
        own = ProbabilityHistogram(self.bins)
        own.update(probability, truth)
        if own.positives:
            self.present = self.present + own
            self.pictures += 1
        elif own.pixels:
            self.absent.append(reaching(own.counts[0]) / own.pixels)

    def iou(self) -> Floats:
        """(bins + 1,) IoU over the pictures that show it, at each threshold; NaN without any."""
        return self.present.curve().iou

    def false_rate(self) -> Floats:
        """(bins + 1,) share of the other pictures that get a false answer; NaN without any."""
        if not self.absent:
            return np.full(self.bins + 1, np.nan)
        return np.asarray((np.stack(self.absent) > FALSE_SHARE).mean(axis=0))

    def counts_at(self, threshold: float) -> BinaryCounts:
        """Pixels of the pictures that show it, decided at `threshold` (nearest step)."""
        return self.present.counts_at(threshold, nearest=True)

    def false_rate_at(self, threshold: float) -> float:
        """Share of the other pictures with a false answer at `threshold`; NaN without any."""
        return float(self.false_rate()[round(threshold * self.bins)])

    def choose(
        self,
        criterion: str = "iou",
        *,
        percentile: float = 95.0,
        max_false_rate: float = MAX_FALSE_RATE,
        source: str = "validation",
    ) -> ThresholdChoice:
        """The threshold of this prompt; see `choose_shared` for the rule of "iou".

        Raises:
            ConfigError: Unknown criterion, or percentile outside (0, 100).
        """
        if criterion == "iou":
            return choose_shared([self], max_false_rate=max_false_rate, source=source)
        if criterion not in ("dice", "percentile"):
            raise ConfigError(
                f"unknown criterion {criterion!r}", remedy="use iou, dice or percentile"
            )
        return choose_threshold(
            self.present.curve(),
            "dice" if criterion == "dice" else "percentile",
            percentile=percentile,
            source=source,
        )


def choose_shared(
    prompts: Sequence[PromptCounts],
    *,
    max_false_rate: float = MAX_FALSE_RATE,
    source: str = "validation",
) -> ThresholdChoice:
    """One threshold for several prompts: the best mean IoU among those with few false answers.

    Nineteen twentieths of the best IoU are always kept. Where that leaves thresholds with a mean
    false-answer rate of at most `max_false_rate`, the best of them is taken; else one with the
    fewest false answers.
    """
    seen = [prompt for prompt in prompts if prompt.present.positives]
    pixels = sum(prompt.present.pixels for prompt in prompts)
    if not seen:
        status = ThresholdStatus.NO_POSITIVES if pixels else ThresholdStatus.NO_PIXELS
        if any(prompt.absent for prompt in prompts):
            status = ThresholdStatus.NO_POSITIVES
        return ThresholdChoice(DEFAULT_THRESHOLD, "iou", float("nan"), status, source)
    if len(seen) == 1 and not any(prompt.absent for prompt in prompts):
        return choose_threshold(seen[0].present.curve(), "iou", source=source)
    # The ends 0 and 1 are no thresholds: one paints everything, the other nearly nothing.
    iou = np.nan_to_num(np.mean([np.nan_to_num(one.iou()) for one in seen], axis=0))[1:-1]
    if not iou.max() > 0:
        painted = any(one.present.counts[:, 1:].any() for one in seen)
        status = ThresholdStatus.NO_OVERLAP if painted else ThresholdStatus.NO_PREDICTIONS
        return ThresholdChoice(DEFAULT_THRESHOLD, "iou", float("nan"), status, source)
    index = _best_index(iou, _mean_rate(prompts)[1:-1], max_false_rate)
    value = (index + 1) / seen[0].bins
    return ThresholdChoice(value, "iou", float(iou[index]), ThresholdStatus.TUNED, source)


def mean_iou(counts: Mapping[str, PromptCounts], thresholds: Mapping[str, float]) -> float:
    """Mean foreground IoU over the prompts that some picture shows; NaN where none does."""
    found = [
        one.counts_at(thresholds[name]).iou for name, one in counts.items() if one.present.positives
    ]
    return float(np.mean(found)) if found else float("nan")


def false_answer_rate(counts: Mapping[str, PromptCounts], thresholds: Mapping[str, float]) -> float:
    """Share of all questions about something absent that get a false answer; NaN without any."""
    wrong = total = 0.0
    for name, one in counts.items():
        if one.absent:
            wrong += one.false_rate_at(thresholds[name]) * len(one.absent)
            total += len(one.absent)
    return wrong / total if total else float("nan")


def _mean_rate(prompts: Sequence[PromptCounts]) -> Floats:
    rates = [one.false_rate() for one in prompts if one.absent]
    size = prompts[0].bins + 1
    return np.mean(rates, axis=0) if rates else np.zeros(size)


def _best_index(iou: Floats, rate: Floats, limit: float) -> int:
    worth = iou >= _WORTH * iou.max()
    allowed = worth & (rate <= max(limit, float(rate[worth].min())))
    chosen = np.where(allowed, iou, -1.0)
    best = np.flatnonzero(chosen == chosen.max())
    return int(best[len(best) // 2])

"""One threshold per class, chosen on validation; rare classes take the shared one, and say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from faultline.metrics.histogram import ProbabilityHistogram
from faultline.metrics.inputs import Bools, Floats
from faultline.metrics.thresholds import DEFAULT_THRESHOLD, ThresholdChoice, ThresholdStatus

MIN_POSITIVES = 5
"""Positives from which a class has a threshold of its own: fewer say more of chance than of it."""

TUNED, SHARED = "tuned", "shared"


@dataclass(frozen=True, slots=True)
class ClassChoice:
    """The threshold of one class.

    Attributes:
        name: The class.
        value: The threshold.
        status: "tuned" on its own positives, or "shared".
        positives: Pictures that show it.
        score: F1 at `value`; NaN where not defined.
    """

    name: str
    value: float
    status: str
    positives: int
    score: float


@dataclass(frozen=True, slots=True)
class ClassChoices:
    """The shared threshold and those of the classes."""

    shared: ThresholdChoice
    classes: tuple[ClassChoice, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a bundle stores them."""
        classes = [
            {
                "name": one.name,
                "value": one.value,
                "status": one.status,
                "positives": one.positives,
                "score": None if np.isnan(one.score) else one.score,
            }
            for one in self.classes
        ]
        return {**self.shared.to_dict(), "criterion": "f1", "classes": classes}


def choose_class_thresholds(
    probability: Floats,
    truth: Bools,
    names: Sequence[str],
    *,
    min_positives: int = MIN_POSITIVES,
    source: str = "validation",
) -> ClassChoices:
    """The thresholds of best F1, in steps of 0.001, each in the middle of its plateau.

    A class with fewer than `min_positives` positives (or none left over as negatives) takes the
    shared threshold: that of the best F1 over all pairs of picture and class.

    Args:
        probability: (N, K), 0 to 1.
        truth: (N, K).
        names: K names.
        min_positives: See above.
        source: What they are chosen on.
    """
    histograms = [_histogram(probability[:, k], truth[:, k]) for k in range(len(names))]
    pooled = sum(histograms[1:], histograms[0]) if histograms else ProbabilityHistogram()
    shared = pooled.choose_threshold("dice", default=DEFAULT_THRESHOLD, source=source)
    classes = []
    for name, histogram in zip(names, histograms, strict=True):
        own = histogram.choose_threshold("dice", source=source)
        enough = histogram.positives >= min_positives and histogram.negatives > 0
        tuned = enough and own.status is ThresholdStatus.TUNED
        value = own.value if tuned else shared.value
        score = histogram.counts_at(value).dice if histogram.positives else float("nan")
        status = TUNED if tuned else SHARED
        classes.append(ClassChoice(name, value, status, histogram.positives, score))
    return ClassChoices(shared, tuple(classes))


def _histogram(probability: Floats, truth: Bools) -> ProbabilityHistogram:
    histogram = ProbabilityHistogram()
    histogram.update(probability, truth.astype(np.uint8))
    return histogram

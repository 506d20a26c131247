"""Choosing the threshold from a curve, with the cases where there is nothing to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np

from faultline.errors import ConfigError
from faultline.metrics.curves import Curve
from faultline.metrics.inputs import Bools
from faultline.types import check_threshold

DEFAULT_THRESHOLD = 0.5

Criterion = Literal["iou", "dice", "percentile"]


class ThresholdStatus(StrEnum):
    """How a threshold came to be."""

    TUNED = "tuned"
    """The criterion was best there."""
    NO_PIXELS = "no_pixels"
    """Nothing was seen; the value is the default."""
    NO_POSITIVES = "no_positives"
    """The truth holds no positive pixel, so no threshold is better; the value is the default."""
    NO_PREDICTIONS = "no_predictions"
    """No pixel reaches even the lowest threshold; the value is the default."""
    NO_OVERLAP = "no_overlap"
    """Painted pixels never meet the truth at any threshold; the value is the default."""
    BY_HAND = "by_hand"
    """A person set it."""


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """A threshold and where it comes from, as stored in a bundle.

    Attributes:
        value: The threshold; a pixel is foreground when probability >= value.
        criterion: What was maximised ("iou", "dice"), or "percentile", or "none" by hand.
        score: IoU or Dice there, for a percentile the share of pixels painted; NaN if not tuned.
        status: See `ThresholdStatus`.
        source: The data that it was chosen on, such as "validation".
    """

    value: float
    criterion: str
    score: float
    status: ThresholdStatus
    source: str

    @classmethod
    def by_hand(cls, value: float, source: str = "user") -> ThresholdChoice:
        """A threshold that a person set.

        Raises:
            ConfigError: It does not lie in (0, 1).
        """
        check_threshold(value)
        return cls(value, "none", float("nan"), ThresholdStatus.BY_HAND, source)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; a score that is not defined becomes None."""
        return {
            "value": self.value,
            "criterion": self.criterion,
            "score": None if np.isnan(self.score) else self.score,
            "status": self.status.value,
            "source": self.source,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ThresholdChoice:
        """Inverse of `to_dict`."""
        score = float("nan") if values["score"] is None else float(values["score"])
        status = ThresholdStatus(values["status"])
        return cls(float(values["value"]), values["criterion"], score, status, values["source"])


def choose_threshold(
    curve: Curve,
    criterion: Criterion = "iou",
    *,
    percentile: float = 95.0,
    default: float = DEFAULT_THRESHOLD,
    source: str = "validation",
) -> ThresholdChoice:
    """Best threshold of a curve, strictly between 0 and 1.

    "iou" and "dice" take the maximum, in the middle of the longest plateau of equal best scores.
    "percentile" needs no labels: it takes the lowest threshold that paints at most
    100 - `percentile` % of the pixels, in the middle of the run that paints the same.

    Raises:
        ConfigError: Unknown criterion, percentile outside (0, 100), default outside (0, 1).
    """
    check_threshold(default)
    if criterion not in ("iou", "dice", "percentile"):
        raise ConfigError(f"unknown criterion {criterion!r}", remedy="use iou, dice or percentile")
    if not 0.0 < percentile < 100.0:
        raise ConfigError(f"percentile {percentile!r} does not lie between 0 and 100")
    status = _obstacle(curve, criterion)
    if status is not None:
        return ThresholdChoice(default, criterion, float("nan"), status, source)
    share = curve.share_predicted
    scores = {"iou": curve.iou, "dice": curve.dice, "percentile": share}[criterion]
    inner = scores[1:-1]
    if criterion == "percentile":
        few = np.flatnonzero(inner <= (100.0 - percentile) / 100.0)
        goal = inner[few[0]] if few.size else inner[-1]
    else:
        goal = np.nanmax(inner)
    index = 1 + _plateau_middle(inner == goal)
    value = float(curve.threshold[index])
    return ThresholdChoice(value, criterion, float(goal), ThresholdStatus.TUNED, source)


def _obstacle(curve: Curve, criterion: Criterion) -> ThresholdStatus | None:
    """Why there is nothing to choose from, if so."""
    if curve.tp[0] + curve.fp[0] + curve.fn[0] + curve.tn[0] == 0:
        return ThresholdStatus.NO_PIXELS
    if criterion != "percentile" and curve.tp[0] + curve.fn[0] == 0:
        return ThresholdStatus.NO_POSITIVES
    # Index 1 is the lowest threshold above 0: what does not reach it is painted nowhere.
    if curve.tp[1] + curve.fp[1] == 0:
        return ThresholdStatus.NO_PREDICTIONS
    if criterion != "percentile" and curve.tp[1] == 0:
        return ThresholdStatus.NO_OVERLAP
    return None


def _plateau_middle(best: Bools) -> int:
    """Middle index of the longest run of True; the first such run where two are as long."""
    steps = np.diff(np.concatenate([[0], best.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    longest = int(np.argmax(ends - starts))
    return int(starts[longest] + ends[longest] - 1) // 2

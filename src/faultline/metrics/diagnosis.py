"""Why is the IoU zero? Verdicts on a model's predictions, from their histogram alone.

Pure functions: nothing here runs a model or reads a file. The questions are those a person asks
of a training run whose pixel accuracy is 90 % and whose IoU is 0: what range do the predictions
have, how much of the labels and of the predictions is positive, are the masks what they should
be, and would another threshold have done?
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from faultline.errors import ConfigError, ContractError
from faultline.metrics import ratios
from faultline.metrics.curves import Curve
from faultline.metrics.histogram import ProbabilityHistogram
from faultline.metrics.inputs import Floats
from faultline.metrics.thresholds import DEFAULT_THRESHOLD
from faultline.metrics.verdicts import Verdict, judge, number, percent
from faultline.types import check_threshold

SWEEP = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Thresholds of the table that a diagnosis shows."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, most fundamental first, and the facts that it was judged by.

    Attributes:
        verdicts: At least one; only `healthy` if nothing is wrong.
        facts: Plain values for JSON: shares, ranges, IoU here and at the best threshold, the
            `sweep` table, and whatever was passed in.
    """

    verdicts: list[Verdict]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def codes(self) -> list[str]:
        """Codes of the verdicts, in order."""
        return [verdict.code for verdict in self.verdicts]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        named = [
            {"code": v.code, "sentence": v.sentence, "advice": v.advice} for v in self.verdicts
        ]
        return {"verdicts": named, "facts": self.facts}

    def text(self) -> str:
        """The diagnosis for a console, without colours; lines of up to about 100 characters."""
        lines = ["Diagnosis of the predictions"]
        for verdict in self.verdicts:
            lines += [f"  * {verdict.sentence} [{verdict.code}]", f"    Try: {verdict.advice}"]
        return "\n".join(lines + _fact_lines(self.facts) + _sweep_lines(self.facts))


def diagnose(
    histogram: ProbabilityHistogram,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    mask_values: Iterable[int] | None = None,
    label_share: float | None = None,
    loss: str | None = None,
    loss_settings: Mapping[str, Any] | None = None,
    learning_rate: float | None = None,
    epoch: int | None = None,
    shift: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Judge predictions against labels.

    Args:
        histogram: Probabilities by truth, of validation images.
        threshold: The one in use; judged at the nearest step of the histogram.
        mask_values: Values found in the mask files as they are on disk.
        label_share: Share of positive pixels in the training labels, if known.
        loss: Name of the loss, for the advice.
        loss_settings: Its settings, for the record.
        learning_rate: For the advice.
        epoch: For the record.
        shift: As `metrics.shift.Shift.to_dict`, where it was looked for.

    Raises:
        ConfigError: Threshold outside (0, 1).
    """
    check_threshold(threshold)
    facts = _facts(histogram, threshold)
    given: dict[str, Any] = {
        "mask_values": None if mask_values is None else sorted(int(v) for v in set(mask_values)),
        "training_label_share": label_share,
        "loss": loss,
        "loss_settings": None if loss_settings is None else dict(loss_settings),
        "learning_rate": learning_rate,
        "epoch": epoch,
        "shift": None if shift is None else dict(shift),
    }
    facts |= {name: value for name, value in given.items() if value is not None}
    return Diagnosis(judge(facts), facts)


def foreground_is_dead(
    iou_history: Sequence[float], share_predicted_history: Sequence[float], patience: int = 3
) -> bool:
    """Whether each of the last `patience` epochs found no foreground at all.

    An epoch is dead when its IoU is 0 or not defined (NaN), or when nothing crossed the
    threshold. With fewer epochs than `patience` the answer is no.

    Args:
        iou_history: Foreground IoU by epoch.
        share_predicted_history: Share of pixels painted, by epoch.
        patience: Number of epochs.

    Raises:
        ConfigError: `patience` below 1.
        ContractError: Histories of different lengths.
    """
    if patience < 1:
        raise ConfigError(f"patience={patience} is below 1")
    if len(iou_history) != len(share_predicted_history):
        raise ContractError(
            f"{len(iou_history)} IoU values and {len(share_predicted_history)} shares differ"
        )
    if len(iou_history) < patience:
        return False
    recent = list(zip(iou_history, share_predicted_history, strict=True))[-patience:]
    return all(not iou > 0 or not share > 0 for iou, share in recent)


def inverted_iou(histogram: ProbabilityHistogram) -> Floats:
    """(bins - 1,) IoU of the foreground p < k/bins, for k = 1..bins - 1: the opposite decision."""
    below = histogram.counts.cumsum(axis=1)[:, :-2]
    return ratios.iou(below[1], below[0], histogram.positives - below[1])


def _facts(histogram: ProbabilityHistogram, threshold: float) -> dict[str, Any]:
    curve = histogram.curve()
    counts = histogram.counts_at(threshold, nearest=True)
    best = histogram.choose_threshold("iou")
    pixels = histogram.pixels
    return {
        "pixels": pixels,
        "ignored_pixels": histogram.ignored,
        "nan_pixels": int(histogram.nan.sum()),
        "label_share": float(ratios.ratio(histogram.positives, pixels)),
        "low": histogram.low,
        "high": histogram.high,
        "mean": histogram.mean,
        "threshold": threshold,
        "predicted_share": float(ratios.ratio(counts.predicted_positive, pixels)),
        "iou": counts.iou,
        "pixel_accuracy": counts.pixel_accuracy,
        "best_threshold": best.value,
        "best_iou": best.score,
        "best_status": best.status.value,
        "inverted_iou": float(np.nan_to_num(inverted_iou(histogram)).max()),
        "average_precision": histogram.average_precision(),
        "sweep": _sweep(curve, histogram.bins),
    }


def _sweep(curve: Curve, bins: int) -> list[dict[str, float]]:
    indices = sorted({round(threshold * bins) for threshold in SWEEP} - {0, bins})
    columns = {
        "threshold": curve.threshold,
        "predicted_share": curve.share_predicted,
        "iou": curve.iou,
        "dice": curve.dice,
        "precision": curve.precision,
        "recall": curve.recall,
    }
    return [{name: float(values[i]) for name, values in columns.items()} for i in indices]


def _fact_lines(facts: dict[str, Any]) -> list[str]:
    values, trained = facts.get("mask_values"), facts.get("training_label_share")
    settings = [
        f"{name.replace('_', ' ')} {facts[name]}"
        for name in ("epoch", "loss", "loss_settings", "learning_rate")
        if name in facts
    ]
    lines = [
        "",
        f"Predictions  {number(facts['low'])} to {number(facts['high'])}, "
        f"mean {number(facts['mean'])}; "
        f"{percent(facts['predicted_share'])} of the pixels reach {facts['threshold']:g}",
        f"Labels       {percent(facts['label_share'])} positive of {facts['pixels']:,} pixels, "
        f"{facts['ignored_pixels']:,} more ignored"
        + (f"; {percent(trained)} in training" if trained is not None else "")
        + (f"; values in mask files {_some(values)}" if values is not None else ""),
        f"IoU          {number(facts['iou'])} at {facts['threshold']:g}; "
        f"best {number(facts['best_iou'])} "
        f"at {facts['best_threshold']:g} ({facts['best_status']})",
    ]
    return lines + ([f"Settings     {', '.join(settings)}"] if settings else [])


def _some(values: list[int]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")


def _sweep_lines(facts: dict[str, Any]) -> list[str]:
    head = f"{'threshold':>9} {'painted':>9} {'IoU':>7} {'Dice':>7} {'precision':>9} {'recall':>7}"
    rows = [
        f"{row['threshold']:>9g} {percent(row['predicted_share']):>9} {number(row['iou']):>7} "
        f"{number(row['dice']):>7} {number(row['precision']):>9} {number(row['recall']):>7}"
        for row in facts["sweep"]
    ]
    return ["", head, *rows]

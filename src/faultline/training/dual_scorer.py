"""Scores of both heads: mean IoU over channels, and how well pictures are named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import Threshold
from faultline.data.dual_dataset import DualBatch
from faultline.metrics import (
    ClassificationScorer,
    ClassificationScores,
    ProbabilityHistogram,
    choose_class_thresholds,
)
from faultline.predict.class_predictor import ClassPredictor
from faultline.predict.dual_head import classes_of, masks_of
from faultline.predict.predictor import Predictor
from faultline.training.dual_task import DualHeadTask
from faultline.training.selection import ValidationScorer
from faultline.training.task import TrainingTask
from faultline.types import LabelKind, LabelSpace

_LEAST = 1e-6


def class_score(scores: ClassificationScores) -> float:
    """What rollback and selection go by: accuracy, or mean average precision of several labels."""
    summary = scores.summary()
    exclusive = scores.kind is LabelKind.MULTICLASS
    return summary["subset_accuracy" if exclusive else "macro_average_precision"]


def class_score_name(space: LabelSpace) -> str:
    """Name of `class_score`, for people."""
    return "accuracy" if space.kind is LabelKind.MULTICLASS else "mean average precision"


@final
class DualScorer(ValidationScorer):
    """Scores masks at one threshold for all channels, and classes at one for each.

    `score`, by which epochs are compared, is the mean of mean IoU and of `class_score`, weighted as
    the losses of the phase are.

    Args:
        phase: Name of the phase, kept in the bundle.
        mask_space: Channels of masks.
        label_space: Classes of whole pictures.
        threshold: `auto`, or a number set by hand for masks and classes.
        precision: Number format of the predictors, as resolved for training.
        min_positives: Positives from which a class has a threshold of its own.
        weights: Of masks and of classes.
    """

    metric = "score"

    def __init__(
        self,
        phase: str,
        mask_space: LabelSpace,
        label_space: LabelSpace,
        threshold: str | float,
        precision: str,
        min_positives: int,
        weights: tuple[float, float],
    ) -> None:
        self.phase = phase
        self.mask_space, self.label_space = mask_space, label_space
        self.threshold, self.precision = threshold, precision
        self.min_positives = min_positives
        self.weights = weights
        self.start()

    def start(self) -> None:
        """Start counting anew."""
        self.channels = [ProbabilityHistogram() for _ in self.mask_space.names]
        self.classes = ClassificationScorer(self.label_space.names, self.label_space.kind)

    @property
    def histogram(self) -> ProbabilityHistogram:
        """All channels but a background together, for the guard of dead foreground."""
        own = self.channels[self.mask_space.first :]
        return sum(own[1:], start=own[0])

    def equip(self, task: TrainingTask, bundle: Bundle) -> None:
        """Predictors of the weights to be scored."""
        assert isinstance(task, DualHeadTask)
        task.mask_predictor = Predictor(masks_of(bundle), task.device, self.precision)
        task.class_predictor = ClassPredictor(classes_of(bundle), task.device, self.precision)

    def count(self, task: TrainingTask, outputs: Any, batch: DualBatch) -> None:
        """Count the answers of one batch."""
        masks, classes = outputs["masks"], outputs["classes"]
        truth = batch.mask.cpu().numpy()
        for index, channel in enumerate(self.channels):
            channel.update(masks[:, index].clamp(0, 1).numpy(), truth[:, index])
        self.classes.update(classes.numpy(), batch.target.cpu().numpy())

    def release(self, task: TrainingTask) -> None:
        """Drop the predictors."""
        assert isinstance(task, DualHeadTask)
        task.mask_predictor = task.class_predictor = None

    def choose(self) -> Threshold:
        """Of masks the one of the best mean IoU, of classes that of each; unless set by hand."""
        if self.threshold != "auto":
            return Threshold.by_hand(float(self.threshold), "threshold setting")
        chosen = self._mask_threshold()
        if self.label_space.kind is LabelKind.MULTICLASS:
            return Threshold.from_dict(chosen)
        own = choose_class_thresholds(
            self.classes.probability, self.classes.truth, self.label_space.names,
            min_positives=self.min_positives,
        ).to_dict()  # fmt: skip
        return Threshold.from_dict({**chosen, "classes": own.get("classes", [])})

    def _mask_threshold(self) -> dict[str, Any]:
        if not any(channel.positives for channel in self.channels):
            return {"value": 0.5, "status": "no_positives", "source": "validation"}
        curves = [channel.curve() for channel in self.channels if channel.positives]
        means = np.mean([np.nan_to_num(curve.iou) for curve in curves], axis=0)
        # 0 and 1 are no thresholds. Of equally good ones the middle is taken.
        inner = means[1:-1]
        best = np.flatnonzero(inner >= inner.max() - _LEAST)
        index = 1 + int(best[len(best) // 2])
        return {
            "value": float(curves[0].threshold[index]), "status": "tuned", "source": "validation",
            "criterion": "mean_iou", "score": float(means[index]),
        }  # fmt: skip

    def scores(self, threshold: Threshold) -> dict[str, float]:
        """Mean IoU, scores of classes, and both in `score`."""
        thresholds = [threshold.of(name) for name in self.label_space.names]
        classes = self.classes.scores(thresholds)
        summary, iou = classes.summary(), mean_iou(self.channels, threshold.value)
        named = class_score(classes)
        parts = [(w, s) for w, s in zip(self.weights, (iou, named), strict=True) if w > 0]
        total = sum(weight for weight, _ in parts)
        score = sum(weight * value for weight, value in parts) / total if total else float("nan")
        by_channel = {
            f"iou/{name}": channel.counts_at(threshold.value, nearest=True).iou
            for name, channel in zip(self.mask_space.names, self.channels, strict=True)
            if channel.positives
        }
        return {
            "score": score,
            "iou": iou,
            "class_score": named,
            "accuracy": summary["subset_accuracy"],
            "macro_f1": summary["macro_f1"],
            "macro_average_precision": summary["macro_average_precision"],
            **by_channel,
            **{f"f1/{one.name}": one.f1 for one in classes.classes()},
        }

    def details(self) -> dict[str, Any]:
        """The phase."""
        return {"phase": self.phase}


def mean_iou(channels: Sequence[ProbabilityHistogram], threshold: float) -> float:
    """IoU at `threshold`, averaged over the channels that any pixel shows; NaN for none."""
    shown = [channel for channel in channels if channel.positives]
    if not shown:
        return float("nan")
    return float(np.mean([one.counts_at(threshold, nearest=True).iou for one in shown]))

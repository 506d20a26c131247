"""Scores validations of prompted segmentation, prompt by prompt, and chooses their thresholds."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import ClassThreshold, Threshold
from faultline.config.schema import PromptsConfig
from faultline.data.prompt_dataset import PromptBatch
from faultline.metrics import ProbabilityHistogram
from faultline.metrics.prompt_thresholds import best_iou, choose_together, gives_way
from faultline.metrics.prompted import (
    PromptCounts,
    choose_shared,
    false_answer_rate,
    mean_iou,
)
from faultline.metrics.thresholds import ThresholdChoice, ThresholdStatus
from faultline.predict.prompted import PromptAnswer, PromptPredictor
from faultline.training.prompted_task import PromptedTask
from faultline.training.selection import ValidationScorer
from faultline.training.task import TrainingTask
from faultline.types import IGNORE_INDEX

_FEW = 3
"""Pictures that have to show a class for it to get a threshold of its own."""


@final
class PromptScorer(ValidationScorer):
    """Mean foreground IoU over the classes, each at its own threshold.

    Args:
        threshold: `auto`, or a number set by hand.
        settings: Criterion of the thresholds, and the false answers that are allowed.
        classes: Names of the classes.
        precision: Number format of the predictor, as resolved for training.
    """

    metric = "iou"

    def __init__(
        self,
        threshold: str | float,
        settings: PromptsConfig,
        classes: tuple[str, ...],
        precision: str,
    ) -> None:
        self.threshold, self.settings = threshold, settings
        self.classes, self.precision = classes, precision
        self.counts: dict[str, PromptCounts] = {}
        self._chosen: Threshold | None = None
        self.start()

    @property
    def histogram(self) -> ProbabilityHistogram:
        """Probabilities by truth over every question about something that is shown."""
        merged = ProbabilityHistogram()
        for one in self.counts.values():
            merged = merged + one.present
        return merged

    def start(self) -> None:
        """Start counting anew."""
        self.counts = {name: PromptCounts() for name in self.classes}
        self._chosen = None

    def equip(self, task: TrainingTask, bundle: Bundle) -> None:
        """A predictor of the weights to be scored."""
        assert isinstance(task, PromptedTask)
        task.predictor = PromptPredictor(bundle, task.device, self.precision)
        _share_memory(task, task.predictor)

    def count(self, task: TrainingTask, outputs: list[PromptAnswer], batch: PromptBatch) -> None:
        """Count the answers about one picture."""
        masks = batch.mask[0].cpu().numpy()
        for question, answer, mask in zip(batch.questions[0], outputs, masks, strict=True):
            if question.name is None:
                continue
            # What is shown but ignored everywhere says nothing about either case.
            if question.shown and not ((mask > 0) & (mask != IGNORE_INDEX)).any():
                continue
            self._chosen = None
            self.counts[question.name].update(np.clip(answer.probability, 0, 1), mask)

    def release(self, task: TrainingTask) -> None:
        """Drop the predictor."""
        assert isinstance(task, PromptedTask)
        task.predictor = None

    def choose(self) -> Threshold:
        """One threshold per class and a shared one, tuned on this validation unless set by hand.

        Chosen once a validation: all classes together are a search, and `details` asks again.
        """
        if self._chosen is None:
            self._chosen = self._choose()
        return self._chosen

    def _choose(self) -> Threshold:
        if self.threshold != "auto":
            return Threshold.by_hand(float(self.threshold), "threshold setting")
        limit = self.settings.max_false_rate
        shared = choose_shared(list(self.counts.values()), max_false_rate=limit)
        chosen = Threshold.from_dict(shared.to_dict())
        enough = [name for name in self.classes if self.counts[name].pictures >= _FEW]
        found = (
            choose_together(self.counts, enough, chosen.value, max_false_rate=limit)
            if self.settings.criterion == "iou"
            else {name: self._by_itself(name) for name in enough}
        )
        own = tuple(self._own(name, chosen.value, found.get(name)) for name in self.classes)
        return Threshold(
            chosen.value, chosen.status, chosen.source, chosen.criterion, chosen.score, own
        )

    def _by_itself(self, name: str) -> ThresholdChoice:
        settings = self.settings
        return self.counts[name].choose(settings.criterion, percentile=settings.percentile)

    def _own(self, name: str, shared: float, found: ThresholdChoice | None) -> ClassThreshold:
        pictures = self.counts[name].pictures
        if found is None or found.status is not ThresholdStatus.TUNED:
            return ClassThreshold(name, shared, "shared", pictures)
        return ClassThreshold(name, found.value, "tuned", pictures, found.score)

    def scores(self, threshold: Threshold) -> dict[str, float]:
        """Means over the classes, at `threshold`, at the shared one and at 0.5."""
        own = {name: threshold.of(name) for name in self.classes}
        seen = [name for name, one in self.counts.items() if one.present.positives]
        decided = {name: self.counts[name].counts_at(own[name]) for name in seen}
        return {
            "iou": mean_iou(self.counts, own),
            "dice": _mean([one.dice for one in decided.values()]),
            "precision": _mean([one.precision for one in decided.values()]),
            "recall": _mean([one.recall for one in decided.values()]),
            "iou_shared": mean_iou(self.counts, dict.fromkeys(self.classes, threshold.value)),
            "iou_found": _mean([best_iou(self.counts[name]) for name in seen]),
            "iou_at_0.5": mean_iou(self.counts, dict.fromkeys(self.classes, 0.5)),
            "false_answers": false_answer_rate(self.counts, own),
        }

    def details(self) -> dict[str, Any]:
        """Scores of each class at its threshold and at 0.5, and the best IoU at any."""
        found, chosen = {}, self.choose()
        # Only what was chosen under the limit on false answers can give way to it.
        by_iou = self.settings.criterion == "iou"
        limited = {own.name for own in chosen.classes if by_iou and own.status == "tuned"}
        for name, one in self.counts.items():
            if not one.present.positives:
                continue
            threshold = chosen.of(name)
            found[name] = {
                "pictures": one.pictures,
                "threshold": threshold,
                "iou": one.counts_at(threshold).iou,
                "best_iou": best_iou(one),
                "gives_way": name in limited and gives_way(one, threshold),
                "iou_at_0.5": one.counts_at(0.5).iou,
                "false_answers": one.false_rate_at(threshold),
                "absent_pictures": len(one.absent),
            }
        return {"classes": found}


def _share_memory(task: PromptedTask, predictor: PromptPredictor) -> None:
    """Let the predictor's copy of a frozen backbone use what the trained network remembers."""
    memo = getattr(task.network, "memo", None)
    if memo is not None and hasattr(predictor.network, "memo"):
        predictor.network.memo = memo


def _mean(values: list[float]) -> float:
    defined = [value for value in values if value == value]
    return float(np.mean(defined)) if defined else float("nan")

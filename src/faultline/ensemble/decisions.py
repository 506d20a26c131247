"""From an ensemble's probabilities to decisions and scores: the project's rules, no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from faultline.artifacts.contents import Threshold
from faultline.metrics import ClassificationScores, choose_class_thresholds, decide_classes
from faultline.metrics.inputs import Bools, Floats
from faultline.types import LabelKind, LabelSpace


def choose_threshold(probability: Floats, truth: Bools, space: LabelSpace) -> Threshold:
    """Where validation (N, K) says to cut: one value a class, or the most probable class."""
    if space.kind is LabelKind.MULTICLASS:
        return Threshold(status="most_probable", source="validation")
    choices = choose_class_thresholds(probability, truth, space.names)
    return Threshold.from_dict(choices.to_dict())


def scores_of(
    probability: Floats, truth: Bools, space: LabelSpace, threshold: Threshold
) -> ClassificationScores:
    """The scores of (N, K) answers cut at `threshold`."""
    cuts = [threshold.of(name) for name in space.names]
    decided = decide_classes(probability, space.kind, cuts)
    return ClassificationScores(space.names, space.kind, probability, truth, decided)


@dataclass(frozen=True, slots=True)
class Brief:
    """Two numbers of some answers.

    Attributes:
        accuracy: Share of pictures of which everything that is said is right.
        macro_f1: Mean F1 of the classes.
    """

    accuracy: float
    macro_f1: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1}


def brief(scores: ClassificationScores) -> Brief:
    """Accuracy and macro-F1."""
    summary = scores.summary()
    return Brief(float(summary["subset_accuracy"]), float(np.asarray(summary["macro_f1"])))

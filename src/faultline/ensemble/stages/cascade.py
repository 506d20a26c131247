"""Stage 9: levels that learn only from what all levels before them got wrong.

The document trains a network for each level. Here level 1 is the best member, and each further
level a small head on the frozen logits and embeddings of all members: a handful of hard pictures
is enough for that, and it takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from faultline.ensemble import heads
from faultline.ensemble.stage import EXCLUSIVE, STAGES, Arrays, StageNotPossibleError
from faultline.ensemble.stages.headed import HeadSequence
from faultline.ensemble.tables import Inputs
from faultline.errors import ConfigError
from faultline.metrics.inputs import Bools, Floats, Ints

CONFIDENCES = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01)
"""Values from which a level may be sure enough; 0 ends the cascade there, 1.01 never answers."""
MOST_LEVELS = 5
_FEWEST = 12
"""Hard pictures from which a level is worth fitting."""


@STAGES.register("cascade")
@final
class Cascade(HeadSequence):
    """The first level that is sure enough answers; the last answers what is left.

    Args:
        levels: At most this many, 2 to 5.
        seed: Seed.
    """

    number, name = 9, "cascade"
    epochs, part = 60, "level"
    kinds = EXCLUSIVE

    def __init__(self, levels: int = MOST_LEVELS, seed: int = 42) -> None:
        super().__init__(seed)
        if not 2 <= levels <= MOST_LEVELS:
            raise ConfigError(f"levels={levels} is not 2 to {MOST_LEVELS}")
        self.levels = levels
        self.first = 0
        self.confidences: list[float] = []
        self.hard: list[int] = []

    def settings(self) -> dict[str, Any]:
        """Levels and seed."""
        return {"levels": self.levels, "seed": self.seed}

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        labels = train.rows.truth.argmax(axis=1)
        right = _named(valid.probability) == valid.rows.truth.argmax(axis=1)[:, None]
        self.first = int(right.mean(axis=0).argmax())
        hard = _named(train.probability[:, self.first]) != labels
        self.heads, self.hard = [], []
        while len(self.heads) + 1 < self.levels and _worth(hard, labels, train.rows.folds):
            self.hard.append(int(hard.sum()))
            wrong = self._level(train, valid, hard)
            left = hard.copy()
            left[hard] = wrong
            if left.sum() == hard.sum():
                break  # it gets none of them right: another level would be given the same
            hard = left
        if not self.heads:
            raise StageNotPossibleError(
                f"{train.members[self.first]} has {int(hard.sum())} errors out of fold, too few of "
                f"several classes to learn from (at least {_FEWEST})"
            )
        self._choose(valid)

    def _level(self, train: Inputs, valid: Inputs, hard: Bools) -> Bools:
        """Add a level fitted on the hard rows; (H,) which of them it gets wrong out of fold."""
        rows, truth = heads.all_features(train)[hard], train.rows.truth[hard]
        folds, choose = train.rows.folds[hard], (heads.all_features(valid), valid.rows.truth)
        found = self._out_of_fold((rows, truth), folds, choose)
        self.heads.append(self._fitted((rows, truth), choose))
        wrong: Bools = _named(found) != truth.argmax(axis=1)
        return wrong

    def _choose(self, valid: Inputs) -> None:
        """Confidences by validation accuracy: every level's in turn, until none moves."""
        answers = self._answers(valid)
        labels = valid.rows.truth.argmax(axis=1)
        self.confidences = [0.0] * (len(answers) - 1)
        best = _right(cascaded(answers, self.confidences), labels)
        moved = True
        while moved:
            moved = False
            for level in range(len(self.confidences)):
                for value in CONFIDENCES:
                    trial = [*self.confidences]
                    trial[level] = value
                    score = _right(cascaded(answers, trial), labels)
                    if score > best:
                        best, self.confidences, moved = score, trial, True

    def _answers(self, inputs: Inputs) -> list[Floats]:
        """(N, K) of each level."""
        rows = heads.all_features(inputs)
        first = inputs.probability[:, self.first]
        return [first, *(heads.answer(head, rows, inputs.kind) for head in self.heads)]

    def _predict(self, inputs: Inputs) -> Floats:
        return cascaded(self._answers(inputs), self.confidences)

    def facts(self) -> dict[str, Any]:
        """First member, confidences, and hard pictures of each further level."""
        return {"first": self.first, "confidences": self.confidences, "hard": self.hard}

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Take them back."""
        self.first, self.hard = int(facts["first"]), [int(one) for one in facts["hard"]]
        self.confidences = [float(one) for one in facts["confidences"]]
        self._restore_heads(arrays, len(self.hard))


def cascaded(answers: list[Floats], confidences: list[float]) -> Floats:
    """(N, K) of the first level whose highest probability reaches its confidence, else the last."""
    found = answers[-1].copy()
    for answer, confidence in zip(answers[-2::-1], confidences[::-1], strict=True):
        sure = answer.max(axis=1) >= confidence
        found[sure] = answer[sure]
    return found


def _worth(hard: Bools, labels: Ints, folds: Ints) -> bool:
    """Whether the hard rows are enough, of several classes, and not all of one fold."""
    several = len(np.unique(labels[hard])) > 1 and len(np.unique(folds[hard])) > 1
    return int(hard.sum()) >= _FEWEST and several


def _named(probability: Floats) -> Ints:
    found: Ints = probability.argmax(axis=-1)
    return found


def _right(answers: Floats, labels: Ints) -> float:
    return float((_named(answers) == labels).mean())

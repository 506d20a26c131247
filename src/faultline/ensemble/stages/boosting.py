"""Stage 10: rounds that weigh up what was wrong out of fold (SAMME, Zhu et al. 2009, algorithm 2).

The document trains a network in each round. Here a round is a small head on the frozen logits
and embeddings of all members.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from faultline.ensemble import heads
from faultline.ensemble.heads import Features
from faultline.ensemble.stage import EXCLUSIVE, STAGES, Arrays, StageNotPossibleError
from faultline.ensemble.stages.headed import HeadSequence, Labelled
from faultline.ensemble.tables import Inputs
from faultline.errors import ConfigError
from faultline.metrics.inputs import Bools, Floats

FEWEST, MOST = 5, 10


@STAGES.register("boosting")
@final
class Boosting(HeadSequence):
    """A mean of the rounds' probabilities, weighted by how little each errs out of fold.

    How many of the rounds take part is chosen on validation.

    Args:
        rounds: 5 to 10.
        seed: Seed.
    """

    number, name = 10, "boosting"
    epochs, part = 40, "round"
    kinds = EXCLUSIVE

    def __init__(self, rounds: int = 6, seed: int = 42) -> None:
        super().__init__(seed)
        if not FEWEST <= rounds <= MOST:
            raise ConfigError(f"rounds={rounds} is not {FEWEST} to {MOST}")
        self.rounds = rounds
        self.says: list[float] = []
        self.errors: list[float] = []

    def settings(self) -> dict[str, Any]:
        """Rounds and seed."""
        return {"rounds": self.rounds, "seed": self.seed}

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        rows, truth = heads.all_features(train), train.rows.truth
        choose = (heads.all_features(valid), valid.rows.truth)
        classes = truth.shape[1]
        weights = np.full(len(rows), 1 / len(rows))
        self.heads, self.says, self.errors = [], [], []
        for _ in range(self.rounds):
            wrong = self._wrong(train, rows, weights, choose)
            error = float(weights[wrong].sum())
            if error >= 1 - 1 / classes:
                break  # no better than guessing on what is left: SAMME ends here
            self.errors.append(error)
            self.says.append(say_of(error, classes))
            self.heads.append(self._fitted((rows, truth), choose, weights))
            if not wrong.any():
                break
            weights = reweighted(weights, wrong, self.says[-1])
        if not self.heads:
            raise StageNotPossibleError(
                f"the first round errs in {error:.0%} out of fold, no better than guessing"
            )
        self._choose(valid)

    def _wrong(self, train: Inputs, rows: Features, weights: Floats, choose: Labelled) -> Bools:
        """(N,) rows that the round gets wrong out of fold."""
        truth = train.rows.truth
        found = self._out_of_fold((rows, truth), train.rows.folds, choose, weights)
        wrong: Bools = found.argmax(axis=1) != truth.argmax(axis=1)
        return wrong

    def _choose(self, valid: Inputs) -> None:
        """Keep the first rounds, as many as validation accuracy is best with."""
        labels = valid.rows.truth.argmax(axis=1)
        answers = self._answers(valid)
        scores = [
            float((_mixed(answers[:count], self.says[:count]).argmax(axis=1) == labels).mean())
            for count in range(1, len(answers) + 1)
        ]
        kept = int(np.argmax(scores)) + 1
        self.heads, self.says = self.heads[:kept], self.says[:kept]

    def _answers(self, inputs: Inputs) -> list[Floats]:
        rows = heads.all_features(inputs)
        return [heads.answer(head, rows, inputs.kind) for head in self.heads]

    def _predict(self, inputs: Inputs) -> Floats:
        return _mixed(self._answers(inputs), self.says)

    def facts(self) -> dict[str, Any]:
        """Say of each round that is kept, and weighted error of each that was made."""
        return {"says": self.says, "errors": self.errors}

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Take them back."""
        self.says = [float(one) for one in facts["says"]]
        self.errors = [float(one) for one in facts["errors"]]
        self._restore_heads(arrays, len(self.says))


def say_of(error: float, classes: int) -> float:
    """log((1 - error) / error) + log(K - 1): above 0 where a round beats guessing (eq. 2)."""
    error = min(max(error, 1e-6), 1 - 1e-6)
    return float(np.log((1 - error) / error) + np.log(max(classes - 1, 1)))


def reweighted(weights: Floats, wrong: Bools, say: float) -> Floats:
    """(N,) weights with those of wrong rows times exp(say), with a sum of 1."""
    # A round without a single error would give weights that nothing comes back from.
    new: Floats = weights * np.exp(min(say, 10.0) * wrong)
    total: Floats = new / new.sum()
    return total


def _mixed(answers: list[Floats], says: list[float]) -> Floats:
    found: Floats = np.average(np.stack(answers), axis=0, weights=says)
    return found

"""Stages 1 and 2: single members, and votes of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch

from faultline.ensemble.stage import STAGES, Arrays, Stage
from faultline.ensemble.tables import Inputs
from faultline.errors import ConfigError
from faultline.metrics import choose_class_thresholds, decide_classes
from faultline.metrics.inputs import Bools, Floats
from faultline.predict.probability import to_probability
from faultline.types import LabelKind

_EM_STEPS = 5000
_TINY = 1e-12


@STAGES.register("individual")
@final
class Individual(Stage):
    """One member's answers as they are.

    Args:
        member: Its position.
    """

    number, name = 1, "individual"

    def __init__(self, member: int = 0) -> None:
        super().__init__()
        if member < 0:
            raise ConfigError(f"member={member} is below 0")
        self.member = member

    def settings(self) -> dict[str, Any]:
        """Which member."""
        return {"member": self.member}

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        if self.member >= len(train.members):
            raise ConfigError(f"member={self.member}, and there are {len(train.members)}")

    def _predict(self, inputs: Inputs) -> Floats:
        return inputs.probability[:, self.member]


@STAGES.register("hard_voting")
@final
class HardVoting(Stage):
    """The share of members that name a class; a tie goes by mean probability.

    Several classes a picture: a member names a class above a threshold chosen on validation, one
    for each member and class.
    """

    number, name = 2, "hard_voting"

    def __init__(self) -> None:
        super().__init__()
        self.cuts = np.zeros((0, 0))

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        members, classes = train.probability.shape[1:]
        self.cuts = np.full((members, classes), 0.5)
        if train.kind is LabelKind.MULTICLASS:
            return
        names = [str(index) for index in range(classes)]
        for member in range(members):
            found = choose_class_thresholds(valid.probability[:, member], valid.rows.truth, names)
            self.cuts[member] = [one.value for one in found.classes]

    def _predict(self, inputs: Inputs) -> Floats:
        votes = member_votes(inputs, self.cuts).mean(axis=1)
        # Less than one vote, so that it only decides between equals.
        weight = 0.5 / len(inputs.members)
        found: Floats = (votes + weight * inputs.probability.mean(axis=1)) / (1 + weight)
        return found

    def arrays(self) -> Arrays:
        """Thresholds (M, K)."""
        return {"cuts": self.cuts}

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Take the thresholds back."""
        self.cuts = arrays["cuts"]


@STAGES.register("soft_voting")
@final
class SoftVoting(Stage):
    """The mean of the members' probabilities."""

    number, name = 2, "soft_voting"

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        """Nothing to learn."""

    def _predict(self, inputs: Inputs) -> Floats:
        found: Floats = inputs.probability.mean(axis=1)
        return found


@STAGES.register("weighted_voting")
@final
class WeightedVoting(Stage):
    """A weighted mean of the members' probabilities, by weights that suit the training labels best.

    Weights of fixed distributions in a mixture: the likelihood has one maximum, and expectation
    maximisation (Dempster et al. 1977) climbs to it.
    """

    number, name = 2, "weighted_voting"

    def __init__(self) -> None:
        super().__init__()
        self.weights = np.zeros(0)

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        self.weights = mixture_weights(_likelihood(train))

    def _predict(self, inputs: Inputs) -> Floats:
        return weighted_mean(inputs, self.weights)

    def facts(self) -> dict[str, Any]:
        """Weights of the members."""
        return {"weights": self.weights.tolist()}

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Take the weights back."""
        self.weights = np.array(facts["weights"])


@STAGES.register("logit_voting")
@final
class LogitVoting(Stage):
    """The mean of the members' logits: a product of experts (Hinton 2002), a sure no counts."""

    number, name = 2, "logit_voting"

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        """Nothing to learn."""

    def _predict(self, inputs: Inputs) -> Floats:
        mean = torch.from_numpy(inputs.logits.mean(axis=1))
        return to_probability(mean, inputs.kind).double().numpy()


def weighted_mean(inputs: Inputs, weights: Floats) -> Floats:
    """(N, K) mean of the members' probabilities by (M,) weights with a sum of 1."""
    found: Floats = np.einsum("nmk,m->nk", inputs.probability, weights)
    return found


def member_votes(inputs: Inputs, cuts: Floats) -> Bools:
    """(N, M, K) which member names which class; `cuts` (M, K) where a picture may show several."""
    rows = [
        decide_classes(inputs.probability[:, member], inputs.kind, cuts[member].tolist())
        for member in range(len(inputs.members))
    ]
    return np.stack(rows, axis=1)


def mixture_weights(likelihood: Floats) -> Floats:
    """(M,) weights that make (J, M) likelihoods of J observations most probable together."""
    count = likelihood.shape[1]
    weights: Floats = np.full(count, 1 / count)
    for _ in range(_EM_STEPS):
        share = likelihood * weights
        new: Floats = (share / share.sum(axis=1, keepdims=True)).mean(axis=0)
        done = np.abs(new - weights).max() < 1e-9
        weights = new
        if done:
            break
    return weights


def _likelihood(inputs: Inputs) -> Floats:
    """(J, M) probability that each member gives to what is so: of a picture, or of each class."""
    truth = inputs.rows.truth[:, None, :]
    if inputs.kind is LabelKind.MULTICLASS:
        found: Floats = (inputs.probability * truth).sum(axis=2)
    else:
        right = np.where(truth, inputs.probability, 1 - inputs.probability)
        found = right.transpose(0, 2, 1).reshape(-1, len(inputs.members))
    return np.clip(found, _TINY, None)

"""Stage 8: a member's vote weighs as much as its masks are worth on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from faultline.ensemble.stage import STAGES, Arrays, Stage, StageNotPossibleError
from faultline.ensemble.stages.voting import weighted_mean
from faultline.ensemble.tables import Inputs
from faultline.errors import ConfigError
from faultline.metrics.inputs import Floats


@STAGES.register("segmentation_voting")
@final
class SegmentationVoting(Stage):
    """A mean of the members' probabilities, weighted by the IoU of their masks.

    A member that looks at the background gets masks wrong, and its answers count less. The
    weights are fixed once they are taken; nothing is learnt.

    Args:
        ious: Mean IoU of each member's masks on validation; None for one without a mask head,
            which does not vote.
    """

    number, name = 8, "segmentation_voting"

    def __init__(self, ious: Sequence[float | None] = ()) -> None:
        super().__init__()
        if any(one is not None and not 0 <= one <= 1 for one in ious):
            raise ConfigError(f"ious={list(ious)} are not all between 0 and 1")
        self.ious = list(ious)
        self.weights = np.zeros(0)

    def settings(self) -> dict[str, Any]:
        """The IoU of each member."""
        return {"ious": self.ious}

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        if len(self.ious) != len(train.members) or all(one is None for one in self.ious):
            raise StageNotPossibleError(
                "none of the base models has a mask head, so there is no IoU to weigh them by",
                remedy="it needs base models that outline as well as classify",
            )
        raw = np.array([one or 0.0 for one in self.ious])
        if raw.sum() <= 0:
            raise StageNotPossibleError("no member's masks overlap with the truth at all (IoU 0)")
        self.weights = raw / raw.sum()

    def _predict(self, inputs: Inputs) -> Floats:
        return weighted_mean(inputs, self.weights)

    def facts(self) -> dict[str, Any]:
        """Weights of the members."""
        return {"weights": self.weights.tolist()}

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Take the weights back."""
        self.weights = np.array(facts["weights"])

"""Stage 6: a learner on the outputs of stages 1 to 5, themselves out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import numpy as np

from faultline.ensemble.heads import Features
from faultline.ensemble.stage import (
    STAGES,
    Arrays,
    Stage,
    StageNotPossibleError,
    crossfit,
    describe,
    load_stage,
    part_of,
    under,
)
from faultline.ensemble.stages.stacking import Logistic
from faultline.ensemble.tables import Inputs, logits_of
from faultline.metrics.inputs import Floats
from faultline.types import LabelKind

_DEFAULT = ("soft_voting", "logit_voting", "stacking_logistic")


@STAGES.register("meta_learner")
@final
class MetaLearner(Stage):
    """Logistic regression on what the stages before it answer.

    Each part is fitted once for every fold, on the other folds, and answers that fold: these
    answers the learner is fitted on. For new pictures each part is fitted on all of training.

    Args:
        parts: `name` and `settings` of each stage whose output is combined.
    """

    number, name = 6, "meta_learner"

    def __init__(self, parts: Sequence[Mapping[str, Any]] | None = None) -> None:
        super().__init__()
        given = [{"name": name, "settings": {}} for name in _DEFAULT] if parts is None else parts
        self.parts = [dict(part) for part in given]
        self.stages: list[Stage] = []
        self.learner = Logistic()

    def settings(self) -> dict[str, Any]:
        """The parts."""
        return {"parts": self.parts}

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        if not self.parts:
            raise StageNotPossibleError("there is no stage before it to combine")
        builders = [partial(STAGES.build, part["name"], **part["settings"]) for part in self.parts]
        honest = [crossfit(build, train, valid) for build in builders]
        self.stages = [build() for build in builders]
        for stage in self.stages:
            stage.fit(train, valid)
        chosen = [stage.predict(valid) for stage in self.stages]
        self.learner.fit(
            (_beside(honest, train.kind), train.rows.truth),
            (_beside(chosen, train.kind), valid.rows.truth),
            train.kind,
        )

    def _predict(self, inputs: Inputs) -> Floats:
        found = [stage.predict(inputs) for stage in self.stages]
        return self.learner.probability(_beside(found, inputs.kind), inputs.kind)

    def facts(self) -> dict[str, Any]:
        """The penalty that validation chose, and the parts as they were fitted."""
        return {
            "strength": self.learner.strength,
            "stages": [describe(stage) for stage in self.stages],
        }

    def arrays(self) -> Arrays:
        """The learner's, and those of every part."""
        found = under("learner", self.learner.arrays())
        for number, stage in enumerate(self.stages):
            found |= under(f"part{number}", stage.arrays())
        return found

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Take them back."""
        self.learner.restore(part_of(arrays, "learner"), float(facts["strength"]))
        self.stages = [
            load_stage(description, part_of(arrays, f"part{number}"))
            for number, description in enumerate(facts["stages"])
        ]


def _beside(answers: Sequence[Floats], kind: LabelKind) -> Features:
    """(N, P K) logits of P answers side by side."""
    return np.concatenate([logits_of(one, kind) for one in answers], axis=1).astype(np.float32)

"""Stage 11: where the members disagree, a referee that has learnt from such pictures alone.

The document trains a network as referee. Here it is a small head on the frozen logits and
embeddings of all members.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from faultline.ensemble import heads
from faultline.ensemble.heads import Head
from faultline.ensemble.stage import EXCLUSIVE, STAGES, Arrays, Stage, StageNotPossibleError
from faultline.ensemble.stages.voting import member_votes
from faultline.ensemble.tables import Inputs
from faultline.errors import ConfigError
from faultline.metrics.inputs import Bools, Floats

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Say of the referee beside the members' mean, of which validation chooses one."""
_FEWEST = 12


@STAGES.register("referee")
@final
class Referee(Stage):
    """The mean of the members where they agree; where they do not, the referee has a say.

    Args:
        disagreement: Share of members against the commonest answer, above which a picture is
            ambiguous.
        seed: Seed.
    """

    number, name = 11, "referee"
    kinds = EXCLUSIVE

    def __init__(self, disagreement: float = 0.4, seed: int = 42) -> None:
        super().__init__()
        if not 0 <= disagreement < 1:
            raise ConfigError(f"disagreement={disagreement} is not from 0 up to 1")
        self.disagreement, self.seed = disagreement, seed
        self.head: Head | None = None
        self.share = 0.0
        self.ambiguous: dict[str, int] = {}

    def settings(self) -> dict[str, Any]:
        """Limit and seed."""
        return {"disagreement": self.disagreement, "seed": self.seed}

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        hard, choose = self._is_ambiguous(train), self._is_ambiguous(valid)
        self.ambiguous = {"train": int(hard.sum()), "valid": int(choose.sum())}
        truth = train.rows.truth[hard]
        if hard.sum() < _FEWEST or (truth.any(axis=0)).sum() < 2:
            raise StageNotPossibleError(
                f"the members disagree by more than {self.disagreement:g} on {int(hard.sum())} "
                f"training pictures, too few of several classes to learn from (at least {_FEWEST})"
            )
        if not choose.any():
            raise StageNotPossibleError(
                "the members agree on every validation picture, so the referee cannot be judged"
            )
        rows = heads.all_features(valid)[choose], valid.rows.truth[choose]
        self.head = heads.fit_head(
            self._build, (heads.all_features(train)[hard], truth), rows,
            heads.loss_for(train.kind), seed=self.seed,
        )  # fmt: skip
        self._choose(valid.take(choose))

    def _choose(self, valid: Inputs) -> None:
        """The say with the most right answers on ambiguous validation pictures, the least first."""
        labels, found = valid.rows.truth.argmax(axis=1), []
        for share in SHARES:
            self.share = share
            found.append(float((self._predict(valid).argmax(axis=1) == labels).mean()))
        self.share = SHARES[int(np.argmax(found))]

    def _is_ambiguous(self, inputs: Inputs) -> Bools:
        """(N,)."""
        found: Bools = disagreement(inputs) > self.disagreement
        return found

    def _build(self) -> Head:
        assert self.shape is not None
        shape = self.shape
        return heads.mlp(shape.members * (shape.classes + shape.anchors), shape.classes, 32, 0.3)

    def _predict(self, inputs: Inputs) -> Floats:
        assert self.head is not None
        mean: Floats = inputs.probability.mean(axis=1)
        said = heads.answer(self.head, heads.all_features(inputs), inputs.kind)
        share = np.where(self._is_ambiguous(inputs), self.share, 0.0)[:, None]
        mixed: Floats = share * said + (1 - share) * mean
        return mixed

    def facts(self) -> dict[str, Any]:
        """Say of the referee, and ambiguous pictures."""
        return {"share": self.share, "ambiguous": self.ambiguous}

    def arrays(self) -> Arrays:
        """The head."""
        assert self.head is not None
        return heads.kept(self.head)

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Take it back."""
        self.share, self.ambiguous = float(facts["share"]), dict(facts["ambiguous"])
        self.head = heads.restored(self._build(), arrays)


def disagreement(inputs: Inputs) -> Floats:
    """(N,) share of members whose most probable class is not the commonest one."""
    cuts = np.zeros(inputs.probability.shape[1:])
    votes = member_votes(inputs, cuts).sum(axis=1)
    found: Floats = 1 - votes.max(axis=1) / len(inputs.members)
    return found

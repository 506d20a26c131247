"""A stage that is one small network on the members' features: fitted, kept and restored alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from faultline.ensemble import heads
from faultline.ensemble.heads import Features, Head
from faultline.ensemble.stage import Arrays, Shape, Stage
from faultline.ensemble.tables import Inputs
from faultline.metrics.inputs import Floats


class HeadedStage(Stage):
    """Gives features to a head that gives logits.

    Args:
        seed: Seed of weights, order and dropout.
    """

    def __init__(self, seed: int = 42) -> None:
        super().__init__()
        self.seed = seed
        self.head: Head | None = None

    @abstractmethod
    def build(self, shape: Shape) -> Head:
        """The head, with random weights."""

    @abstractmethod
    def features(self, inputs: Inputs) -> Features:
        """What the head is given, (N, ...)."""

    def settings(self) -> dict[str, Any]:
        """The seed."""
        return {"seed": self.seed}

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        self.head = heads.fit_head(
            self._build,
            (self.features(train), train.rows.truth),
            (self.features(valid), valid.rows.truth),
            heads.loss_for(train.kind),
            seed=self.seed,
        )

    def _predict(self, inputs: Inputs) -> Floats:
        assert self.head is not None
        return heads.answer(self.head, self.features(inputs), inputs.kind)

    def arrays(self) -> Arrays:
        """Its tensors."""
        assert self.head is not None
        return heads.kept(self.head)

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Take them back."""
        self.head = heads.restored(self._build(), arrays)

    def _build(self) -> Head:
        assert self.shape is not None
        return self.build(self.shape)

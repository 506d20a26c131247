"""Stages of small networks on the members' features: fitted, kept and restored alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from faultline.ensemble import heads
from faultline.ensemble.heads import Features, Head
from faultline.ensemble.stage import Arrays, Shape, Stage, part_of, under
from faultline.ensemble.tables import Inputs
from faultline.metrics.inputs import Bools, Floats, Ints

Labelled = tuple[Features, Bools]
"""Features of N rows and what they show, (N, K)."""


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


class HeadSequence(Stage):
    """Heads on all features, one after the other, each fitted on what is hard for those before.

    Attributes:
        epochs: Of each head.
        part: What one of them is called where its tensors are kept.
    """

    epochs: ClassVar[int]
    part: ClassVar[str]

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.heads: list[Head] = []

    def _out_of_fold(
        self, train: Labelled, folds: Ints, choose: Labelled, weights: Floats | None = None
    ) -> Floats:
        """(N, K) answers of the next head to its own rows, each by one fitted on other folds."""
        assert self.shape is not None
        (rows, truth), found = train, np.zeros(train[1].shape)
        for fold in np.unique(folds):
            held = folds == fold
            own = None if weights is None else weights[~held]
            head = self._fitted((rows[~held], truth[~held]), choose, own)
            found[held] = heads.answer(head, rows[held], self.shape.kind)
        return found

    def _fitted(self, train: Labelled, choose: Labelled, weights: Floats | None = None) -> Head:
        assert self.shape is not None
        return heads.fit_head(
            self._build, train, choose, heads.loss_for(self.shape.kind),
            seed=self.seed + len(self.heads), weights=weights, epochs=self.epochs,
        )  # fmt: skip

    def _build(self) -> Head:
        assert self.shape is not None
        shape = self.shape
        return heads.mlp(shape.members * (shape.classes + shape.anchors), shape.classes, 32, 0.3)

    def arrays(self) -> Arrays:
        """The heads."""
        found: Arrays = {}
        for number, head in enumerate(self.heads):
            found |= under(f"{self.part}{number}", heads.kept(head))
        return found

    def _restore_heads(self, arrays: Arrays, count: int) -> None:
        self.heads = [
            heads.restored(self._build(), part_of(arrays, f"{self.part}{number}"))
            for number in range(count)
        ]

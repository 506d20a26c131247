"""A stage: learns from out-of-fold answers, chooses on validation, gives probabilities.

`fit` and `predict` are final: they hold the rules of isolation, so that no stage can forget
them. A stage itself writes `_fit` and `_predict`, and says what of it has to be kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from faultline.ensemble.tables import Inputs, Role, check_may_choose, check_may_fit
from faultline.errors import ContractError, FaultlineError, LeakageError
from faultline.metrics.inputs import Floats, Ints
from faultline.registry import Registry
from faultline.types import LabelKind

Arrays = dict[str, npt.NDArray[Any]]
BOTH = frozenset({LabelKind.MULTICLASS, LabelKind.MULTILABEL})
EXCLUSIVE = frozenset({LabelKind.MULTICLASS})


class StageNotPossibleError(FaultlineError):
    """A stage cannot be made of these members or data; the report says why, the others go on."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the inputs of a stage look like.

    Attributes:
        kind: How classes relate.
        members: M.
        classes: K.
        anchors: A.
    """

    kind: LabelKind
    members: int
    classes: int
    anchors: int

    @classmethod
    def of(cls, inputs: Inputs) -> Shape:
        """The shape of `inputs`."""
        _, members, classes = inputs.probability.shape
        return cls(inputs.kind, members, classes, inputs.relative.shape[2])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "kind": self.kind.value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Shape:
        """Inverse of `to_dict`."""
        return cls(**{**values, "kind": LabelKind(values["kind"])})


@dataclass(frozen=True)
class FitRecord:
    """What a stage was fitted and chosen on, for the audit.

    Attributes:
        fitted_on: SHA-256 of the training pictures.
        groups: Their groups.
        chosen_on: SHA-256 of the validation pictures.
        role: Role of the table that it was fitted on.
        ids: Ids of the training pictures, in order.
        folds: (N,) folds of its rows.
    """

    fitted_on: frozenset[str]
    groups: frozenset[str]
    chosen_on: frozenset[str]
    role: Role
    ids: tuple[str, ...]
    folds: Ints


class Stage(ABC):
    """One way to make an answer of the members' answers. Subclasses are final.

    Attributes:
        number: Number of the stage in the second document, 1 to 12.
        kinds: Relations of classes that it can be made for.
        record: What it was fitted on; None before, and after loading.
    """

    number: ClassVar[int]
    name: ClassVar[str]
    kinds: ClassVar[frozenset[LabelKind]] = BOTH

    def __init__(self) -> None:
        self.shape: Shape | None = None
        self.record: FitRecord | None = None

    @final
    def fit(self, train: Inputs, valid: Inputs) -> None:
        """Learn from `train`, choose on `valid`.

        Raises:
            LeakageError: A row may not be fitted or chosen on.
            StageNotPossibleError: It cannot be made of these.
        """
        check_may_fit(train)
        check_may_choose(valid, train)
        if train.kind not in self.kinds:
            raise StageNotPossibleError(
                f"{self.name} is for classes that exclude each other, and here a picture may show "
                "several",
                remedy="leave it out with --stages",
            )
        self.shape = Shape.of(train)
        self._fit(train, valid)
        self.record = FitRecord(
            frozenset(train.rows.sha256), frozenset(train.rows.groups),
            frozenset(valid.rows.sha256), train.role, train.rows.ids, train.rows.folds,
        )  # fmt: skip

    @final
    def predict(self, inputs: Inputs) -> Floats:
        """Probabilities (N, K) of pictures, each row by itself.

        Raises:
            ContractError: It was not fitted, or on members or classes of other numbers.
        """
        if self.shape is None or Shape.of(inputs) != self.shape:
            raise ContractError(
                f"{self.name} was fitted on {self.shape}, not on {Shape.of(inputs)}",
                where="predict",
                remedy="give the answers of the same members, in the same order",
            )
        found = np.clip(self._predict(inputs), 0.0, 1.0)
        if found.shape != inputs.rows.truth.shape or not np.isfinite(found).all():
            raise ContractError(f"{self.name} gave {found.shape}, or values that are not finite")
        return found

    @abstractmethod
    def _fit(self, train: Inputs, valid: Inputs) -> None:
        """Learn from `train`, choose on `valid`; both have been checked."""

    @abstractmethod
    def _predict(self, inputs: Inputs) -> Floats:
        """(N, K)."""

    def settings(self) -> dict[str, Any]:
        """What the builder is given to make it again."""
        return {}

    def facts(self) -> dict[str, Any]:
        """What was learnt or chosen, for a reader: weights, thresholds, rounds."""
        return {}

    def arrays(self) -> Arrays:
        """What was learnt, to be kept."""
        return {}

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:  # noqa: B027
        """Take back what `arrays` and `facts` gave; `shape` is already there."""


STAGES: Registry[Stage] = Registry("stage")
"""Stages by name."""


def describe(stage: Stage) -> dict[str, Any]:
    """All of a fitted stage but its arrays, as plain JSON values."""
    assert stage.shape is not None, "fitted stages are kept"
    return {
        "name": stage.name,
        "number": stage.number,
        "settings": stage.settings(),
        "shape": stage.shape.to_dict(),
        "facts": stage.facts(),
    }


def load_stage(description: Mapping[str, Any], arrays: Arrays) -> Stage:
    """The stage that `describe` and `Stage.arrays` gave.

    Raises:
        UnknownNameError: There is no such stage here.
    """
    stage = STAGES.build(str(description["name"]), **description["settings"])
    stage.shape = Shape.from_dict(description["shape"])
    stage.restore(arrays, description["facts"])
    return stage


def crossfit(build: Any, train: Inputs, valid: Inputs) -> Floats:
    """(N, K) answers of a stage to its training rows, each by one fitted on the other folds.

    The features of the other folds come from networks that have seen this fold: as in any
    stacking over one division into folds, labels pass on through them. What no stage does is
    fit a row and answer it.

    Args:
        build: Makes the stage, unfitted.
        train: Out-of-fold rows.
        valid: To choose on.

    Raises:
        LeakageError: A stage answers a row that it was fitted on.
        StageNotPossibleError: See `Stage.fit`.
    """
    found = np.zeros(train.rows.truth.shape)
    for fold in np.unique(train.rows.folds):
        held = train.rows.folds == fold
        stage: Stage = build()
        stage.fit(train.take(~held), valid)
        rows = train.take(held)
        assert stage.record is not None
        if stage.record.fitted_on & set(rows.rows.sha256) or stage.record.groups & set(
            rows.rows.groups
        ):
            raise LeakageError(
                f"{stage.name} would answer rows of fold {fold} that it was fitted on",
                remedy="folds must not share pictures or groups",
            )
        found[held] = stage.predict(rows)
    return found


def part_of(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names start with `prefix/`, without it."""
    start = f"{prefix}/"
    return {name[len(start) :]: a for name, a in arrays.items() if name.startswith(start)}


def under(prefix: str, arrays: Arrays) -> Arrays:
    """`arrays` with `prefix/` before their names."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}

"""Accuracy in training minus validation, for single trainings: document 2, section 8.3."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from faultline.analysis.kept import Answers

WARN, HALT = 0.05, 0.10
PASSED, WARNING, STOP = "passed", "warning", "halt"


@dataclass(frozen=True, slots=True)
class Gap:
    """How much better a run is on what it was trained on.

    Attributes:
        run: Its name.
        train: Share of training pictures that are wholly right; augmentation is off.
        train_pictures: Their number.
        valid: Share of validation pictures that are wholly right.
        valid_pictures: Their number.
        gap: train - valid.
        status: "passed", "warning" (above 5 %) or "halt" (above 10 %).
    """

    run: str
    train: float
    train_pictures: int
    valid: float
    valid_pictures: int
    gap: float
    status: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


def gap_of(run: str, train: Answers, valid: Answers) -> Gap:
    """The gap of one run."""
    shares = [float((one.truth == one.decided).all(axis=1).mean()) for one in (train, valid)]
    gap = shares[0] - shares[1]
    status = STOP if gap > HALT else WARNING if gap > WARN else PASSED
    return Gap(run, shares[0], len(train.ids), shares[1], len(valid.ids), gap, status)

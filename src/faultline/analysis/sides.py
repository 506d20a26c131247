"""Two groups of runs against each other, such as those before a change and those after it.

Document 2, section 13, phase 6: per backbone, before against after. On validation pictures, and on
test pictures where `faultline evaluate` has scored both on the same ones: nothing is asked of test
pictures here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultline.analysis.mistakes import Together
from faultline.analysis.subject import Run
from faultline.errors import DataError
from faultline.evaluation.classification.compare import (
    OutOfFold,
    compare,
    read_out_of_fold,
    scores_of,
)
from faultline.metrics import Interval

METRICS_NAME, TABLE_NAME = "metrics_test.json", "per_image.csv"
_PLACES = ("", "classes")
SCORES = {"accuracy": "Accuracy", "macro_f1": "Macro-F1"}


@dataclass(frozen=True)
class Scored:
    """Scores of one run on one part.

    Attributes:
        run: The run.
        part: "valid" or "test".
        scores: "accuracy" and "macro_f1".
    """

    run: Run
    part: str
    scores: dict[str, Interval]


@dataclass(frozen=True)
class Against:
    """One run minus another on the same pictures.

    Attributes:
        first: A run.
        second: The one of `--against`.
        part: "valid" or "test".
        differences: "accuracy", "macro_f1" and the F1 of each class.
    """

    first: str
    second: str
    part: str
    differences: dict[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        found = {name: one.to_dict() for name, one in self.differences.items()}
        return {"first": self.first, "second": self.second, "part": self.part, "minus": found}


def score_runs(runs: Sequence[Run], together: Together) -> tuple[list[Scored], list[Against]]:
    """Scores of every run, and differences between the two sides."""
    tables = {(run.name, "valid"): _of_validation(together, row) for row, run in enumerate(runs)}
    for run in runs:
        held_out = held_out_answers(run)
        if held_out is not None:
            tables[run.name, "test"] = held_out
    scored = [
        Scored(run, part, scores_of(tables[run.name, part]))
        for part in ("valid", "test")
        for run in runs
        if (run.name, part) in tables
    ]
    found = []
    for part in ("valid", "test"):
        for one, other in opponents(runs):
            ours, theirs = tables.get((one.name, part)), tables.get((other.name, part))
            if ours is not None and theirs is not None and _same_pictures(ours, theirs):
                found.append(Against(one.name, other.name, part, compare(ours, theirs)))
    return scored, found


def opponents(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Which run is held against which: in the order given where there are as many of both.

    Otherwise every one against every other.
    """
    first, second = ([run for run in runs if run.side == side] for side in (0, 1))
    if len(first) == len(second):
        return list(zip(first, second, strict=True))
    return [(one, other) for one in first for other in second]


def held_out_answers(run: Run) -> OutOfFold | None:
    """What `faultline evaluate` kept of the run's own test pictures; None if it has not run.

    Results of other weights, such as of an earlier training in the same folder, do not count.
    """
    for place in _PLACES:
        folder = run.home / place
        if _maker(folder / METRICS_NAME) != run.fingerprint:
            continue
        try:
            return read_out_of_fold(folder / TABLE_NAME)
        except DataError:
            continue
    return None


def _maker(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["predictor"]["maker"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _same_pictures(one: OutOfFold, other: OutOfFold) -> bool:
    return one.names == other.names and set(one.ids) == set(other.ids)


def _of_validation(together: Together, row: int) -> OutOfFold:
    return OutOfFold(
        together.names, together.ids, together.groups, together.truth, together.decided[row]
    )

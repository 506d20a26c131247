"""Error patterns: which pictures all runs get wrong, which only one, and what they confuse alike.

Document 2, section 6, analysis 3. On validation pictures, which no run was trained on. Epoch and
thresholds were chosen on them, so that the scores are somewhat better than on new pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultline.analysis.kept import Answers
from faultline.errors import DataError
from faultline.metrics.agreement import (
    cohen_kappa,
    confusion_overlap,
    disagreement,
    error_overlap,
    mistakes_by_kind,
)
from faultline.types import LabelKind

ALL_WRONG, ALL_RIGHT = "all wrong", "all right"
ONE_WRONG, ONE_RIGHT, MIXED = "only one wrong", "only one right", "mixed"


@dataclass(frozen=True)
class Together:
    """Answers of R runs for the same N pictures.

    Attributes:
        runs: Names.
        names: Classes.
        kind: How they relate.
        ids: Pictures that every run could answer for.
        groups: Theirs.
        truth: (N, K).
        decided: (R, N, K).
        probability: (R, N, K).
    """

    runs: list[str]
    names: tuple[str, ...]
    kind: LabelKind
    ids: list[str]
    groups: list[str]
    truth: NDArray[np.bool_]
    decided: NDArray[np.bool_]
    probability: NDArray[np.float64]

    @property
    def right(self) -> NDArray[np.bool_]:
        """(R, N) whether all that a run says of a picture is right."""
        found: NDArray[np.bool_] = (self.decided == self.truth).all(axis=2)
        return found

    def words(self, rows: NDArray[np.bool_]) -> str:
        """Names of the classes of one row (K,)."""
        return ", ".join(n for n, yes in zip(self.names, rows, strict=True) if yes) or "none"


@dataclass(frozen=True, slots=True)
class Pair:
    """How two runs agree.

    Attributes:
        first: A run.
        second: Another.
        disagreement: Share of pictures with different answers.
        kappa: Agreement beyond chance.
        error_overlap: Pictures that both get wrong, of those that either does.
        confusion_overlap: Mistakes in common, by kind.
    """

    first: str
    second: str
    disagreement: float
    kappa: float
    error_overlap: float
    confusion_overlap: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


def bring_together(
    runs: Sequence[str], answers: Sequence[Answers], names: tuple[str, ...], kind: LabelKind
) -> Together:
    """Answers for the pictures that every run could answer for.

    Raises:
        DataError: There is no such picture.
    """
    places = [{name: row for row, name in enumerate(one.ids)} for one in answers]
    ids = [name for name in answers[0].ids if all(name in place for place in places)]
    if not ids:
        raise DataError("no picture of validation could be read by every run")
    rows = [[place[name] for name in ids] for place in places]
    first = answers[0]
    return Together(
        list(runs), names, kind, ids, [first.groups[row] for row in rows[0]], first.truth[rows[0]],
        np.stack([one.decided[row] for one, row in zip(answers, rows, strict=True)]),
        np.stack([one.probability[row] for one, row in zip(answers, rows, strict=True)]),
    )  # fmt: skip


def patterns(right: NDArray[np.bool_]) -> list[tuple[str, int]]:
    """Pattern of each of N pictures, and the run that stands alone (-1 for none).

    Of two runs neither stands alone: where one is right, the other is wrong. Those are "mixed".

    Args:
        right: (R, N).
    """
    count = len(right)
    found = []
    for column in right.T:
        hits = int(column.sum())
        if hits in (0, count):
            found.append((ALL_RIGHT if hits else ALL_WRONG, -1))
        elif count > 2 and hits == count - 1:
            found.append((ONE_WRONG, int(np.argmin(column))))
        elif count > 2 and hits == 1:
            found.append((ONE_RIGHT, int(np.argmax(column))))
        else:
            found.append((MIXED, -1))
    return found


def pairs(together: Together) -> list[Pair]:
    """Every two runs."""
    truth, kind = together.truth, together.kind
    wrong = ~together.right
    kinds = [mistakes_by_kind(truth, one, kind) for one in together.decided]
    return [
        Pair(
            together.runs[a], together.runs[b],
            disagreement(together.decided[a], together.decided[b]),
            cohen_kappa(together.decided[a], together.decided[b], kind),
            error_overlap(wrong[a], wrong[b]), confusion_overlap(kinds[a], kinds[b]),
        )
        for a in range(len(wrong)) for b in range(a + 1, len(wrong))
    ]  # fmt: skip


def common_confusions(together: Together, most: int = 8) -> list[tuple[str, list[int]]]:
    """Kinds of mistakes that every run makes, most frequent first: words, and counts by run."""
    kinds = [mistakes_by_kind(together.truth, one, together.kind) for one in together.decided]
    least = np.min(kinds, axis=0)
    order = np.argsort(-least, axis=None, kind="stable")[:most]
    cells = [np.unravel_index(int(place), least.shape) for place in order]
    names = together.names
    return [
        (_words(names, int(row), int(column), together.kind), [int(k[row, column]) for k in kinds])
        for row, column in cells
        if least[row, column] > 0
    ]


def hardest(together: Together, most: int) -> list[int]:
    """Rows of pictures that every run gets wrong, the surest mistakes first.

    By the mean probability that runs give to the truth: of the classes that a picture shows the
    least one, of the others one minus the highest.
    """
    given = np.where(together.truth, together.probability, 1 - together.probability).min(axis=2)
    sureness = given.mean(axis=0)
    wrong = np.flatnonzero(~together.right.any(axis=0))
    return [int(row) for row in wrong[np.argsort(sureness[wrong], kind="stable")][:most]]


def _words(names: Sequence[str], row: int, column: int, kind: LabelKind) -> str:
    if kind is LabelKind.MULTICLASS:
        return f"{names[row]} taken for {names[column]}"
    return f"{names[row]} {'named and not there' if column else 'missed'}"

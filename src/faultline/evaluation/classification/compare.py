"""Whether one classifier beats another: differences with intervals, on the same pictures."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faultline.errors import DataError
from faultline.evaluation.classification.table import FOLDS_TABLE
from faultline.metrics import (
    Interval,
    bootstrap_interval,
    macro_f1_of_counts,
    paired_difference_interval,
)
from faultline.metrics.inputs import Bools, Floats
from faultline.metrics.ratios import ratio
from faultline.predict.classify import named_in


@dataclass(frozen=True)
class OutOfFold:
    """Held-out answers as `out_of_fold.csv` has them.

    Attributes:
        names: The classes.
        ids: Pictures, N of them.
        groups: Their groups.
        truth: (N, K).
        decided: (N, K).
    """

    names: tuple[str, ...]
    ids: list[str]
    groups: list[str]
    truth: Bools
    decided: Bools

    def counts(self, rows: list[int]) -> Floats:
        """(N, 3 K) counts of the pictures `rows`; see `ClassificationScores.counts`."""
        truth, decided = self.truth[rows], self.decided[rows]
        return np.concatenate([truth & decided, decided, truth], axis=1).astype(np.float64)

    def right(self, rows: list[int]) -> Floats:
        """(N, 2): whether a picture is wholly right, and 1."""
        hit = (self.truth[rows] == self.decided[rows]).all(axis=1)
        return np.stack([hit, np.ones_like(hit)], axis=1).astype(np.float64)


def read_out_of_fold(folder: str | Path) -> OutOfFold:
    """The answers of a cross-validation.

    Raises:
        DataError: There are none, or the table is damaged.
    """
    path = Path(folder)
    path = path / FOLDS_TABLE if path.is_dir() else path
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        names = tuple(key.removeprefix("p_") for key in rows[0] if key.startswith("p_"))
        truth, decided = (
            np.array(
                [
                    [name in shown for name in names]
                    for shown in (named_in(row[column], names) for row in rows)
                ]
            )
            for column in ("truth", "answer")
        )
        ids, groups = [row["id"] for row in rows], [row["group"] for row in rows]
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror or error}",
            where=path,
            remedy="give the folder of a finished `faultline crossvalidate`",
        ) from error
    except (LookupError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is no table of held-out answers: {error}", where=path) from error
    return OutOfFold(names, ids, groups, truth, decided)


def scores_of(answers: OutOfFold, resamples: int = 1000) -> dict[str, Interval]:
    """Macro-F1 and accuracy (share of pictures that are wholly right), with 95 % intervals."""
    rows = list(range(len(answers.ids)))
    groups = answers.groups
    return {
        "macro_f1": bootstrap_interval(
            answers.counts(rows), macro_f1_of_counts, resamples, groups=groups
        ),
        "accuracy": bootstrap_interval(answers.right(rows), _share, resamples, groups=groups),
    }


def compare(first: OutOfFold, second: OutOfFold, resamples: int = 1000) -> dict[str, Interval]:
    """Macro-F1, accuracy and the F1 of each class, first minus second, groups drawn together.

    Raises:
        DataError: They are not of the same pictures and classes.
    """
    if first.names != second.names or set(first.ids) != set(second.ids):
        raise DataError(
            "the two are not of the same pictures and classes",
            remedy="compare cross-validations of one data set",
        )
    place = {name: row for row, name in enumerate(second.ids)}
    rows, theirs = list(range(len(first.ids))), [place[name] for name in first.ids]
    one, other = first.counts(rows), second.counts(theirs)
    found = {
        "macro_f1": paired_difference_interval(
            one, other, macro_f1_of_counts, resamples, groups=first.groups
        ),
        "accuracy": paired_difference_interval(
            first.right(rows), second.right(theirs), _share, resamples, groups=first.groups
        ),
    }
    count = len(first.names)
    for index, name in enumerate(first.names):
        columns = [index, count + index, 2 * count + index]
        found[name] = paired_difference_interval(
            one[:, columns], other[:, columns], macro_f1_of_counts, resamples, groups=first.groups
        )
    return found


def comparison_lines(found: dict[str, Interval]) -> list[str]:
    """The differences as lines for the console."""
    width = max(len(name) for name in found)
    lines = []
    for name, interval in found.items():
        sure = "" if interval.excludes_zero else "  (no difference shown)"
        lines.append(
            f"  {name:<{width}}  {interval.value:+.3f}  "
            f"{interval.low:+.3f} to {interval.high:+.3f}{sure}"
        )
    return lines


def _share(counts: Floats) -> Floats:
    return ratio(counts[:, 0], counts[:, 1])

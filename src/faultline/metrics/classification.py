"""Metrics of whole pictures: each class by itself, then together; exact and streaming.

`multilabel` decides each class at its own threshold, `multiclass` takes the most probable one.
What is not defined is NaN, never 0 or 1: all metrics of a class that no picture shows, the
precision of a class that is never named, AUROC where every picture shows the class. Means over
classes are over those that define the metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from faultline.errors import ContractError
from faultline.metrics import ratios
from faultline.metrics.curves import Reliability, calibration_error
from faultline.metrics.inputs import Bools, Floats, Ints
from faultline.metrics.ranking import auroc, average_precision
from faultline.types import LabelKind

NONE = "none"
"""Row and column of a co-occurrence matrix for pictures without any class."""


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of one class.

    Attributes:
        name: The class.
        support: Pictures that show it.
        predicted: Pictures that were said to.
        tp: Both.
        precision: TP / predicted.
        recall: TP / support.
        f1: 2 TP / (predicted + support); 0 where the class is there and never named.
        average_precision: Area under precision over recall.
        auroc: Area under the ROC curve.
    """

    name: str
    support: int
    predicted: int
    tp: int
    precision: float
    recall: float
    f1: float
    average_precision: float
    auroc: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name; NaN where not defined."""
        return {name: getattr(self, name) for name in self.__slots__}


class ClassificationScorer:
    """Collects answers and truth of whole pictures, batch by batch.

    The scores of all pictures are kept (8 bytes per picture and class), so that ranking metrics
    are exact.

    Args:
        names: The classes, K of them.
        kind: `multilabel` or `multiclass`.
    """

    def __init__(self, names: Sequence[str], kind: LabelKind) -> None:
        self.names = tuple(names)
        self.kind = kind
        self._probability: list[Floats] = []
        self._truth: list[Bools] = []

    def update(self, probability: npt.ArrayLike, truth: npt.ArrayLike) -> None:
        """Add a batch.

        Args:
            probability: (B, K), 0 to 1.
            truth: (B, K) of 0 and 1; for multiclass also (B,) class indices.

        Raises:
            ContractError: Shapes or values do not fit.
        """
        given = np.asarray(probability, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != len(self.names):
            raise ContractError(
                f"shape {given.shape}, expected (B, {len(self.names)})", where="probability"
            )
        # NaN fails the comparison too.
        if given.size and not bool(((given >= 0) & (given <= 1)).all()):
            raise ContractError("has values outside 0 to 1", where="probability")
        self._probability.append(given)
        self._truth.append(one_hot(np.asarray(truth), given.shape))

    @property
    def probability(self) -> Floats:
        """(N, K) of all pictures so far."""
        empty = [np.zeros((0, len(self.names)))]
        return np.concatenate(self._probability or empty)

    @property
    def truth(self) -> Bools:
        """(N, K) of all pictures so far."""
        return np.concatenate(self._truth or [np.zeros((0, len(self.names)), dtype=bool)])

    def decided(self, thresholds: Sequence[float]) -> Bools:
        """(N, K) what is said of each picture."""
        return decide_classes(self.probability, self.kind, thresholds)

    def scores(self, thresholds: Sequence[float]) -> ClassificationScores:
        """Everything, at one threshold per class (not used by multiclass)."""
        return ClassificationScores(
            self.names, self.kind, self.probability, self.truth, self.decided(thresholds)
        )


@dataclass(frozen=True)
class ClassificationScores:
    """The scores of N pictures.

    Attributes:
        names: The classes.
        kind: `multilabel` or `multiclass`.
        probability: (N, K).
        truth: (N, K).
        decided: (N, K).
    """

    names: tuple[str, ...]
    kind: LabelKind
    probability: Floats
    truth: Bools
    decided: Bools

    def classes(self) -> list[ClassScores]:
        """One entry per class, in order."""
        return [self._class(index, name) for index, name in enumerate(self.names)]

    def _class(self, index: int, name: str) -> ClassScores:
        truth, decided = self.truth[:, index], self.decided[:, index]
        support, predicted = int(truth.sum()), int(decided.sum())
        tp = int((truth & decided).sum())
        if support == 0:
            # Nothing can be found, so nothing can be said, not even of what was named wrongly.
            return ClassScores(name, 0, predicted, 0, *([float("nan")] * 5))
        column = self.probability[:, index]
        return ClassScores(
            name, support, predicted, tp,
            precision=float(ratios.ratio(tp, predicted)),
            recall=float(ratios.ratio(tp, support)),
            f1=float(ratios.ratio(2 * tp, predicted + support)),
            average_precision=average_precision(column, truth),
            auroc=auroc(column, truth),
        )  # fmt: skip

    def summary(self) -> dict[str, float]:
        """Macro and micro scores, subset accuracy and Hamming loss, by name."""
        classes = self.classes()
        shown = ("precision", "recall", "f1", "average_precision", "auroc")
        macro = {f"macro_{name}": mean_of([getattr(one, name) for one in classes])
                 for name in shown}  # fmt: skip
        tp, predicted, support = (
            int(table.sum()) for table in (self.truth & self.decided, self.decided, self.truth)
        )
        return {
            **macro,
            "micro_precision": float(ratios.ratio(tp, predicted)) if support else float("nan"),
            "micro_recall": float(ratios.ratio(tp, support)),
            "micro_f1": float(ratios.ratio(2 * tp, predicted + support))
            if support
            else float("nan"),
            "subset_accuracy": float(ratios.ratio(self.right().sum(), len(self.truth))),
            "hamming_loss": float(
                ratios.ratio((self.truth != self.decided).sum(), self.truth.size)
            ),
        }

    def right(self) -> Bools:
        """(N,) whether everything that is said of a picture is right."""
        found: Bools = (self.truth == self.decided).all(axis=1)
        return found

    def matrix(self) -> Ints:
        """Pictures by truth (row) and answer (column).

        Multiclass: the (K, K) confusion matrix. Multilabel: (K + 1, K + 1) co-occurrence, how
        many pictures show the row's class and are said to show the column's; the last row and
        column are the pictures without any class.
        """
        truth, decided = self.truth, self.decided
        if self.kind is not LabelKind.MULTICLASS:
            truth, decided = _with_none(truth), _with_none(decided)
        together: Ints = truth.astype(np.int64).T @ decided.astype(np.int64)
        return together

    def matrix_names(self) -> list[str]:
        """Names of the rows and columns of `matrix`."""
        extra = [] if self.kind is LabelKind.MULTICLASS else [NONE]
        return [*self.names, *extra]

    def reliability(self, bins: int = 10) -> Reliability:
        """Mean probability against the observed share, in equal bins, and ECE.

        Multilabel: every pair of picture and class. Multiclass: the probability of the class
        that is named, against whether it is right (Guo et al. 2017, eq. 3).
        """
        if self.kind is LabelKind.MULTICLASS:
            confidence = self.probability.max(axis=1, initial=0.0)
            hit = (self.truth & self.decided).any(axis=1)
        else:
            confidence, hit = self.probability.ravel(), self.truth.ravel()
        index = np.minimum((confidence * bins).astype(np.intp), bins - 1)
        count = np.bincount(index, minlength=bins)
        sums = np.bincount(index, weights=confidence, minlength=bins)
        hits = np.bincount(index, weights=hit.astype(np.float64), minlength=bins)
        return Reliability(
            edges=np.arange(bins + 1) / bins,
            confidence=ratios.ratio(sums, count),
            observed=ratios.ratio(hits, count),
            pixels=count.astype(np.int64),
            ece=float(calibration_error(count, hits, sums.astype(np.float64))),
        )

    def counts(self) -> Floats:
        """(N, 3 K): true positives, predicted and support of each class in each picture.

        What `macro_f1_of_counts` makes a score of, so that pictures can be drawn again.
        """
        hit = self.truth & self.decided
        return np.concatenate([hit, self.decided, self.truth], axis=1).astype(np.float64)


def macro_f1_of_counts(counts: Floats) -> Floats:
    """Macro-F1 of summed `ClassificationScores.counts`, (R, 3 K) -> (R,).

    A class that no picture of a row shows is left out of that row's mean.
    """
    hit, predicted, support = np.split(counts, 3, axis=1)
    return _row_means(np.where(support > 0, ratios.ratio(2 * hit, predicted + support), np.nan))


def decide_classes(probability: Floats, kind: LabelKind, thresholds: Sequence[float]) -> Bools:
    """(N, K) decisions: probability >= threshold, or the most probable class of a multiclass.

    Raises:
        ContractError: There is not one threshold per class.
    """
    if kind is LabelKind.MULTICLASS:
        best = probability.argmax(axis=1)
        found: Bools = best[:, None] == np.arange(probability.shape[1])
        return found
    if len(thresholds) != probability.shape[1]:
        raise ContractError(
            f"{len(thresholds)} thresholds for {probability.shape[1]} classes", where="thresholds"
        )
    above: Bools = probability >= np.asarray(thresholds, dtype=np.float64)
    return above


def one_hot(truth: npt.NDArray[Any], shape: tuple[int, ...]) -> Bools:
    """Truth as (B, K) booleans, from 0 and 1 or from class indices (B,).

    Raises:
        ContractError: Shapes or values do not fit.
    """
    if truth.ndim == 1 and len(truth) == shape[0]:
        if truth.size and not (truth.min() >= 0 and truth.max() < shape[1]):
            raise ContractError(f"has class indices outside 0 to {shape[1] - 1}", where="truth")
        found: Bools = truth[:, None] == np.arange(shape[1])
        return found
    if truth.shape != shape:
        raise ContractError(f"shape {truth.shape}, expected {shape}", where="truth")
    if not bool(((truth == 0) | (truth == 1)).all()):
        raise ContractError("holds other values than 0 and 1", where="truth")
    positive: Bools = truth == 1
    return positive


def mean_of(values: Sequence[float]) -> float:
    """Mean of the values that are defined; NaN where none is."""
    return float(_row_means(np.asarray(values, dtype=np.float64)[None])[0])


def _row_means(table: Floats) -> Floats:
    defined = ~np.isnan(table)
    return ratios.ratio(np.where(defined, table, 0.0).sum(axis=1), defined.sum(axis=1))


def _with_none(table: Bools) -> Bools:
    return np.concatenate([table, ~table.any(axis=1, keepdims=True)], axis=1)

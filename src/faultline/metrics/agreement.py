"""How two classifiers agree on the same pictures: in their answers, and in their mistakes."""

from __future__ import annotations

import numpy as np

from faultline.errors import ContractError
from faultline.metrics.inputs import Bools, Floats, Ints
from faultline.types import LabelKind


def disagreement(first: Bools, second: Bools) -> float:
    """Share of pictures whose answers (N, K) differ in any class; NaN without pictures."""
    _check(first, second)
    return float((first != second).any(axis=1).mean()) if len(first) else float("nan")


def cohen_kappa(first: Bools, second: Bools, kind: LabelKind) -> float:
    """Agreement beyond chance (Cohen 1960): (p_o - p_e) / (1 - p_e).

    Multiclass: of the one class of each picture. Otherwise: of every pair of picture and class, as
    yes or no.

    Args:
        first: (N, K) answers.
        second: (N, K) answers for the same pictures.
        kind: How the classes relate.

    Returns:
        NaN where both always give one and the same answer, so that chance agrees fully too.

    Raises:
        ContractError: Shapes differ.
    """
    _check(first, second)
    if kind is LabelKind.MULTICLASS:
        table = first.astype(np.int64).T @ second.astype(np.int64)
    else:
        pairs = 2 * first.ravel().astype(np.int64) + second.ravel()
        table = np.bincount(pairs, minlength=4).reshape(2, 2)
    total = table.sum()
    if not total:
        return float("nan")
    observed = np.trace(table) / total
    expected = float(table.sum(0) @ table.sum(1)) / float(total) ** 2
    return float((observed - expected) / (1 - expected)) if expected < 1 else float("nan")


def mistakes_by_kind(truth: Bools, decided: Bools, kind: LabelKind) -> Ints:
    """Counts of each kind of mistake.

    Multiclass: the (K, K) confusion matrix with its diagonal set to 0. Otherwise: (K, 2), how often
    each class was missed and how often it was named and not there.

    Raises:
        ContractError: Shapes differ.
    """
    _check(truth, decided)
    if kind is LabelKind.MULTICLASS:
        table = truth.astype(np.int64).T @ decided.astype(np.int64)
        np.fill_diagonal(table, 0)
        return table
    return np.stack([(truth & ~decided).sum(0), (decided & ~truth).sum(0)], 1).astype(np.int64)


def confusion_overlap(first: Ints, second: Ints) -> float:
    """Share of mistakes that two classifiers make in common, by kind: sum of min / sum of max.

    1 where both confuse the same classes equally often, 0 where no kind of mistake is common (the
    weighted Jaccard index of `mistakes_by_kind`). NaN where neither makes a mistake.

    Raises:
        ContractError: Shapes differ.
    """
    _check(first, second)
    most = np.maximum(first, second).sum()
    return float(np.minimum(first, second).sum() / most) if most else float("nan")


def error_overlap(wrong: Bools, other: Bools) -> float:
    """Pictures that both get wrong, as a share of those that either does; NaN where none does."""
    _check(wrong, other)
    either = (wrong | other).sum()
    return float((wrong & other).sum() / either) if either else float("nan")


def _check(first: Bools | Ints | Floats, second: Bools | Ints | Floats) -> None:
    if first.shape != second.shape:
        raise ContractError(
            f"shapes {first.shape} and {second.shape} differ",
            where="first and second",
            remedy="give both for the same pictures and classes, in the same order",
        )

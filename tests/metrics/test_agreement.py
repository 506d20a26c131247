"""Agreement of answers and of mistakes: by hand, and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from faultline.errors import ContractError
from faultline.metrics.agreement import (
    cohen_kappa,
    confusion_overlap,
    disagreement,
    error_overlap,
    mistakes_by_kind,
)
from faultline.types import LabelKind


def answers(labels, classes=3):
    return np.asarray(labels)[:, None] == np.arange(classes)


def test_kappa_of_classes_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 3, 60)
    other = np.where(rng.random(60) < 0.6, one, rng.integers(0, 3, 60))
    found = cohen_kappa(answers(one), answers(other), LabelKind.MULTICLASS)
    assert found == pytest.approx(cohen_kappa_score(one, other))
    assert disagreement(answers(one), answers(other)) == pytest.approx((one != other).mean())


def test_kappa_of_several_labels_is_that_of_their_decisions():
    rng = np.random.default_rng(1)
    one, other = rng.random((2, 40, 3)) < 0.4
    found = cohen_kappa(one, other, LabelKind.MULTILABEL)
    assert found == pytest.approx(cohen_kappa_score(one.ravel(), other.ravel()))


def test_kappa_where_chance_agrees_fully():
    same = answers([1, 1, 1])
    assert np.isnan(cohen_kappa(same, same, LabelKind.MULTICLASS))


def test_overlap_of_confusions_by_hand():
    truth = answers([0, 0, 0, 1, 1, 2])
    one = mistakes_by_kind(truth, answers([1, 1, 2, 1, 0, 2]), LabelKind.MULTICLASS)
    other = mistakes_by_kind(truth, answers([1, 0, 0, 2, 0, 2]), LabelKind.MULTICLASS)
    assert one.tolist() == [[0, 2, 1], [1, 0, 0], [0, 0, 0]]
    assert other.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    assert confusion_overlap(one, other) == pytest.approx(2 / 5)
    assert confusion_overlap(one, one) == 1
    assert np.isnan(confusion_overlap(0 * one, 0 * one))


def test_mistakes_of_several_labels_by_hand():
    truth = np.array([[1, 0], [1, 1], [0, 0]], bool)
    decided = np.array([[0, 0], [1, 0], [1, 0]], bool)
    assert mistakes_by_kind(truth, decided, LabelKind.MULTILABEL).tolist() == [[1, 1], [1, 0]]


def test_overlap_of_errors():
    one, other = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    assert error_overlap(one, other) == pytest.approx(1 / 3)
    assert np.isnan(error_overlap(one & False, other & False))


def test_other_pictures_are_refused():
    with pytest.raises(ContractError, match="same pictures"):
        disagreement(answers([0, 1]), answers([0, 1, 2]))

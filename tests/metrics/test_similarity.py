"""CKA against its closed form and its invariances."""

import numpy as np
import pytest

from faultline.errors import ContractError
from faultline.metrics.similarity import debiased_linear_cka, linear_cka


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 6)) + 3
    return x, x[:, :4] @ rng.normal(size=(4, 5)) + 0.5 * rng.normal(size=(30, 5))


def test_closed_form_by_hand():
    """X = (-1, 0, 1), Y = (1, -2, 1) and X: cov(X, Y) = 0, so that CKA is |X'X|^2 / norms."""
    x = np.array([[-1.0], [0.0], [1.0]])
    y = np.array([[1.0], [-2.0], [1.0]])
    assert linear_cka(x, y) == pytest.approx(0.0)
    both = np.hstack([x, y])
    # |x'[x y]|^2 = 2^2 + 0; |x'x| = 2; |[x y]'[x y]| = sqrt(2^2 + 6^2)
    assert linear_cka(x, both) == pytest.approx(4 / (2 * np.sqrt(40)))


def test_one_channel_each_is_the_squared_correlation():
    rng = np.random.default_rng(1)
    x, noise = rng.normal(size=(2, 50))
    y = x + noise
    expected = np.corrcoef(x, y)[0, 1] ** 2
    assert linear_cka(x[:, None], y[:, None]) == pytest.approx(expected)


def test_feature_form_equals_gram_form(features):
    x, y = (each - each.mean(0) for each in features)
    norm = np.linalg.norm
    expected = norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y))
    assert linear_cka(*features) == pytest.approx(expected)


@pytest.mark.parametrize("similarity", [linear_cka, debiased_linear_cka])
def test_invariances(features, similarity):
    x, y = features
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]
    before = similarity(x, y)
    assert similarity(x, x) == pytest.approx(1)
    assert similarity(y, x) == pytest.approx(before)
    assert similarity(-7.0 * (x @ turn) + 11.0, y) == pytest.approx(before)
    order = np.random.default_rng(3).permutation(30)
    assert similarity(x[order], y[order]) == pytest.approx(before)
    # A stretch of one direction alone is none of the invariances.
    assert abs(similarity(x * [9, 1, 1, 1, 1, 1], y) - before) > 0.01


def hsic_of_song(k, m):
    """Song et al. 2012, eq. 5, word by word."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    one = np.ones(n)
    middle = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + middle - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))


def test_debiased_is_the_formula_of_song(features):
    k, m = (each @ each.T for each in features)
    expected = hsic_of_song(k, m) / np.sqrt(hsic_of_song(k, k) * hsic_of_song(m, m))
    assert debiased_linear_cka(*features) == pytest.approx(expected)


def test_unrelated_wide_features_fool_only_the_biased_one():
    rng = np.random.default_rng(4)
    pairs = [(rng.normal(size=(20, 200)), rng.normal(size=(20, 200))) for _ in range(20)]
    assert np.mean([linear_cka(*pair) for pair in pairs]) > 0.8
    assert abs(np.mean([debiased_linear_cka(*pair) for pair in pairs])) < 0.05


def test_constant_features_and_wrong_shapes():
    assert np.isnan(linear_cka(np.ones((5, 3)), np.random.default_rng(0).normal(size=(5, 2))))
    with pytest.raises(ContractError, match=r"\(5, 3\) and \(4, 3\)"):
        linear_cka(np.ones((5, 3)), np.ones((4, 3)))
    with pytest.raises(ContractError, match="at least 4"):
        debiased_linear_cka(np.ones((3, 3)), np.ones((3, 3)))

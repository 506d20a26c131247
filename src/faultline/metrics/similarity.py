"""How alike two networks see the same pictures: centred kernel alignment of their features.

Kornblith et al. 2019, *Similarity of Neural Network Representations Revisited*. Linear CKA does not
change when features are turned, mirrored, shifted or scaled as a whole, and compares features of
different widths.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from faultline.errors import ContractError
from faultline.metrics.inputs import Floats

_LEAST = 2
_LEAST_DEBIASED = 4


def linear_cka(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Linear CKA, 0 to 1 (Kornblith et al. 2019, eq. 5 with linear kernels).

    |Y'X|^2 / (|X'X| |Y'Y|) of centred features, by the (N, N) Gram matrices. With few pictures and
    many channels even unrelated features score high; see `debiased_linear_cka`.

    Args:
        first: (N, C) features of N pictures.
        second: (N, D) features of the same pictures.

    Returns:
        NaN where one of them is the same for every picture.

    Raises:
        ContractError: They are not of the same pictures, or of fewer than 2.
    """
    one, other = _grams(first, second, _LEAST)
    return _ratio(*(_centred(gram) for gram in (one, other)))


def debiased_linear_cka(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Linear CKA with the unbiased estimate of HSIC (Song et al. 2012, eq. 5).

    0 is expected of unrelated features, however few the pictures; it may fall below. Arguments and
    errors as in `linear_cka`, but for at least 4 pictures.
    """
    one, other = _grams(first, second, _LEAST_DEBIASED)
    return _ratio(*(_u_centred(gram) for gram in (one, other)))


def _grams(first: npt.ArrayLike, second: npt.ArrayLike, least: int) -> tuple[Floats, Floats]:
    x, y = (np.asarray(each, dtype=np.float64) for each in (first, second))
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < least:
        raise ContractError(
            f"features of shapes {x.shape} and {y.shape}, expected (N, C) and (N, D) with N at "
            f"least {least}",
            where="features",
        )
    # Centring first changes no result and keeps the Gram matrices small in value.
    x, y = x - x.mean(0), y - y.mean(0)
    return x @ x.T, y @ y.T


def _centred(gram: Floats) -> Floats:
    """H K H with H = I - 1/N."""
    rows: Floats = gram - gram.mean(0) - gram.mean(1, keepdims=True) + gram.mean()
    return rows


def _u_centred(gram: Floats) -> Floats:
    """U-centred matrix: its products, summed, are the unbiased HSIC (Szekely & Rizzo 2014)."""
    count = len(gram)
    gram = gram - np.diag(np.diag(gram))
    sums = gram.sum(0) / (count - 2)
    found: Floats = gram - sums - sums[:, None] + gram.sum() / ((count - 1) * (count - 2))
    return found - np.diag(np.diag(found))


def _ratio(one: Floats, other: Floats) -> float:
    own = float((one * one).sum()), float((other * other).sum())
    if min(own) <= 0:
        return float("nan")
    return float((one * other).sum() / np.sqrt(own[0] * own[1]))

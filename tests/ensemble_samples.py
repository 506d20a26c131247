"""Drawn answers of members: some sure, some noisy, each wrong in its own places."""

import numpy as np

from faultline.ensemble.tables import Inputs, Role, Rows
from faultline.types import LabelKind

CLASSES, MEMBERS, ANCHORS = 3, 3, 8
_NOISE = (1.7, 1.9, 2.2)
_DIRECTIONS = np.random.default_rng(99).normal(size=(MEMBERS, CLASSES, ANCHORS))


def inputs(role=Role.OUT_OF_FOLD, count=180, kind=LabelKind.MULTICLASS, seed=0, start=0):
    """Answers of three members to `count` pictures named from `start` on."""
    rng = np.random.default_rng([seed, start])
    if kind is LabelKind.MULTICLASS:
        truth = np.eye(CLASSES, dtype=bool)[rng.integers(CLASSES, size=count)]
    else:
        truth = rng.random((count, CLASSES)) < 0.4
    logits = np.stack(
        [2.0 * truth - 1.0 + rng.normal(0, noise, truth.shape) for noise in _NOISE], axis=1
    )
    if kind is LabelKind.MULTICLASS:
        raised = np.exp(logits)
        probability = raised / raised.sum(axis=2, keepdims=True)
    else:
        probability = 1 / (1 + np.exp(-logits))
    relative = np.einsum("nk,mka->nma", truth, _DIRECTIONS) + rng.normal(
        0, 2.0, (count, MEMBERS, ANCHORS)
    )
    names = tuple(f"{number:04}" for number in range(start, start + count))
    folds = np.arange(count) % 5 if role is Role.OUT_OF_FOLD else np.full(count, -1)
    rows = Rows(names, tuple(f"sha-{one}" for one in names), names, truth, folds)
    return Inputs(
        ("a", "b", "c"), kind, role, rows, probability, relative.astype(np.float32),
        np.zeros(count, bool),
    )  # fmt: skip


def train_and_valid(kind=LabelKind.MULTICLASS):
    return inputs(kind=kind), inputs(Role.VALID, 80, kind, start=1000)

"""What was done for rare classes, and what became of it: one row per class."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from faultline.artifacts.bundle import Bundle
from faultline.config.schema import Config
from faultline.data.sampling import create_draw
from faultline.data.targets import image_targets
from faultline.evaluation.command import TestSet
from faultline.metrics import ClassificationScores

_FACTORS = ("alpha", "pos_weight", "class_weights")


def balance_table(
    bundle: Bundle, test: TestSet, trained: Config | None, scores: ClassificationScores
) -> dict[str, Any]:
    """The means of class balance in force, and for each class what it got and how it scored.

    Columns that need the training pictures are None where these are not at hand.
    """
    training = bundle.provenance.get("training") or {}
    criterion = dict(training.get("criterion") or {})
    sampler = "uniform" if trained is None else trained.data.sampler
    targets = _training_targets(test)
    drawn = None if targets is None else drawn_shares(sampler, targets)
    rows = []
    for index, found in enumerate(scores.classes()):
        rows.append({
            "name": found.name,
            "train": None if targets is None else int(targets[:, index].sum()),
            "train_share": None if targets is None else float(targets[:, index].mean()),
            "drawn_share": None if drawn is None else float(drawn[index]),
            "factors": {key: _of_class(criterion.get(key), index) for key in _FACTORS
                        if _of_class(criterion.get(key), index) is not None},
            "recall": found.recall,
            "precision": found.precision,
            "f1": found.f1,
        })  # fmt: skip
    loss = training.get("loss") or {}
    return {"loss": loss.get("name"), "criterion": criterion, "sampler": sampler, "classes": rows}


def drawn_shares(sampler: str, targets: NDArray[np.uint8], epochs: int = 10) -> NDArray[np.float64]:
    """(K,) share of the samples of an epoch that show each class, as `sampler` draws them."""
    draw = create_draw(sampler, targets)
    generator = torch.Generator().manual_seed(0)
    numbers = np.concatenate([draw(generator) for _ in range(epochs)])
    shares: NDArray[np.float64] = targets[numbers % len(targets)].mean(axis=0, dtype=np.float64)
    return shares


def _training_targets(test: TestSet) -> NDArray[np.uint8] | None:
    """(N, K) of the training pictures, where the weights come from this data set."""
    if test.parts is None or not test.parts.parts.get("train"):
        return None
    return image_targets(test.parts.parts["train"], test.label_space)


def _of_class(values: Any, index: int) -> float | None:
    if isinstance(values, (list, tuple)):
        return float(values[index])
    return float(values) if isinstance(values, (int, float)) else None

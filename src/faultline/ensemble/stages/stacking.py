"""Stage 3: a second classifier on the members' logits (Wolpert 1992, Stacked generalization)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch

from faultline.ensemble import heads
from faultline.ensemble.heads import Features
from faultline.ensemble.stage import STAGES, Arrays, Stage, StageNotPossibleError
from faultline.ensemble.tables import Inputs
from faultline.extras import import_extra
from faultline.metrics.inputs import Bools, Floats
from faultline.predict.probability import to_probability
from faultline.types import LabelKind

STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Inverse strengths of the L2 penalty, of which validation chooses one."""
_SURE = 15.0
"""Logit of a class that always, or never, occurs in training."""


class Logistic:
    """Logistic regression on rows of features, L2 strength by validation loss.

    Attributes:
        mean: (F,) of the training rows.
        scale: (F,) their deviation.
        coef: (F, K).
        intercept: (K,).
        strength: The chosen one of `STRENGTHS`.
    """

    def __init__(self) -> None:
        self.mean = self.scale = self.intercept = np.zeros(0)
        self.coef = np.zeros((0, 0))
        self.strength = float("nan")

    def fit(
        self, train: tuple[Features, Bools], valid: tuple[Features, Bools], kind: LabelKind
    ) -> None:
        """Learn from `train`; the strength with the lowest loss on `valid` is kept."""
        rows = train[0].astype(np.float64)
        self.mean, self.scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
        loss, truth = heads.loss_for(kind), torch.from_numpy(valid[1].astype(np.float64))
        best = float("inf")
        for strength in STRENGTHS:
            coef, intercept = _fitted(self._scaled(rows), train[1], kind, strength)
            logits = self._scaled(valid[0].astype(np.float64)) @ coef + intercept
            value = float(loss(torch.from_numpy(logits), truth).mean())
            if value < best:
                best, self.strength = value, strength
                self.coef, self.intercept = coef, intercept

    def logits(self, rows: Features) -> Floats:
        """(N, F) -> (N, K)."""
        found: Floats = self._scaled(rows.astype(np.float64)) @ self.coef + self.intercept
        return found

    def probability(self, rows: Features, kind: LabelKind) -> Floats:
        """(N, F) -> (N, K)."""
        found = to_probability(torch.from_numpy(self.logits(rows)), kind)
        return found.double().numpy()

    def arrays(self) -> Arrays:
        """What was learnt."""
        return {"mean": self.mean, "scale": self.scale, "coef": self.coef,
                "intercept": self.intercept}  # fmt: skip

    def restore(self, arrays: Arrays, strength: float) -> None:
        """Take it back."""
        self.mean, self.scale = arrays["mean"], arrays["scale"]
        self.coef, self.intercept = arrays["coef"], arrays["intercept"]
        self.strength = strength

    def _scaled(self, rows: Floats) -> Floats:
        found: Floats = np.clip((rows - self.mean) / self.scale, -10, 10)
        return found


@STAGES.register("stacking_logistic")
@final
class StackingLogistic(Stage):
    """Logistic regression on the logits of all members."""

    number, name = 3, "stacking_logistic"

    def __init__(self) -> None:
        super().__init__()
        self.model = Logistic()

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        self.model.fit(
            (heads.flat_logits(train), train.rows.truth),
            (heads.flat_logits(valid), valid.rows.truth), train.kind,
        )  # fmt: skip

    def _predict(self, inputs: Inputs) -> Floats:
        return self.model.probability(heads.flat_logits(inputs), inputs.kind)

    def facts(self) -> dict[str, Any]:
        """The strength that validation chose."""
        return {"strength": self.model.strength}

    def arrays(self) -> Arrays:
        """Scaling and coefficients."""
        return self.model.arrays()

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Take them back."""
        self.model.restore(arrays, float(facts["strength"]))


@STAGES.register("stacking_mlp")
@final
class StackingMlp(Stage):
    """A network with one hidden layer on the logits of all members.

    Args:
        hidden: Its width.
        seed: Seed.
    """

    number, name = 3, "stacking_mlp"

    def __init__(self, hidden: int = 32, seed: int = 42) -> None:
        super().__init__()
        self.hidden, self.seed = hidden, seed
        self.head: heads.Head | None = None

    def settings(self) -> dict[str, Any]:
        """Width and seed."""
        return {"hidden": self.hidden, "seed": self.seed}

    def _build(self) -> heads.Head:
        assert self.shape is not None
        return heads.mlp(self.shape.members * self.shape.classes, self.shape.classes, self.hidden)

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        self.head = heads.fit_head(
            self._build, (heads.flat_logits(train), train.rows.truth),
            (heads.flat_logits(valid), valid.rows.truth), heads.loss_for(train.kind),
            seed=self.seed,
        )  # fmt: skip

    def _predict(self, inputs: Inputs) -> Floats:
        assert self.head is not None
        return heads.answer(self.head, heads.flat_logits(inputs), inputs.kind)

    def arrays(self) -> Arrays:
        """Its tensors."""
        assert self.head is not None
        return heads.kept(self.head)

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Take them back."""
        self.head = heads.restored(self._build(), arrays)


@STAGES.register("stacking_xgboost")
@final
class StackingXgboost(Stage):
    """Boosted trees (Chen and Guestrin 2016) on the logits of all members; needs xgboost.

    Args:
        rounds: At most this many; validation stops earlier.
        depth: Of a tree.
        seed: Seed.
    """

    number, name = 3, "stacking_xgboost"

    def __init__(self, rounds: int = 200, depth: int = 3, seed: int = 42) -> None:
        super().__init__()
        self.rounds, self.depth, self.seed = rounds, depth, seed
        self.boosters: list[Any] = []

    def settings(self) -> dict[str, Any]:
        """Rounds, depth and seed."""
        return {"rounds": self.rounds, "depth": self.depth, "seed": self.seed}

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        xgb = import_extra("xgboost", "ensemble")
        rows, choose = heads.flat_logits(train), heads.flat_logits(valid)
        common = {"max_depth": self.depth, "eta": 0.1, "subsample": 0.8, "seed": self.seed,
                  "nthread": 1, "verbosity": 0}  # fmt: skip
        if train.kind is LabelKind.MULTICLASS:
            count = train.rows.truth.shape[1]
            objectives = [({"objective": "multi:softprob", "num_class": count,
                            "eval_metric": "mlogloss"},
                           train.rows.truth.argmax(1), valid.rows.truth.argmax(1))]  # fmt: skip
        else:
            if not (train.rows.truth.any(0) & ~train.rows.truth.all(0)).all():
                raise StageNotPossibleError("a class is in all or in none of the training pictures")
            objectives = [
                ({"objective": "binary:logistic", "eval_metric": "logloss"},
                 train.rows.truth[:, k].astype(int), valid.rows.truth[:, k].astype(int))
                for k in range(train.rows.truth.shape[1])
            ]  # fmt: skip
        self.boosters = [
            self._boosted(xgb, {**common, **objective}, rows, labels, choose, wanted)
            for objective, labels, wanted in objectives
        ]

    def _boosted(
        self, xgb: Any, params: dict[str, Any], rows: Features, labels: Any, choose: Features,
        wanted: Any,
    ) -> Any:  # fmt: skip
        booster = xgb.train(
            params, xgb.DMatrix(rows, label=labels), self.rounds,
            evals=[(xgb.DMatrix(choose, label=wanted), "valid")],
            early_stopping_rounds=20, verbose_eval=False,
        )  # fmt: skip
        return booster[: booster.best_iteration + 1]

    def _predict(self, inputs: Inputs) -> Floats:
        xgb = import_extra("xgboost", "ensemble")
        rows = xgb.DMatrix(heads.flat_logits(inputs))
        found = [np.asarray(booster.predict(rows), np.float64) for booster in self.boosters]
        return found[0] if inputs.kind is LabelKind.MULTICLASS else np.stack(found, axis=1)

    def facts(self) -> dict[str, Any]:
        """Rounds that validation kept."""
        return {"kept_rounds": [int(one.num_boosted_rounds()) for one in self.boosters]}

    def arrays(self) -> Arrays:
        """The trees, as JSON."""
        return {
            f"booster{number}": np.frombuffer(bytes(one.save_raw("json")), np.uint8)
            for number, one in enumerate(self.boosters)
        }

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Take them back."""
        xgb = import_extra("xgboost", "ensemble")
        self.boosters = []
        for number in range(len(arrays)):
            booster = xgb.Booster({"nthread": 1})
            booster.load_model(bytearray(arrays[f"booster{number}"].tobytes()))
            self.boosters.append(booster)


def _fitted(rows: Floats, truth: Bools, kind: LabelKind, strength: float) -> tuple[Floats, Floats]:
    """Coefficients (F, K) and intercepts (K,); a class that never varies has a constant logit."""
    if kind is LabelKind.MULTICLASS:
        return _softmax_fit(rows, truth.argmax(axis=1), truth.shape[1], strength)
    coef, intercept = np.zeros((rows.shape[1], truth.shape[1])), np.zeros(truth.shape[1])
    for k in range(truth.shape[1]):
        if truth[:, k].all() or not truth[:, k].any():
            intercept[k] = _SURE if truth[0, k] else -_SURE
        else:
            one = _regression(strength).fit(rows, truth[:, k])
            coef[:, k], intercept[k] = one.coef_[0], one.intercept_[0]
    return coef, intercept


def _softmax_fit(rows: Floats, labels: Any, classes: int, strength: float) -> tuple[Floats, Floats]:
    coef, intercept = np.zeros((rows.shape[1], classes)), np.full(classes, -_SURE)
    there = np.unique(labels)
    if len(there) == 1:
        intercept[there[0]] = _SURE
        return coef, intercept
    one = _regression(strength).fit(rows, labels)
    if len(there) == 2:  # scikit-learn gives the logit of the second class alone
        coef[:, there[1]], intercept[there] = one.coef_[0], (0.0, one.intercept_[0])
    else:
        coef[:, there], intercept[there] = one.coef_.T, one.intercept_
    return coef, intercept


def _regression(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=2000)

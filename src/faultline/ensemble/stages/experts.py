"""Stage 5: a gate chooses, for each picture, the k members that answer it (Shazeer et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from faultline.ensemble import heads
from faultline.ensemble.heads import Features, Head, Loss
from faultline.ensemble.stage import STAGES, Arrays, Stage
from faultline.ensemble.tables import Inputs
from faultline.errors import ConfigError
from faultline.metrics.inputs import Floats
from faultline.types import LabelKind

_TINY = 1e-6


class Gate(Head):
    """Features -> weights of the members, of which all but the `top` largest are 0.

    The row's member probabilities travel behind the features, so that a batch of rows is all that
    training needs: (B, F + M K) in, the mixture's (B, K) probabilities out.

    Args:
        features: F.
        members: M.
        classes: K.
        top: Members that answer.
    """

    def __init__(self, features: int, members: int, classes: int, top: int) -> None:
        body = heads.mlp(features, members, 32, 0.2).body
        super().__init__([features + members * classes], body)
        self.features, self.members, self.classes, self.top = features, members, classes, top

    def weights(self, x: Tensor) -> Tensor:
        """(B, F + M K) -> (B, M), a softmax over the `top` members."""
        scores = self.body(self.standardise(x)[:, : self.features])
        chosen = scores.topk(self.top, dim=1).indices
        masked = torch.full_like(scores, float("-inf")).scatter(1, chosen, scores.gather(1, chosen))
        return masked.softmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F + M K) -> probabilities (B, K)."""
        experts = x[:, self.features :].view(-1, self.members, self.classes)
        return (self.weights(x)[:, :, None] * experts).sum(dim=1)


@STAGES.register("mixture_of_experts")
@final
class MixtureOfExperts(Stage):
    """A gate on logits and embeddings gives each picture to the members that suit it.

    Args:
        top_k: Members that answer a picture; all of them where there are fewer.
        seed: Seed.
    """

    number, name = 5, "mixture_of_experts"

    def __init__(self, top_k: int = 2, seed: int = 42) -> None:
        super().__init__()
        if top_k < 1:
            raise ConfigError(f"top_k={top_k} is below 1")
        self.top_k, self.seed = top_k, seed
        self.gate: Gate | None = None

    def settings(self) -> dict[str, Any]:
        """Members that answer, and seed."""
        return {"top_k": self.top_k, "seed": self.seed}

    def _build(self) -> Gate:
        assert self.shape is not None
        shape = self.shape
        features = shape.members * (shape.classes + shape.anchors)
        return Gate(features, shape.members, shape.classes, min(self.top_k, shape.members))

    def _fit(self, train: Inputs, valid: Inputs) -> None:
        head = heads.fit_head(
            self._build,
            (_rows(train), train.rows.truth),
            (_rows(valid), valid.rows.truth),
            mixture_loss(train.kind),
            seed=self.seed,
        )
        assert isinstance(head, Gate)
        self.gate = head

    @torch.inference_mode()
    def _predict(self, inputs: Inputs) -> Floats:
        assert self.gate is not None
        return self.gate.eval()(torch.from_numpy(_rows(inputs))).double().numpy()  # type: ignore[no-any-return]

    @torch.inference_mode()
    def shares(self, inputs: Inputs) -> Floats:
        """(N, M) weight of each member in each answer."""
        assert self.gate is not None
        found = self.gate.eval().weights(torch.from_numpy(_rows(inputs)))
        return found.double().numpy()

    def arrays(self) -> Arrays:
        """The gate."""
        assert self.gate is not None
        return heads.kept(self.gate)

    def restore(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Take it back."""
        gate = heads.restored(self._build(), arrays)
        assert isinstance(gate, Gate)
        self.gate = gate


def mixture_loss(kind: LabelKind) -> Loss:
    """Negative log-likelihood of probabilities (B, K), one value a row."""
    if kind is LabelKind.MULTICLASS:
        return lambda found, truth: -(truth * found.clamp_min(_TINY).log()).sum(1)
    return lambda found, truth: F.binary_cross_entropy(
        found.clamp(_TINY, 1 - _TINY), truth, reduction="none"
    ).mean(1)


def _rows(inputs: Inputs) -> Features:
    """(N, M (K + A) + M K): features, and behind them the members' probabilities."""
    experts = inputs.probability.reshape(len(inputs), -1).astype(np.float32)
    return np.concatenate([heads.all_features(inputs), experts], axis=1)

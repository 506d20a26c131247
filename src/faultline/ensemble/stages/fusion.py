"""Stage 4: the members' embeddings fused, by concatenation, attention or products.

Embeddings are told by their similarity to the same anchor pictures (`Table.relative`): those of
different folds' networks have no axes in common, and out-of-fold rows come from five of them.
"""

from __future__ import annotations

from itertools import combinations
from typing import final

import torch
from torch import Tensor, nn

from faultline.ensemble import heads
from faultline.ensemble.heads import Features, Head
from faultline.ensemble.stage import STAGES, Shape
from faultline.ensemble.stages.headed import HeadedStage
from faultline.ensemble.tables import Inputs

_WIDTH = 32
_DROPOUT = 0.3


class AttentionPool(nn.Module):
    """Weighs the members for each picture by what each saw in it (Ilse et al. 2018, eq. 8).

    Args:
        shape: M, K and A.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        # Each member has its own way into the common space.
        self.into = nn.ModuleList(nn.Linear(shape.anchors, _WIDTH) for _ in range(shape.members))
        self.score = nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.Tanh(), nn.Linear(_WIDTH, 1))
        self.head = nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(_WIDTH, shape.classes))

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, A) -> logits (B, K)."""
        tokens = torch.stack(
            [torch.relu(into(x[:, m])) for m, into in enumerate(self.into)], dim=1
        )  # (B, M, D)
        weight = self.score(tokens).softmax(dim=1)  # (B, M, 1)
        return self.head((weight * tokens).sum(dim=1))  # type: ignore[no-any-return]


class BilinearPool(nn.Module):
    """Products of every two members' projections: low-rank bilinear pooling (Kim et al. 2017).

    Args:
        shape: M, K and A.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.pairs = list(combinations(range(shape.members), 2))
        self.into = nn.ModuleList(nn.Linear(shape.anchors, _WIDTH) for _ in range(shape.members))
        self.head = nn.Sequential(
            nn.Dropout(_DROPOUT), nn.Linear(_WIDTH * len(self.pairs), shape.classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, A) -> logits (B, K)."""
        projected = [torch.tanh(into(x[:, m])) for m, into in enumerate(self.into)]
        products = [projected[first] * projected[second] for first, second in self.pairs]
        return self.head(torch.cat(products, dim=1))  # type: ignore[no-any-return]


class _Fusion(HeadedStage):
    """Relative embeddings (N, M, A) -> a head."""

    number = 4

    def features(self, inputs: Inputs) -> Features:
        """(N, M, A)."""
        return inputs.relative


@STAGES.register("fusion_concat")
@final
class FusionConcat(_Fusion):
    """A hidden layer on the embeddings of all members side by side."""

    name = "fusion_concat"

    def build(self, shape: Shape) -> Head:
        """One hidden layer."""
        return heads.mlp(shape.members * shape.anchors, shape.classes, _WIDTH, _DROPOUT)

    def features(self, inputs: Inputs) -> Features:
        """(N, M A)."""
        return inputs.relative.reshape(len(inputs), -1)


@STAGES.register("fusion_attention")
@final
class FusionAttention(_Fusion):
    """A mean of the members' embeddings, weighted for each picture by attention."""

    name = "fusion_attention"

    def build(self, shape: Shape) -> Head:
        """See `AttentionPool`."""
        return Head([shape.members, shape.anchors], AttentionPool(shape))


@STAGES.register("fusion_bilinear")
@final
class FusionBilinear(_Fusion):
    """Products of every two members' embeddings, of low rank."""

    name = "fusion_bilinear"

    def build(self, shape: Shape) -> Head:
        """See `BilinearPool`."""
        return Head([shape.members, shape.anchors], BilinearPool(shape))

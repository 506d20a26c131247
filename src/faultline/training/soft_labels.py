"""Labels that a teacher gives: how probable it finds every class (Hinton et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from faultline.errors import ConfigError, DataError
from faultline.types import LabelKind

_EPS = 1e-6


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """A teacher's probabilities of the training pictures, and how much they count.

    Attributes:
        by_id: (K,) probabilities by the id of the picture.
        kind: How classes relate.
        temperature: T, by which the logits of both are divided; above 1, so that what the teacher
            finds second best counts too.
        share: Share of the teacher in the loss; the rest is that of the labels.
        teacher: What it is, for the record.
    """

    by_id: Mapping[str, npt.NDArray[np.floating[Any]]]
    kind: LabelKind
    temperature: float = 3.0
    share: float = 0.7
    teacher: str = ""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"temperature={self.temperature} is not above 0")
        if not 0 <= self.share <= 1:
            raise ConfigError(f"share={self.share} is not from 0 to 1")

    def table(self, ids: Sequence[str]) -> Tensor:
        """(N, K) float32 for pictures in this order.

        Raises:
            DataError: The teacher has not answered one.
        """
        missing = [one for one in ids if one not in self.by_id]
        if missing:
            raise DataError(f"the teacher has no answer to {len(missing)} pictures: {missing[0]}")
        return torch.from_numpy(np.stack([self.by_id[one] for one in ids])).float()

    def loss(self, logits: Tensor, probability: Tensor) -> Tensor:
        """T^2 times the divergence of the student's (B, K) logits from the teacher, a scalar.

        T^2 keeps the gradients of the size that they have without a temperature (section 2).
        """
        heat = self.temperature
        if self.kind is LabelKind.MULTICLASS:
            teacher = (probability.clamp_min(_EPS).log() / heat).log_softmax(1)
            student = (logits / heat).log_softmax(1)
            divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
            return heat**2 * divergence
        teacher = (probability.logit(eps=_EPS) / heat).sigmoid()
        crossed = F.binary_cross_entropy_with_logits(logits / heat, teacher)
        return heat**2 * (crossed - F.binary_cross_entropy(teacher, teacher))

    def to_dict(self) -> dict[str, Any]:
        """Settings, for the record."""
        return {"teacher": self.teacher, "temperature": self.temperature, "share": self.share}

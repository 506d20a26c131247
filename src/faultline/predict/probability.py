"""Logits -> probabilities -> mask: the only place where either step is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from faultline.types import LabelKind


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one picture.

    Attributes:
        probability: (K, H, W) float32, at the size of the picture.
        mask: uint8. Binary: (H, W) of 0 and 1. Multiclass: (H, W) of class indices.
            Multilabel: (K, H, W) of 0 and 1.
        threshold: Probability from which a pixel counts (not used by multiclass).
        maker: Fingerprint of the bundle that made it.
        seconds: Time taken; a picture in a batch counts its share.
        first: First plane of a multilabel mask that is no background.
    """

    probability: NDArray[np.float32]
    mask: NDArray[np.uint8]
    threshold: float
    maker: str
    seconds: float
    first: int = 0

    @property
    def foreground(self) -> NDArray[np.uint8]:
        """(H, W) of 0 and 1: where anything but background was found."""
        found = self.mask[self.first :].any(axis=0) if self.mask.ndim == 3 else self.mask > 0
        return np.asarray(found).view(np.uint8)


def to_probability(logits: Tensor, kind: LabelKind) -> Tensor:
    """Logits (B, K, H, W), any float type -> probabilities (B, K, H, W) in float32.

    Binary and multilabel: one sigmoid per class. Multiclass: a softmax over classes.
    """
    logits = logits.float()
    return logits.softmax(dim=1) if kind is LabelKind.MULTICLASS else logits.sigmoid()


def to_mask(
    probability: NDArray[np.float32], kind: LabelKind, threshold: float
) -> NDArray[np.uint8]:
    """Mask of probabilities (K, H, W), as `Prediction.mask` describes it.

    A pixel is positive where its probability is at least `threshold`.
    """
    if kind is LabelKind.MULTICLASS:
        return np.asarray(probability.argmax(axis=0), dtype=np.uint8)
    positive = (probability >= np.float32(threshold)).view(np.uint8)
    return positive[0] if kind is LabelKind.BINARY else positive

"""Layer 1: the weighted vote of several sources on every pixel (document 2 section 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.errors import ContractError

Belief = NDArray[np.float32]

GRABCUT, ACTIVATION, SAM = "grabcut", "activation", "sam"
WEIGHTS: Mapping[str, float] = {GRABCUT: 0.3, ACTIVATION: 0.5, SAM: 0.2}
CERTAIN = 0.6
"""Confidence below which a pixel is uncertain: no loss counts it."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What a vote came to.

    Attributes:
        winner: (H, W) booleans: whether "yes" won.
        confidence: (H, W) float32, 0.5 to 1: the winning vote as a share of all votes.
    """

    winner: NDArray[np.bool_]
    confidence: Belief


def vote(beliefs: Mapping[str, Belief], weights: Mapping[str, float] = WEIGHTS) -> Vote:
    """Vote yes or no on every pixel.

    A source that believes b of a pixel gives w b votes to "yes" and w (1 - b) to "no"; a source
    without an opinion (b = 0.5) gives half of its votes to each, so that a pixel of which only
    one source speaks is never as sure as one of which two say the same. Weights of sources that
    are not there drop out of numerator and denominator alike, which renormalises the others.

    Args:
        beliefs: Source -> (H, W), 0 to 1.
        weights: Source -> weight.

    Raises:
        ContractError: There is no source, or one has no weight or another shape.
    """
    if not beliefs:
        raise ContractError("a vote needs at least one source")
    shapes = {belief.shape for belief in beliefs.values()}
    unknown = sorted(set(beliefs) - set(weights))
    if unknown or len(shapes) > 1:
        raise ContractError(f"sources {sorted(beliefs)} of shapes {shapes}, weights of {unknown}?")
    yes = np.zeros(shapes.pop(), np.float64)
    total = 0.0
    for name, belief in beliefs.items():
        yes += weights[name] * np.clip(belief.astype(np.float64), 0, 1)
        total += weights[name]
    no = total - yes
    confidence = np.maximum(yes, no) / total
    return Vote(yes > no, confidence.astype(np.float32))

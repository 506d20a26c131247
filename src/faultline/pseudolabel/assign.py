"""From beliefs to a mask: plant or background first, then which channel a plant pixel is in.

The sources speak of plant and background; SAM knows of nothing else, and an activation map is far
too coarse to outline a lesion. So there are two votes, and the second is on plant pixels alone:

1. Plant or background: GrabCut 0.3, activation 0.5, SAM 0.2.
2. Sign of disease or healthy: the pixel's colour (with the weight of GrabCut, whose seeds are
   colour), and the activation of the picture's class (0.5).
   - Colour like healthy green: healthy, however hot the map, because a hot cell of the map covers
     the green around a lesion too.
   - Colour unlike it, activation high and green tissue nearby: the class's channel.
   - Colour unlike it, and no activation: may be a dry tip or shade; the votes nearly balance, and
     the pixel is uncertain. So it is with activation far from anything green: classifiers look at
     litter too. The price is that a plant that has dried up wholly is uncertain all over.
   In classes whose sign is a shape and not a colour (structural anomaly) activation alone decides.

The confidence of a pixel is the lower one of its votes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.pseudolabel.channels import BACKGROUND, HEALTHY, STRUCTURAL, Bits, bit
from faultline.pseudolabel.class_table import PlantClass
from faultline.pseudolabel.fusion import ACTIVATION, GRABCUT, Belief, vote

_HIGH = 0.4
"""Share of the highest activation on the plant from which activation counts fully."""
_SILENT = 0.25
"""What an activation map believes of a wholly unlike colour at which it does not look."""
_STRONG = 0.8
"""Unlikeness from which a sign is in the secondary channel too."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A mask and how sure it is.

    Attributes:
        bits: (H, W) uint8, see `channels`.
        confidence: (H, W) float32, 0 to 1.
    """

    bits: Bits
    confidence: Belief


def assign(
    of: PlantClass,
    plant_beliefs: Mapping[str, Belief],
    unlike: Belief,
    green: Belief,
    heat: Belief | None,
) -> Drawn:
    """Mask of a picture.

    Args:
        of: The class of the picture; its table says which channels its signs are in.
        plant_beliefs: Source -> (H, W), how surely each pixel is plant.
        unlike: (H, W), how unlike healthy green each pixel is, 0 to 1.
        green: (H, W), whether there is healthy green nearby, 0 to 1.
        heat: (H, W), activation of the class, 0 to 1; None where there is no classifier.
    """
    first = vote(plant_beliefs)
    bits = np.where(first.winner, bit(HEALTHY), bit(BACKGROUND)).astype(np.uint8)
    if of.primary == HEALTHY:
        return Drawn(bits, first.confidence)
    second = vote(_sign_beliefs(of, unlike, green, heat, first.winner))
    sick = first.winner & second.winner
    bits[sick] = bit(of.primary)
    if of.secondary is not None:
        bits[sick & (unlike >= _STRONG)] |= bit(of.secondary)
    both = np.minimum(first.confidence, second.confidence)
    return Drawn(bits, np.where(first.winner, both, first.confidence).astype(np.float32))


def _sign_beliefs(
    of: PlantClass,
    unlike: Belief,
    green: Belief,
    heat: Belief | None,
    plant: NDArray[np.bool_],
) -> dict[str, Belief]:
    """What colour and activation believe of "sign of disease"."""
    looked_at = None if heat is None else _relative(heat, plant)
    if of.primary == STRUCTURAL:
        # Without a classifier nothing tells an anomaly of shape from the plant it grows on: the
        # class is the only hint, as in the document's draft masks.
        shape = np.where(plant, 1.0, 0.0) if looked_at is None else looked_at
        return {ACTIVATION: shape.astype(np.float32)}
    if looked_at is None:
        return {GRABCUT: unlike}
    seen = _SILENT + (1 - _SILENT) * looked_at * green
    return {GRABCUT: unlike, ACTIVATION: (unlike * seen).astype(np.float32)}


def _relative(heat: Belief, plant: NDArray[np.bool_]) -> Belief:
    """Activation against its highest value on the plant, 1 from `_HIGH` of it."""
    highest = float(heat[plant].max(initial=0.0))
    if highest <= 0:
        return np.zeros_like(heat)
    return np.asarray(np.clip(heat / (_HIGH * highest), 0, 1), np.float32)

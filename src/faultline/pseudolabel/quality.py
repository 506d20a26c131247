"""Layers 2 and 3: how good a mask is, its tier, and what a mask of its class must satisfy.

Document 2, section 5.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import perimeter_crofton

from faultline.pseudolabel.channels import (
    DEGRADATION,
    HEALTHY,
    STRUCTURAL,
    SURFACE,
    Bits,
    holds,
    plant,
)
from faultline.pseudolabel.class_table import PlantClass, Rule
from faultline.pseudolabel.fusion import CERTAIN

TIERS = ("A", "B", "C")
TIER_A, TIER_B = 0.8, 0.5
EXPECTED_PLANT = 0.2


@dataclass(frozen=True, slots=True)
class Quality:
    """Everything that a mask is judged by.

    Attributes:
        score: 0 to 1.
        tier: "A", "B" or "C", after the rules.
        score_tier: The tier that the score alone gives.
        broken: Rules that it breaks, as text.
        components: Connected regions of plant (8 neighbours).
        largest_component: Largest one as a share of all plant; 0 where there is no plant.
        uncertain: Share of the picture of which the sources are not sure.
        smoothness: Perimeter squared over 4 pi area; 1 for a disc, more the more ragged.
        shares: Shares of the picture, by the measures of the rules.
    """

    score: float
    tier: str
    score_tier: str
    broken: tuple[str, ...]
    components: int
    largest_component: float
    uncertain: float
    smoothness: float
    shares: dict[str, float]

    def row(self) -> dict[str, Any]:
        """Flat plain values, for a table."""
        values = asdict(self)
        shares = {f"{name}_ratio": value for name, value in values.pop("shares").items()}
        return {**values, "broken": "; ".join(self.broken), **shares}


def judge(
    bits: Bits,
    confidence: NDArray[np.floating[Any]],
    of: PlantClass,
    universal: Iterable[Rule] = (),
) -> Quality:
    """Score, tier and rules of one mask.

    Args:
        bits: (H, W), see `channels`.
        confidence: (H, W), 0 to 1.
        of: The class of the picture.
        universal: Rules for every class.
    """
    found = plant(bits)
    uncertain = float((np.asarray(confidence, np.float32) < CERTAIN).mean())
    components, largest = _components(found)
    smoothness = _smoothness(found)
    shares = shares_of(bits)
    score = quality_score(largest, uncertain, shares["plant"], smoothness)
    broken = tuple(r.text for r in (*universal, *of.rules) if not r.holds(shares))
    before = tier_of(score)
    tier = downgraded(before) if broken else before
    return Quality(score, tier, before, broken, components, largest, uncertain, smoothness, shares)


def quality_score(largest: float, uncertain: float, plant_ratio: float, smoothness: float) -> float:
    """The score of layer 2.

    0.4 largest component + 0.3 (1 - uncertain) + 0.2 min(1, plant / 0.2) + 0.1 (1 - penalty).

    The document leaves the penalty for rough boundaries open. Here it is 1 - 1 / smoothness, so
    that 1 - penalty is the circularity: 1 for a disc, 0.44 for a leaf five times as long as wide,
    towards 0 for a ragged mask. No further number has to be chosen.

    Args:
        largest: Largest component as a share of the plant.
        uncertain: Share of uncertain pixels.
        plant_ratio: Share of plant pixels.
        smoothness: Perimeter squared over 4 pi area; infinite where there is no plant.
    """
    penalty = 1.0 - min(1.0, 1.0 / smoothness) if smoothness > 0 else 0.0
    return (
        0.4 * largest
        + 0.3 * (1.0 - uncertain)
        + 0.2 * min(1.0, plant_ratio / EXPECTED_PLANT)
        + 0.1 * (1.0 - penalty)
    )


def tier_of(score: float) -> str:
    """A from 0.8, B from 0.5, else C."""
    return "A" if score >= TIER_A else "B" if score >= TIER_B else "C"


def downgraded(tier: str) -> str:
    """One tier worse; C stays C."""
    return TIERS[min(TIERS.index(tier) + 1, len(TIERS) - 1)]


def shares_of(bits: Bits) -> dict[str, float]:
    """Shares of the picture by the measures of the rules; `signs` is the sum of its three."""
    named = {"healthy": HEALTHY, "anomaly": STRUCTURAL, "surface": SURFACE,
             "degradation": DEGRADATION}  # fmt: skip
    shares = {name: float(holds(bits, channel).mean()) for name, channel in named.items()}
    shares["plant"] = float(plant(bits).mean())
    shares["signs"] = shares["anomaly"] + shares["surface"] + shares["degradation"]
    return shares


def largest_component(found: NDArray[np.bool_]) -> int:
    """Pixels of the largest connected region (8 neighbours); 0 where there is none."""
    return int(_areas(found).max(initial=0))


def _components(found: NDArray[np.bool_]) -> tuple[int, float]:
    areas = _areas(found)
    return len(areas), float(areas.max() / areas.sum()) if len(areas) else 0.0


def _areas(found: NDArray[np.bool_]) -> NDArray[np.int32]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    return np.asarray(stats[1:, cv2.CC_STAT_AREA])


def _smoothness(found: NDArray[np.bool_]) -> float:
    area = int(found.sum())
    if not area:
        return float("inf")
    # Crofton's formula: counting pixel edges would find a slanted leaf rougher than an upright one.
    measured = perimeter_crofton(found.astype(np.uint8), directions=4)  # type: ignore[no-untyped-call]
    perimeter = float(measured)
    return perimeter**2 / (4 * np.pi * area)

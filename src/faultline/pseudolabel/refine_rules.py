"""Layer 6, the rules: what a segmenter changes in a label, and when refinement has to stop.

Document 2, section 5.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.pseudolabel.assign import Drawn
from faultline.pseudolabel.channels import BACKGROUND, Bits, to_bits

MAX_ROUNDS = 3
CONVERGED = 15.0
"""Per cent of pixels up to which a round's changes count as converged."""
GATE_FROM = 3
"""First round whose drift may block."""

CONTINUE, DONE, DIVERGED, BLOCKED = "continue", "converged", "diverged", "blocked"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows from a round.

    Attributes:
        status: "continue" (one more round), "converged", "diverged" or "blocked".
        accepted: Whether the round's labels replace those before.
        reason: Why.
    """

    status: str
    accepted: bool
    reason: str


def judge_round(drifts: Sequence[float]) -> Outcome:
    """What follows, given the drift in per cent of every round so far, this one last.

    - More changes than in the round before: the labels of the round before stay (divergence).
    - From round 3 more than 15 %: not converging; that blocks, and the labels before stay.
    - At most 15 %: converged. More, in rounds 1 and 2: one more round.
    """
    number, now = len(drifts), drifts[-1]
    if number >= GATE_FROM and now > CONVERGED:
        return Outcome(
            BLOCKED, False,
            f"round {number} still changes {now:.1f} % of the pixels, more than {CONVERGED:g} %: "
            "look at the samples that oscillate, correct them, and start again from round 1",
        )  # fmt: skip
    if number > 1 and now > drifts[-2]:
        return Outcome(
            DIVERGED, False,
            f"round {number} changes more pixels ({now:.1f} %) than round {number - 1} "
            f"({drifts[-2]:.1f} %): the labels of round {number - 1} stay",
        )  # fmt: skip
    if now <= CONVERGED:
        return Outcome(DONE, True, f"round {number} changes {now:.1f} % of the pixels")
    return Outcome(
        CONTINUE, True,
        f"round {number} changes {now:.1f} % of the pixels, more than {CONVERGED:g} %: "
        "train on the refined labels and refine once more",
    )  # fmt: skip


def merge(
    bits: Bits,
    confidence: NDArray[np.floating],
    probability: NDArray[np.float32],
    threshold: float,
) -> Drawn:
    """A label updated by what a segmenter says.

    Where both say the same, either may be wrong only if both are: the confidence becomes
    1 - (1 - old)(1 - new). Where they differ the surer one wins, and what is left of its confidence
    is (1 + winner - loser) / 2: two that are equally sure leave the pixel uncertain, at 0.5.

    Args:
        bits: (H, W), the label.
        confidence: (H, W), 0 to 1.
        probability: (5, H, W) of the segmenter.
        threshold: Probability from which a channel holds.
    """
    layers = probability >= threshold
    layers[BACKGROUND] = ~layers[1:].any(axis=0)
    said = to_bits(layers)
    sure = np.where(layers[1:], probability[1:], 1 - probability[1:]).min(axis=0)
    old = np.asarray(confidence, np.float32)
    same = said == bits
    agreed = 1 - (1 - old) * (1 - sure)
    wins = ~same & (sure > old)
    contested = (1 + np.abs(sure - old)) / 2
    merged = np.where(wins, said, bits).astype(np.uint8)
    return Drawn(merged, np.where(same, agreed, contested).astype(np.float32))


def changed_share(before: Bits, after: Bits) -> float:
    """Share of the pixels that are in other channels than before."""
    return float((before != after).mean())

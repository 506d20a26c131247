"""Whether runs have learnt different things: similarity of their features on the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from faultline.analysis.kept import Observed
from faultline.analysis.stages import EMBEDDING
from faultline.metrics.similarity import debiased_linear_cka, linear_cka

LEAST = 4
"""Pictures below which nothing is said."""


@dataclass(frozen=True, slots=True)
class Alike:
    """How similar the features of two runs are at one stage.

    Attributes:
        stage: "stage 1" to "stage 4", or "embedding".
        first: A run.
        second: Another.
        pictures: Pictures that both saw.
        cka: Linear CKA.
        debiased: The same with the unbiased estimate, about 0 for unrelated features.
    """

    stage: str
    first: str
    second: str
    pictures: int
    cka: float
    debiased: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


def similarities(runs: Sequence[str], observed: Sequence[Observed]) -> list[Alike]:
    """Every two runs, at every stage that both have and at the embedding."""
    stages = dict.fromkeys(name for one in observed for name in one.pooled if name != EMBEDDING)
    found = []
    for stage in [*sorted(stages), EMBEDDING]:
        have = [k for k, one in enumerate(observed) if stage in one.pooled]
        for place, a in enumerate(have):
            found += [_alike(stage, runs, observed, a, b) for b in have[place + 1 :]]
    return [one for one in found if one.pictures >= LEAST]


def _alike(stage: str, runs: Sequence[str], observed: Sequence[Observed], a: int, b: int) -> Alike:
    rows = [{name: row for row, name in enumerate(observed[k].pictures)} for k in (a, b)]
    ids = [name for name in rows[0] if name in rows[1]]
    if len(ids) < LEAST:
        return Alike(stage, runs[a], runs[b], len(ids), float("nan"), float("nan"))
    x, y = (
        observed[k].pooled[stage][[row[name] for name in ids]]
        for k, row in zip((a, b), rows, strict=True)
    )
    return Alike(stage, runs[a], runs[b], len(ids), linear_cka(x, y), debiased_linear_cka(x, y))

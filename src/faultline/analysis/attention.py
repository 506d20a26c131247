"""Whether a run looks at the object or at the background (document 2, section 6, analyses 1 and 4).

A map that knows nothing, equally warm everywhere, has as much of its heat on the object as that
is large. So a run is judged by the share of its heat that falls on the object minus the share of
the picture that the object takes, over the pictures of a class, with a bootstrap interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultline.analysis.kept import Observed
from faultline.analysis.regions import OBJECT
from faultline.analysis.sample import Shown
from faultline.metrics import bootstrap_interval
from faultline.metrics.inputs import Floats
from faultline.metrics.ratios import ratio

ON_OBJECT, UNCERTAIN, BACKGROUND = "object", "not shown", "background"
ALL = "all classes"
LEAST = 3
"""Pictures below which nothing is said."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Where the heat of one run falls, for one class and region.

    Attributes:
        run: Name of the run.
        class_name: The class that was explained.
        region: "object", or a channel of the masks.
        pictures: Pictures that have the region and heat.
        heat: Mean share of the heat in it.
        area: Mean share of the picture that it takes.
        gain: heat - area.
        low: Lower end of the 95 % interval of the gain.
        high: Upper end.
        verdict: "object" (interval above 0), "background" (below), else "not shown".
    """

    run: str
    class_name: str
    region: str
    pictures: int
    heat: float
    area: float
    gain: float
    low: float
    high: float
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


def attention_of(
    run: str,
    observed: Observed,
    sample: Sequence[Shown],
    names: Sequence[str],
    channels: Sequence[str],
) -> list[Attention]:
    """Each class and region of one run that any picture shows, and the object over all classes."""
    index = np.array([shown.class_index for shown in sample])
    groups = np.array([shown.item.group for shown in sample], dtype=object)
    rows = [
        judge(run, name, region, observed.shares[index == k, c], list(groups[index == k]))
        for k, name in enumerate(names)
        for c, region in enumerate(channels)
    ]
    whole = judge(run, ALL, OBJECT, observed.shares[:, 0], list(groups))
    return [row for row in (*rows, whole) if row.pictures]


def judge(
    run: str, class_name: str, region: str, shares: NDArray[np.float64], groups: list[str]
) -> Attention:
    """Means, interval and verdict of (N, 2) shares of heat and area; see `heat_shares`."""
    known = np.flatnonzero(~np.isnan(shares).any(axis=1))
    values = shares[known]
    own = [groups[int(row)] for row in known]
    if not len(values):
        nothing = float("nan")
        return Attention(run, class_name, region, 0, nothing, nothing, nothing, nothing, nothing,
                         UNCERTAIN)  # fmt: skip
    gains = values[:, 0] - values[:, 1]
    counts = np.stack([gains, np.ones_like(gains)], axis=1)
    found = bootstrap_interval(counts, _mean, groups=own)
    verdict = UNCERTAIN
    if len(set(own)) >= LEAST and found.excludes_zero:
        verdict = ON_OBJECT if found.low > 0 else BACKGROUND
    heat, area = (float(column.mean()) for column in values.T)
    return Attention(
        run,
        class_name,
        region,
        len(values),
        heat,
        area,
        found.value,
        found.low,
        found.high,
        verdict,
    )


def cheating(rows: Sequence[Attention]) -> list[Attention]:
    """Those that look at the background: the object gets less heat than a blind map gives it."""
    return [row for row in rows if row.region == OBJECT and row.verdict == BACKGROUND]


def _mean(sums: Floats) -> Floats:
    return ratio(sums[:, 0], sums[:, 1])

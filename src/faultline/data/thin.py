"""Making a class rare on purpose: how would the training fare if this defect were one in sixty?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from faultline.data.division import Shown
from faultline.data.manifest import Item
from faultline.data.split import THINNED, Split
from faultline.data.targets import Targets
from faultline.errors import ConfigError
from faultline.registry import did_you_mean

_WHERE = ("train", "valid")


def thin(split: Split, shown: Shown, one_in: Mapping[str, Any], seed: int) -> Split:
    """Leave pictures of some classes out of training and validation until they are rare.

    The test part stays as it is: there the class is as common as before, so that its score rests
    on more than a handful of pictures.

    Args:
        split: Train, valid and test.
        shown: What the pictures show.
        one_in: Class -> n: at most one picture in n of a part shows it (at least one picture does).
        seed: Seed of which pictures stay.

    Raises:
        ConfigError: There is no such class, or n is not a number of at least 2.
    """
    names = shown.label_space.names
    for name in one_in:
        if name not in names:
            raise ConfigError(
                f"data.thin names the class {name!r}, which the data do not have"
                f"{did_you_mean(name, names)}",
                where="data.thin",
                remedy=f"use one of: {', '.join(names)}",
            )
    wanted = {names.index(name): _checked(name, n) for name, n in one_in.items()}
    parts, notes = dict(split.parts), list(split.notes)
    thinned = [part for part in _WHERE if parts.get(part)]
    for part in thinned:
        parts[part] = _all_thinned(parts[part], shown, wanted, seed)
    for index in wanted:
        counts = [
            f"{int(shown.targets(parts[part])[:, index].sum())} of {len(parts[part])} pictures in "
            f"{part}"
            for part in thinned
        ]
        notes.append(f"{names[index]} was made rare by data.thin: {', '.join(counts)}")
    return replace(split, parts=parts, strategy=f"{split.strategy}{THINNED}", notes=notes)


def _checked(name: str, wanted: Any) -> float:
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not wanted >= 2:
        raise ConfigError(
            f"data.thin.{name}={wanted!r}: write n for one picture in n, at least 2",
            where="data.thin",
        )
    return float(wanted)


def _all_thinned(
    items: Sequence[Item], shown: Shown, wanted: Mapping[int, float], seed: int
) -> list[Item]:
    """The items after every class of `wanted` (its position -> n) has become as rare as asked.

    What one class loses makes the others more frequent, so they take turns until none has to go.
    """
    left, before = list(items), -1
    while len(left) != before:
        before = len(left)
        for index, n in wanted.items():
            left = _thinned(left, shown.targets(left), index, n, seed)
    return left


def _thinned(
    items: Sequence[Item], targets: Targets, index: int, one_in: float, seed: int
) -> list[Item]:
    """The items without most of those that show class `index`, in their order."""
    positive = np.flatnonzero(targets[:, index])
    others = len(items) - len(positive)
    keep = min(len(positive), max(1, int(others / (one_in - 1))))
    dropped = set(np.random.default_rng(seed).permutation(positive)[keep:].tolist())
    return [item for number, item in enumerate(items) if number not in dropped]

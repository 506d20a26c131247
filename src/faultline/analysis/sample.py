"""Which pictures are looked into: some of each class, validation first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faultline.data.manifest import Item
from faultline.data.targets import image_targets
from faultline.types import LabelSpace

TRAIN, VALID = "train", "valid"


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture and the class that is explained in it.

    Attributes:
        item: The picture.
        class_index: Position of a class that it shows.
        part: "train" or "valid".
    """

    item: Item
    class_index: int
    part: str


def choose_pictures(
    train: Sequence[Item], valid: Sequence[Item], space: LabelSpace, count: int, seed: int
) -> list[Shown]:
    """Of each class up to `count` pictures that show it, at random, class by class.

    Validation pictures come first, and training pictures fill up: what a network looks at in a
    picture that it has learnt by heart says less. One of each group goes before a second of any.
    """
    rng = np.random.default_rng(seed)
    parts = [(VALID, valid), (TRAIN, train)]
    targets = {part: image_targets(items, space) for part, items in parts if items}
    chosen = []
    for index in range(len(space.names)):
        found: list[Shown] = []
        for part, items in parts:
            if not items:
                continue
            rows = rng.permutation(np.flatnonzero(targets[part][:, index]))
            own = _groups_apart([items[row] for row in rows])
            found += [Shown(item, index, part) for item in own]
        chosen += found[:count]
    return chosen


def draw_training_pictures(train: Sequence[Item], count: int, seed: int) -> list[Item]:
    """Up to `count` training pictures at random, in their order."""
    rows = np.random.default_rng(seed).permutation(len(train))[:count]
    return [train[row] for row in sorted(rows)]


def _groups_apart(items: Sequence[Item]) -> list[Item]:
    """The same items: the first of each group, then the second of each, and so on."""
    seen: dict[str, int] = {}
    ranks = []
    for item in items:
        ranks.append(seen.get(item.group, 0))
        seen[item.group] = ranks[-1] + 1
    return [items[place] for place in np.argsort(ranks, kind="stable")]

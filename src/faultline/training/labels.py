"""What a sample of the training labels says about all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from faultline.data.manifest import Item
from faultline.data.mask_rules import allows_any_value
from faultline.data.masks import load_mask, scan_mask
from faultline.types import IGNORE_INDEX, LabelKind, LabelSpace

_MOST = 200
"""Labels that are looked at."""


def sample(items: Sequence[Item]) -> Sequence[Item]:
    """At most 200 of `items`, evenly spaced: folders of one class each may follow each other."""
    return items[:: max(1, -(-len(items) // _MOST))]


def class_shares(items: Sequence[Item], label_space: LabelSpace) -> list[float]:
    """Share of each class among the labelled pixels of `items`, one a logit channel.

    Even chances without any labelled pixel.
    """
    outputs, kind = label_space.num_outputs, label_space.kind
    found, pixels = np.zeros(outputs), 0
    for item in items:
        mask = load_mask(item, label_space)
        classes = mask if kind is LabelKind.MULTILABEL else mask[None]
        counted = classes != IGNORE_INDEX
        pixels += int(counted[0].sum())
        if kind is LabelKind.MULTICLASS:
            found += np.bincount(mask[counted[0]], minlength=outputs)[:outputs]
        else:
            found += ((classes > 0) & counted).sum((1, 2))
    even = 1 / outputs if kind is LabelKind.MULTICLASS else 0.5
    return [float(count / pixels) if pixels else even for count in found]


def label_share(items: Sequence[Item], label_space: LabelSpace) -> float:
    """Share of foreground among the labelled pixels of `items`; NaN without any."""
    foreground = pixels = 0
    for item in items:
        mask = load_mask(item, label_space)
        counted = mask != IGNORE_INDEX
        foreground += int(((mask > 0) & counted).sum())
        pixels += int(counted.sum())
    return foreground / pixels if pixels else float("nan")


def mask_values(items: Iterable[Item]) -> list[int] | None:
    """Values in the mask files of `items` as they are on disk; None where there are none.

    Files whose rule allows any value (a threshold, a colour table, class numbers) say nothing.
    """
    found: set[int] = set()
    for item in items:
        file = item.mask_file
        if file is not None and not allows_any_value(file.rule):
            found |= scan_mask(file.path).grey or frozenset()
    return sorted(found) or None

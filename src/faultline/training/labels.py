"""What a sample of the training labels says about all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

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
    found, pixels = _class_pixels(items, label_space)
    even = 1 / len(found) if label_space.kind is LabelKind.MULTICLASS else 0.5
    return np.where(pixels > 0, found / np.maximum(pixels, 1), even).tolist()  # type: ignore[no-any-return]


def label_share(items: Sequence[Item], label_space: LabelSpace) -> float:
    """Share of foreground among the labelled pixels of `items`; NaN without any."""
    found, pixels = _class_pixels(items, label_space)
    foreground = found[1:] if label_space.kind is LabelKind.MULTICLASS else found
    total = pixels.sum()
    return float(foreground.sum() / total) if total else float("nan")


def _class_pixels(
    items: Sequence[Item], label_space: LabelSpace
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of each class (K,), and labelled ones: of each mask, (K,), or of the one, (1,)."""
    outputs, kind = label_space.num_outputs, label_space.kind
    found = np.zeros(outputs, np.int64)
    pixels = np.zeros(outputs if kind is LabelKind.MULTILABEL else 1, np.int64)
    for item in items:
        mask = load_mask(item, label_space)
        masks = mask if kind is LabelKind.MULTILABEL else mask[None]
        counted = masks != IGNORE_INDEX
        pixels += counted.sum((1, 2))
        if kind is LabelKind.MULTICLASS:
            found += np.bincount(masks[counted], minlength=outputs)[:outputs]
        else:
            found += ((masks > 0) & counted).sum((1, 2))
    return found, pixels


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

"""Decodes every picture and label of a manifest once and keeps only their measures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.data.images import read_image
from faultline.data.manifest import Item
from faultline.data.masks import load_mask
from faultline.errors import DataError, FaultlineError
from faultline.evaluation.doctor.labels import LabelShape, measure_label
from faultline.predict.stream import mapped
from faultline.progress import Progress
from faultline.types import IGNORE_INDEX, LabelKind, LabelSpace

_MOST_WORKERS = 8


@dataclass(frozen=True, slots=True)
class ItemScan:
    """Measures of one item.

    Attributes:
        item: The item.
        error: Why picture or label cannot be used, else `None`; then the rest is empty.
        class_pixels: Pixels of each class of the label space.
        ignored: Ignored pixels.
        shape: Of the foreground of all classes together; `None` for unlabelled items.
    """

    item: Item
    error: str | None = None
    class_pixels: tuple[int, ...] = ()
    ignored: int = 0
    shape: LabelShape | None = None

    @property
    def pixels(self) -> int:
        """Pixels of the picture."""
        return self.item.width * self.item.height

    @property
    def is_labelled(self) -> bool:
        """Whether there is a usable label."""
        return self.shape is not None

    @property
    def is_empty(self) -> bool:
        """Whether the label shows nothing."""
        return self.shape is not None and self.shape.width is None


def scan_items(
    items: Sequence[Item],
    space: LabelSpace,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[ItemScan]:
    """Measures of every item, in order; what cannot be decoded carries the reason."""
    count = workers or min(_MOST_WORKERS, os.cpu_count() or 1)
    scans = []
    with ThreadPoolExecutor(max_workers=count) as executor:
        for scan in mapped(executor, lambda item: scan_item(item, space), items, 4 * count):
            scans.append(scan)
            if progress is not None:
                progress(len(scans), len(items))
    return scans


def scan_item(item: Item, space: LabelSpace) -> ItemScan:
    """Measures of one item, from picture and mask decoded whole: an import sees headers only."""
    try:
        image = read_image(item.path)
        _check_size(item, image)
        has_mask = item.labelled and not item.image_level
        mask = load_mask(item, space) if has_mask else None
    except FaultlineError as error:
        return ItemScan(item, error.what)
    if mask is None:
        return ItemScan(item)
    return ItemScan(
        item,
        class_pixels=_class_pixels(mask, space),
        ignored=int(np.count_nonzero(mask == IGNORE_INDEX)),
        shape=measure_label(image, foreground(mask, space)),
    )


def foreground(mask: NDArray[np.uint8], space: LabelSpace) -> NDArray[np.bool_]:
    """(H, W) where any class but a background is labelled."""
    found = (mask > 0) & (mask != IGNORE_INDEX)
    return np.asarray(found.any(axis=0)) if space.kind is LabelKind.MULTILABEL else found


def _check_size(item: Item, image: NDArray[np.uint8]) -> None:
    height, width = image.shape[:2]
    if (width, height) != (item.width, item.height):
        raise DataError(
            f"the picture is {width}x{height} pixels, the import saw {item.width}x{item.height}",
            where=item.path,
            remedy="import the data set again",
        )


def _class_pixels(mask: NDArray[np.uint8], space: LabelSpace) -> tuple[int, ...]:
    if space.kind is LabelKind.MULTICLASS:
        counts = np.bincount(mask.ravel(), minlength=256)
        return tuple(int(count) for count in counts[: len(space.names)])
    planes = mask if space.kind is LabelKind.MULTILABEL else mask[None]
    return tuple(int(np.count_nonzero(plane == 1)) for plane in planes)

"""What whole pictures show: one row of 0 and 1 a picture, from labels of any kind.

A class is present in a picture if its areas or its mask cover enough pixels. *Background* is no
class of a picture: a picture of which nothing is labelled has none of the classes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from faultline.data.importers.collect import in_threads
from faultline.data.manifest import Item, Manifest, Problem
from faultline.data.masks import load_mask
from faultline.data.regions import Rle, rle_area
from faultline.errors import DataError, FaultlineError
from faultline.types import LabelKind, LabelSpace

Targets = npt.NDArray[np.uint8]
"""(N, K), 1 where picture n shows class k."""


def image_space(label_space: LabelSpace, image_level: bool) -> LabelSpace:
    """Classes of whole pictures, for labels of pictures (`image_level`) or of pixels.

    Pixels that exclude each other do not make pictures do so: their classes, without the
    background, become several labels per picture.
    """
    if image_level or label_space.kind is LabelKind.MULTILABEL:
        return label_space
    first = _first(label_space)
    return LabelSpace(LabelKind.MULTILABEL, label_space.names[first:], label_space.colours[first:])


def image_targets(items: Sequence[Item], label_space: LabelSpace, min_pixels: int = 1) -> Targets:
    """What each picture shows, (N, K) of 0 and 1.

    Args:
        items: Labelled items, all of whole pictures or all of pixels.
        label_space: What their labels refer to; K counts its classes without a background.
        min_pixels: Pixels that a class has to cover to be present.

    Raises:
        DataError: An item is not labelled, its mask cannot be read, or both kinds are mixed.
    """
    image_level = bool(items) and items[0].targets is not None
    space = image_space(label_space, image_level)
    if any((item.targets is not None) != image_level for item in items):
        raise DataError("some labels are of whole pictures and some of pixels")
    found = in_threads(lambda item: present_classes(item, label_space, min_pixels), items)
    targets = np.zeros((len(items), len(space.names)), np.uint8)
    for row, positions in zip(targets, found, strict=True):
        row[list(positions)] = 1
    return targets


def present_classes(item: Item, label_space: LabelSpace, min_pixels: int = 1) -> tuple[int, ...]:
    """Positions of the classes that a picture shows, background not counted; see `image_targets`.

    Raises:
        DataError: The item is not labelled, or its mask cannot be read.
    """
    if not item.labelled:
        raise DataError("the item has no label", where=item.path, remedy="leave it out")
    if item.targets is not None:
        return item.targets
    first = _first(label_space)
    areas = _mask_areas(item, label_space) if item.mask_file else _region_areas(item)
    return tuple(
        position - first
        for position in sorted(areas)
        if position >= first and areas[position] >= min_pixels
    )


def class_indices(items: Sequence[Item]) -> npt.NDArray[np.int64]:
    """The one class of each picture, (N,).

    Raises:
        DataError: A picture has none, or several.
    """
    for item in items:
        if item.targets is None or len(item.targets) != 1:
            raise DataError(f"has the classes {item.targets}, not one class", where=item.path)
    return np.array([item.targets[0] for item in items if item.targets], np.int64)


def with_targets(manifest: Manifest, min_pixels: int = 1) -> Manifest:
    """The same pictures, labelled as a whole; those whose mask cannot be read become problems.

    Items without label are left out, and a note counts them.
    """
    image_level = any(item.targets is not None for item in manifest.items)
    space = image_space(manifest.label_space, image_level)
    labelled = [item for item in manifest.items if item.labelled]
    found = in_threads(lambda item: _try(item, manifest.label_space, min_pixels), labelled)
    items: list[Item] = []
    problems = list(manifest.problems)
    for item, positions in zip(labelled, found, strict=True):
        if isinstance(positions, FaultlineError):
            problems.append(Problem(item.id, str(positions)))
        else:
            plain = replace(item, regions=(), mask_file=None, targets=positions)
            items.append(replace(plain, positive=bool(positions)))
    notes = list(manifest.notes)
    bare = len(manifest.items) - len(labelled)
    if bare:
        notes.append(f"{bare} pictures without a label are left out")
    return Manifest(manifest.root, manifest.format, space, items, problems, notes)


def _try(item: Item, space: LabelSpace, min_pixels: int) -> tuple[int, ...] | FaultlineError:
    try:
        return present_classes(item, space, min_pixels)
    except FaultlineError as error:
        return error


def _first(space: LabelSpace) -> int:
    """Position of the first class that is no background."""
    return 1 if space.kind is LabelKind.MULTICLASS else 0


def _region_areas(item: Item) -> dict[int, int]:
    """Pixels of each class; areas of one class may overlap and count once."""
    rles: dict[int, list[Rle]] = defaultdict(list)
    for region in item.regions:
        rles[region.class_index].append(region.rle)
    return {
        position: rle_area(same[0] if len(same) == 1 else coco_mask.merge(same))
        for position, same in rles.items()
    }


def _mask_areas(item: Item, space: LabelSpace) -> dict[int, int]:
    mask = load_mask(item, space)
    if space.kind is LabelKind.MULTILABEL:
        return {position: int((plane == 1).sum()) for position, plane in enumerate(mask)}
    counts = np.bincount(mask.ravel(), minlength=256)
    if space.kind is LabelKind.BINARY:
        return {0: int(counts[1])}
    return {position: int(counts[position]) for position in range(len(space.names))}

"""What the masks say of a picture, and how much of an activation map's heat falls where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from faultline.analysis.subject import Subject
from faultline.config.schema import DataConfig
from faultline.data.dual_prepare import MaskLabel, find_masks
from faultline.data.manifest import Item, Problem, label_hash
from faultline.data.masks import load_mask
from faultline.data.pseudo_masks import TIERS
from faultline.errors import DataError, FaultlineError
from faultline.types import BACKGROUND, LabelKind, LabelSpace

OBJECT = "object"
"""Region of what the class is about: its own channel, or else all that is no background."""

Area = NDArray[np.bool_]


@dataclass(frozen=True)
class Masks:
    """Masks of the pictures.

    Attributes:
        space: Their channels.
        labels: Path of a picture -> its mask; tier C is not used.
        guessed: They are pseudo-labels.
        problems: Masks that cannot be used.
        why: Why there are none.
    """

    space: LabelSpace = field(default=LabelSpace(LabelKind.BINARY, (OBJECT,)))
    labels: Mapping[str, MaskLabel] = field(default_factory=dict)
    guessed: bool = False
    problems: tuple[Problem, ...] = ()
    why: str = ""

    @property
    def channels(self) -> tuple[str, ...]:
        """Regions that heat is measured in: the object, then every channel of several."""
        return (OBJECT, *self.space.names) if len(self.space.names) > 1 else (OBJECT,)

    def hash_of(self, item: Item) -> str:
        """Hash of the mask of a picture, empty without one."""
        label = self.labels.get(str(item.path))
        return "" if label is None else label_hash(label.item)

    def regions(self, item: Item, class_name: str) -> tuple[list[Area], Area] | None:
        """One area (H, W) for each of `channels`, and what is known; None without a mask.

        Raises:
            MaskError: The mask cannot be read.
        """
        label = self.labels.get(str(item.path))
        if label is None:
            return None
        planes = load_mask(label.item, self.space)
        planes = planes[None] if planes.ndim == 2 else planes
        known = ~(planes == 255).any(axis=0)
        areas: list[Area] = [np.asarray(plane == 1) & known for plane in planes]
        whole: Area = np.any([areas[k] for k in self._of_object(class_name)], axis=0)
        return [whole, *(areas if len(areas) > 1 else [])], known

    def _of_object(self, class_name: str) -> list[int]:
        names = [name.lower() for name in self.space.names]
        if class_name.lower() in names:
            return [names.index(class_name.lower())]
        inside = [k for k, name in enumerate(names) if name != BACKGROUND]
        return inside or [0]


def find_regions(subject: Subject) -> Masks:
    """Masks of the data set itself, or the pseudo-labels of `data.masks`; none is an answer too.

    Raises:
        DataError: `data.masks` was given and holds none.
    """
    config = subject.config
    items = [*subject.train, *subject.valid]
    try:
        data = _of_every_class(config.data)
        space, found, problems, _ = find_masks(data, items, config.phases.confidence)
    except DataError as error:
        if config.data.masks is not None:
            raise
        return Masks(why=str(error))
    used = {str(item.path) for item in items}
    labels = {key: one for key, one in found.items() if key in used and one.tier != TIERS[-1]}
    if not labels:
        return Masks(why="no picture of training or validation has a mask")
    return Masks(space, labels, config.data.masks is not None, tuple(problems))


def _of_every_class(data: DataConfig) -> DataConfig:
    """Settings by which masks of all classes count, unless some were chosen.

    By default `data.positive` are cracks alone; here every class has an object.
    """
    chosen = data.masks is not None or data.positive != DataConfig().positive
    return data if chosen else replace(data, positive="*")


def heat_shares(heat: NDArray[np.float32], areas: list[Area], known: Area) -> NDArray[np.float64]:
    """Share of the heat in each area, and share of the picture that the area takes, (A, 2).

    Pixels that are not known count in neither. A map that knows nothing, equally warm everywhere,
    has as much heat in an area as the area is large.

    Args:
        heat: (H, W), 0 and more.
        areas: A areas (H, W).
        known: (H, W).

    Returns:
        NaN where there is no heat, or the area is empty in this picture.
    """
    weights = np.where(known, heat, 0).astype(np.float64)
    total, size = weights.sum(), known.sum()
    rows = np.full((len(areas), 2), np.nan)
    for row, area in zip(rows, areas, strict=True):
        if total > 0 and area.any():
            row[:] = weights[area].sum() / total, area.sum() / size
    return rows


def try_regions(
    masks: Masks, item: Item, class_name: str, problems: list[Problem]
) -> tuple[list[Area], Area] | None:
    """`Masks.regions`; a mask that cannot be read is listed."""
    try:
        return masks.regions(item, class_name)
    except FaultlineError as error:
        problems.append(Problem(item.id, str(error)))
        return None

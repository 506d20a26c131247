"""Checks that need every picture decoded: the import looks at headers only."""

from __future__ import annotations

from faultline.data.images import read_image
from faultline.data.manifest import Item, Problem
from faultline.data.masks import load_mask
from faultline.errors import DataError, FaultlineError
from faultline.types import LabelSpace


def verify_item(item: Item, label_space: LabelSpace | None = None) -> Problem | None:
    """Decode an item's picture and, given a label space, its mask; None if all is well."""
    try:
        height, width = read_image(item.path).shape[:2]
        if (width, height) != (item.width, item.height):
            raise DataError(
                f"the picture is {width}x{height} now, it was {item.width}x{item.height}",
                remedy="import the data set again",
            )
        if label_space is not None and item.labelled and not item.image_level:
            load_mask(item, label_space)
    except FaultlineError as error:
        return Problem(item.id, str(error))
    return None

"""COCO segmentations as run lengths: polygons, both RLE forms and boxes, checked before use.

The C code of pycocotools trusts its input; everything here is validated before it gets there.
Run lengths go down the columns, as in COCO (Lin et al. 2014, https://arxiv.org/abs/1405.0312).
Coordinates are (x, y) in pixels, the top left corner of the picture is (0, 0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from faultline.data.images import ByteImage, apply_orientation
from faultline.errors import DataError

Rle = dict[str, Any]

_MAX_GROUPS = 7  # 35 bits, more than any picture needs


def rle_from_segmentation(segmentation: Any, height: int, width: int) -> Rle:
    """Run lengths of a COCO `segmentation`: polygons, uncompressed or compressed RLE.

    Raises:
        DataError: It is malformed, not finite, of another size, or covers no pixel.
    """
    if isinstance(segmentation, dict):
        rle = _rle_from_dict(segmentation, height, width)
    elif isinstance(segmentation, list):
        rle = _rle_from_polygons(segmentation, height, width)
    else:
        raise DataError(f"segmentation is a {type(segmentation).__name__}, not polygons or RLE")
    if rle_area(rle) == 0:
        raise DataError("segmentation covers no pixel of the picture")
    return rle


def rle_from_box(box: Any, height: int, width: int) -> Rle:
    """Run lengths of a filled COCO box [x, y, width, height].

    Raises:
        DataError: The box is malformed, not finite, or covers no pixel of the picture.
    """
    numbers = _finite_numbers(box, "bbox")
    if len(numbers) != 4:
        raise DataError(f"bbox has {len(numbers)} numbers, not 4")
    x, y, box_width, box_height = numbers
    left, right = _clipped(x, x + box_width, width)
    top, bottom = _clipped(y, y + box_height, height)
    if right <= left or bottom <= top:
        raise DataError(f"bbox {box} covers no pixel of a {width}x{height} picture")
    return _rle_of_rectangle(left, top, right, bottom, height, width)


def rle_area(rle: Rle) -> int:
    """Number of pixels that are covered."""
    return int(coco_mask.area(rle))


def rle_from_mask(mask: ByteImage) -> Rle:
    """Run lengths of the pixels of (H, W) that are not 0."""
    return cast(Rle, coco_mask.encode(np.asfortranarray(mask != 0, dtype=np.uint8)))


def decode_rles(rles: Sequence[Rle], height: int, width: int) -> ByteImage:
    """Union of run lengths as 0/1 uint8 (H, W)."""
    if not rles:
        return np.zeros((height, width), np.uint8)
    merged = rles[0] if len(rles) == 1 else coco_mask.merge(list(rles))
    # Columns first, as it comes; OpenCV turns it ten times as fast as NumPy copies it.
    columns = np.ascontiguousarray(coco_mask.decode(merged).T)
    return np.asarray(cv2.transpose(columns), np.uint8)


def turn_rle(rle: Rle, orientation: int) -> Rle:
    """Move run lengths from the stored frame of a picture to its upright one (EXIF 1-8)."""
    if orientation == 1:
        return rle
    return rle_from_mask(apply_orientation(coco_mask.decode(rle), orientation))


def uncompressed_counts(counts: bytes) -> npt.NDArray[np.int64]:
    """Run lengths (N,) of the compressed text form.

    Five bits per character from `0` on, bit 6 continues a number, and from the fourth number on
    each is stored as the difference to the one two before (pycocotools `maskApi.c`).

    Raises:
        DataError: The text is not of this form.
    """
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        return codes
    last = (codes & 32) == 0
    if codes.min() < 0 or codes.max() > 63 or not last[-1]:
        raise DataError("compressed RLE is damaged")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_GROUPS:
        raise DataError("compressed RLE is damaged")
    place = np.arange(codes.size) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & 31) << (5 * place), starts)
    values -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _rle_from_dict(value: dict[str, Any], height: int, width: int) -> Rle:
    size, counts = value.get("size"), value.get("counts")
    if not isinstance(size, list) or len(size) != 2:
        raise DataError(f"RLE size is {size!r}, not [height, width]")
    if size != [height, width]:
        raise DataError(f"RLE is {size[0]}x{size[1]} (h x w), the picture {height}x{width}")
    if isinstance(counts, str):
        text = counts.encode("ascii", "replace")
        _check_counts(uncompressed_counts(text), height, width)
        return {"size": [height, width], "counts": text}
    if not isinstance(counts, list) or not all(type(run) is int for run in counts):
        raise DataError("RLE counts are neither text nor a list of whole numbers")
    if any(abs(run) > height * width for run in counts):
        raise DataError("RLE counts are larger than the picture")
    runs = np.asarray(counts, np.int64)
    _check_counts(runs, height, width)
    return cast(
        Rle, coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    )


def _check_counts(runs: npt.NDArray[np.int64], height: int, width: int) -> None:
    if runs.size and runs.min() < 0:
        raise DataError("RLE has a negative run")
    if int(runs.sum()) != height * width:
        raise DataError(
            f"RLE covers {int(runs.sum())} pixels, the picture has {height}x{width} = "
            f"{height * width}"
        )


def _rle_from_polygons(polygons: list[Any], height: int, width: int) -> Rle:
    # Some exporters write one polygon without the outer list.
    if polygons and all(isinstance(value, (int, float)) for value in polygons):
        polygons = [polygons]
    if not polygons:
        raise DataError("segmentation is empty")
    checked = [_checked_polygon(polygon, height, width) for polygon in polygons]
    return cast(Rle, coco_mask.merge(coco_mask.frPyObjects(checked, height, width)))


def _checked_polygon(polygon: Any, height: int, width: int) -> list[float]:
    numbers = _finite_numbers(polygon, "polygon")
    if not numbers:
        raise DataError("polygon is empty")
    if len(numbers) < 6 or len(numbers) % 2:
        raise DataError(f"polygon has {len(numbers)} numbers, not an even count of at least 6")
    for values, limit in ((numbers[0::2], width), (numbers[1::2], height)):
        # Far outside is a mistake of scale, and would make the rasteriser walk all the way.
        if min(values) < -limit or max(values) > 2 * limit:
            raise DataError(
                f"polygon reaches from {min(values):g} to {max(values):g}, far outside a "
                f"{width}x{height} picture"
            )
    return numbers


def _finite_numbers(values: Any, what: str) -> list[float]:
    if not isinstance(values, list) or not all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values
    ):
        raise DataError(f"{what} is not a list of numbers")
    try:
        numbers = [float(value) for value in values]
    except OverflowError as error:
        raise DataError(f"{what} has a number that is too large") from error
    bad = [number for number in numbers if not math.isfinite(number)]
    if bad:
        raise DataError(f"{what} has the coordinate {bad[0]}")
    return numbers


def _clipped(start: float, stop: float, limit: int) -> tuple[int, int]:
    """First and one-past-last pixel whose centre lies between `start` and `stop`."""
    first = math.ceil(min(max(start, 0.0), limit) - 0.5)
    return first, math.ceil(min(max(stop, 0.0), limit) - 0.5)


def _rle_of_rectangle(left: int, top: int, right: int, bottom: int, height: int, width: int) -> Rle:
    inside = bottom - top
    runs = [left * height + top]
    for _ in range(right - left - 1):
        runs += [inside, height - inside]
    runs += [inside, height - bottom + (width - right) * height]
    return cast(
        Rle, coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    )

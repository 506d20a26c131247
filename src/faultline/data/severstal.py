"""Severstal's table of masks: `ImageId,ClassId,EncodedPixels`, read and written.

`EncodedPixels` holds pairs "start length", separated by spaces. Pixels are counted from 1, down
the columns first (https://www.kaggle.com/c/severstal-steel-defect-detection), so (row, column) of
a picture H high is pixel `1 + row + H * column`. COCO counts in the same order, so a mask is kept
as COCO run lengths.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from faultline.data.images import ByteImage
from faultline.data.regions import Rle, rle_from_mask, uncompressed_counts
from faultline.errors import DataError
from faultline.files import write_text
from faultline.types import LabelKind, LabelSpace

COLUMNS = ("ImageId", "ClassId", "EncodedPixels")
OLDER_COLUMNS = ("ImageId_ClassId", "EncodedPixels")

Runs = npt.NDArray[np.int64]
"""(N, 2): first pixel, counted from 0, and the one after the last."""


@dataclass(frozen=True, slots=True)
class SeverstalRow:
    """One class of one picture.

    Attributes:
        image_id: File name of the picture.
        class_id: Number of the class, from 1.
        encoded_pixels: Pairs "start length"; empty where the class does not occur.
    """

    image_id: str
    class_id: int
    encoded_pixels: str


def rle_from_severstal(text: str, height: int, width: int) -> Rle:
    """COCO run lengths of `EncodedPixels`.

    Raises:
        DataError: The text is empty, has an odd count of numbers or something that is none, or
            its runs are unsorted, overlap or leave the picture.
    """
    runs = _joined(_checked_runs(text, height, width))
    counts = np.diff(runs.ravel(), prepend=0).tolist()
    rest = height * width - int(runs[-1, 1])
    if rest:
        counts.append(rest)
    uncompressed = {"size": [height, width], "counts": counts}
    return cast(Rle, coco_mask.frPyObjects(uncompressed, height, width))


def severstal_from_rle(rle: Rle) -> str:
    """`EncodedPixels` of COCO run lengths; empty for an empty mask."""
    edges = np.cumsum(uncompressed_counts(rle["counts"]))
    runs = edges[: len(edges) // 2 * 2].reshape(-1, 2)
    runs = _joined(runs[runs[:, 1] > runs[:, 0]])
    return " ".join(f"{start + 1} {stop - start}" for start, stop in runs.tolist())


def severstal_from_mask(mask: ByteImage) -> str:
    """`EncodedPixels` of the pixels of (H, W) that are not 0."""
    return severstal_from_rle(rle_from_mask(mask))


def severstal_rows(
    image_id: str, mask: ByteImage, label_space: LabelSpace, *, empty: bool = False
) -> list[SeverstalRow]:
    """Rows of a mask: 0/1 or class indices (H, W), or one plane per class (K, H, W).

    Args:
        image_id: File name of the picture.
        mask: What was found; *ignore* (255) counts as nothing.
        label_space: What its classes mean.
        empty: Whether classes without a pixel get a row too, as the older form wants.
    """
    rows = []
    for plane, class_id in zip(_planes(mask, label_space), class_ids(label_space), strict=True):
        text = severstal_from_mask(plane.astype(np.uint8))
        if text or empty:
            rows.append(SeverstalRow(image_id, class_id, text))
    return rows


def class_ids(label_space: LabelSpace) -> list[int]:
    """Number of each class but a background: the one its name ends in (`defect_3`), else 1, 2 …"""
    first = 1 if label_space.kind is LabelKind.MULTICLASS else 0
    names = label_space.names[first:]
    ends = [re.search(r"(\d+)$", name) for name in names]
    numbers = [int(end[1]) for end in ends if end is not None]
    usable = len(set(numbers)) == len(names) and min(numbers, default=0) > 0
    return numbers if usable else list(range(1, len(names) + 1))


def write_severstal(
    path: str | Path, rows: Iterable[SeverstalRow], *, older_form: bool = False
) -> None:
    """Write a table, atomically; `older_form` joins picture and class as `ImageId_ClassId`.

    Raises:
        OutputError: The file cannot be written.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(OLDER_COLUMNS if older_form else COLUMNS)
    for row in rows:
        names = [f"{row.image_id}_{row.class_id}"] if older_form else [row.image_id, row.class_id]
        writer.writerow([*names, row.encoded_pixels])
    write_text(path, stream.getvalue())


def _planes(mask: ByteImage, space: LabelSpace) -> list[npt.NDArray[np.bool_]]:
    if space.kind is LabelKind.MULTILABEL:
        return [plane == 1 for plane in mask]
    if space.kind is LabelKind.BINARY:
        return [mask == 1]
    return [mask == index for index in range(1, len(space.names))]


def _checked_runs(text: str, height: int, width: int) -> Runs:
    numbers = _numbers(text)
    if numbers.size % 2:
        raise DataError(f"RLE has {numbers.size} numbers, an odd count: they are start and length")
    if not numbers.size:
        raise DataError("RLE is empty")
    pairs = numbers.reshape(-1, 2)
    _refuse(pairs[:, 0] < 1, pairs, "starts before the first pixel, which is 1")
    _refuse(pairs[:, 1] < 1, pairs, "has no pixel")
    pixels = height * width
    # Compared this way round, no sum can overflow.
    _refuse(
        pairs[:, 1] > pixels + 1 - pairs[:, 0],
        pairs,
        f"ends out of bounds: the picture has {height}x{width} = {pixels} pixels",
    )
    starts, stops = pairs[:, 0] - 1, pairs.sum(axis=1) - 1
    _refuse(np.diff(starts, prepend=-1) < 0, pairs, "is unsorted: it starts before the one before")
    _refuse(starts[1:] < stops[:-1], pairs[1:], "overlaps the one before", first=2)
    return np.stack([starts, stops], axis=1)


def _refuse(bad: npt.NDArray[np.bool_], pairs: Runs, why: str, first: int = 1) -> None:
    if bad.any():
        at = int(np.argmax(bad))
        start, length = pairs[at].tolist()
        raise DataError(f"RLE run {at + first} (start {start}, length {length}) {why}")


def _numbers(text: str) -> Runs:
    words = text.split()
    try:
        return np.array(list(map(int, words)), np.int64)
    except (ValueError, OverflowError):
        bad = next((word for word in words if not re.fullmatch(r"-?\d{1,18}", word)), words[0])
        raise DataError(f"RLE has {bad[:30]!r}, which is no usable number") from None


def _joined(runs: Runs) -> Runs:
    """Runs that touch made one, so that one mask has one text."""
    apart = runs[1:, 0] > runs[:-1, 1]
    if apart.all():
        return runs
    starts = runs[np.concatenate([[True], apart]), 0]
    stops = runs[np.concatenate([apart, [True]]), 1]
    return np.stack([starts, stops], axis=1)

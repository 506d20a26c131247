"""Predicted masks in the form of the Severstal data set: one row per picture and class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faultline.data.severstal import SeverstalRow, severstal_rows, write_severstal
from faultline.predict.inputs import MASK_SUFFIX, Job, class_mask_name, find_jobs
from faultline.predict.measure import mask_labels
from faultline.types import LabelKind, LabelSpace

SUBMISSION_NAME = "severstal.csv"


def write_submission(
    inputs: Sequence[str], save: Path, space: LabelSpace, failed: Collection[str] = ()
) -> Path:
    """Write `severstal.csv` (ImageId, ClassId, EncodedPixels) of the masks that lie in `save`.

    Pictures without a defect have no row, as in the data set itself. Pictures of one name in
    several folders are named with their folders.

    Args:
        inputs: What was answered, as for `find_jobs`.
        save: Where the masks lie.
        space: Their classes.
        failed: Files that were not answered; a mask of theirs is an earlier one.

    Raises:
        OutputError: The file cannot be written.
    """
    rows: list[SeverstalRow] = []
    jobs = find_jobs(inputs, save, labels=mask_labels(space))
    count = Counter(job.source.name for job in jobs)
    for job in jobs:
        mask = None if str(job.source) in failed else _mask(job, save, space)
        if mask is not None:
            file = job.source.name
            image_id = (job.name.parent / file).as_posix() if count[file] > 1 else file
            rows += severstal_rows(image_id, mask, space)
    path = save / SUBMISSION_NAME
    write_severstal(path, rows)
    return path


def _mask(job: Job, save: Path, space: LabelSpace) -> NDArray[np.uint8] | None:
    """The mask that was written for `job`, as `Prediction.mask` describes it; None if none was."""
    if labels := mask_labels(space):
        layers = [_read(save / class_mask_name(job.name, label)) for label in labels]
        found = [layer for layer in layers if layer is not None]
        return (np.stack(found) > 0).view(np.uint8) if len(found) == len(layers) else None
    mask = _read(save / f"{job.name}{MASK_SUFFIX}")
    if mask is None or space.kind is LabelKind.MULTICLASS:
        return mask
    return (mask > 0).view(np.uint8)


def _read(path: Path) -> NDArray[np.uint8] | None:
    if not path.is_file():
        return None
    with Image.open(path) as picture:
        return np.asarray(picture, dtype=np.uint8)

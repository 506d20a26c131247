"""Which pictures an earlier call has finished, so that a stopped one can go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faultline.predict.inputs import MASK_SUFFIX, OVERLAY_SUFFIX, PANEL_SUFFIX, Job
from faultline.predict.options import InferOptions
from faultline.predict.table import Cells, read_rows


def finished_rows(
    jobs: Sequence[Job], save: Path, made_with: str, options: InferOptions
) -> dict[str, Cells]:
    """Rows of pictures that need no new answer, by the file they are of.

    A picture is finished if its row has no error and was made with the same bundle and settings,
    every result asked for is there, and nothing is newer than what was made from it.
    """
    found = {cells["file"]: (cells, written) for cells, written in read_rows(save)}
    kept = {}
    for job in jobs:
        cells, written = found.get(str(job.source), ({}, 0.0))
        same = cells.get("made_with") == made_with and not cells.get("error")
        named = cells.get("mask") == job.name.as_posix() + MASK_SUFFIX
        if same and named and _in_order(job, save, written, options):
            kept[str(job.source)] = cells
    return kept


def _in_order(job: Job, save: Path, row_written: float, options: InferOptions) -> bool:
    """Whether source, mask and row were written in this order, and the drawings are there."""
    drawings = [OVERLAY_SUFFIX] * options.overlays + [PANEL_SUFFIX] * options.panels
    try:
        source = job.source.stat().st_mtime
        mask = (save / f"{job.name}{MASK_SUFFIX}").stat().st_mtime
    except OSError:
        return False
    # A mask newer than its table is another call's, which was stopped before it could say so.
    return source <= mask <= row_written and all(
        (save / f"{job.name}{suffix}").is_file() for suffix in drawings
    )

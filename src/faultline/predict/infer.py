"""Answers for any number of pictures: masks, overlays and a table, in memory that stays flat.

Threads decode ahead of the predictor and write behind it, each at most a few pictures away.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faultline.files import write_json
from faultline.predict.answering import Done, answer_all
from faultline.predict.inputs import MASK_SUFFIX, find_jobs, keep_foreign
from faultline.predict.measure import mask_labels, measured_classes
from faultline.predict.options import InferOptions, InferSummary, settings_hash
from faultline.predict.predictor import Predictor
from faultline.predict.resume import finished_rows
from faultline.predict.table import TABLE_NAME, ResultTable, measured_columns
from faultline.progress import Progress

RECORD_NAME = "infer.json"


def infer(
    predictor: Predictor,
    inputs: str | Path | Sequence[str | Path],
    save: str | Path,
    options: InferOptions | None = None,
    *,
    progress: Progress | None = None,
) -> InferSummary:
    """Answer every picture that `inputs` mean; write results to the folder `save`.

    For each picture `<stem>_mask.png` (single channel: 0 and 255, or class indices where classes
    exclude each other; where they do not, one mask per class besides) and `<stem>_overlay.png`,
    both at its own size, and a row of `measurements.csv`; see `find_jobs` for how pictures of the
    same stem are told apart. A picture that cannot be read gets a row with the reason, and the
    rest goes on. `infer.json` records bundle and settings. Stopping (Ctrl-C) leaves every
    finished result as it is, and its row in `measurements.csv.part`.

    Args:
        predictor: What answers.
        inputs: Files, folders (searched below) and globs.
        save: The output folder, made if needed.
        options: See `InferOptions`.
        progress: Called with (pictures done, all pictures) after each.

    Raises:
        DataError: No picture is found, or an input does not exist.
        OutputError: `save` cannot be written, or holds masks that are not of an earlier call.
    """
    options = options or InferOptions()
    save = Path(save)
    start = time.perf_counter()
    jobs = find_jobs(inputs, save, labels=mask_labels(predictor.bundle.label_space))
    keep_foreign(save, RECORD_NAME, (f"{job.name}{MASK_SUFFIX}" for job in jobs))
    settings = options.settings(predictor)
    made_with = settings_hash(settings)
    kept = finished_rows(jobs, save, made_with, options) if options.skip_existing else {}
    summary = InferSummary(len(jobs), save / TABLE_NAME, skipped=len(kept))
    record = {"made_with": made_with, "settings": settings}
    columns = measured_columns(measured_classes(predictor.bundle.label_space))
    with ResultTable(save, made_with, kept.values(), columns) as table:
        write_json(save / RECORD_NAME, {**record, "complete": False})
        left = [job for job in jobs if str(job.source) not in kept]
        answer_all(predictor, left, save, options, _Ledger(table, summary, progress))
    _average(summary)
    summary.seconds = time.perf_counter() - start
    write_json(save / RECORD_NAME, {**record, "complete": True, "summary": summary.to_dict()})
    return summary


@dataclass(frozen=True, slots=True)
class _Ledger:
    """Enters each result in the table and in the summary, then reports progress."""

    table: ResultTable
    summary: InferSummary
    progress: Progress | None

    def __call__(self, done: Done) -> None:
        self.table.add(done.row.cells())
        summary = self.summary
        summary.decode_ms += 1e3 * done.decode
        summary.predict_ms += 1e3 * done.predict
        summary.finish_ms += 1e3 * done.finish
        if done.row.error:
            summary.failed.append((done.row.file, done.row.error))
        else:
            summary.written += 1
        if self.progress is not None:
            self.progress(summary.skipped + summary.written + len(summary.failed), summary.total)


def _average(summary: InferSummary) -> None:
    summary.decode_ms /= max(1, summary.written + len(summary.failed))
    summary.predict_ms /= max(1, summary.written)
    summary.finish_ms /= max(1, summary.written)

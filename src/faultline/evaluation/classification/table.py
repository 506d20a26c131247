"""One row per picture as CSV: truth, answer and every probability."""

from __future__ import annotations

import csv
import io

from faultline.evaluation.classification.scoring import ClassRun
from faultline.predict.classify import SEPARATOR

FOLDS_TABLE = "out_of_fold.csv"


def predictions_csv(run: ClassRun, folds: list[int] | None = None) -> str:
    """The table of `run`; `folds` adds the fold that each picture was held out in."""
    scores = run.scores
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    extra = [] if folds is None else ["fold"]
    names = [f"p_{name}" for name in scores.names]
    writer.writerow(["id", "group", *extra, "truth", "answer", "right", *names])
    right = scores.right()
    for row, item in enumerate(run.items):
        truth, answer = (
            SEPARATOR.join(name for name, yes in zip(scores.names, table[row], strict=True) if yes)
            for table in (scores.truth, scores.decided)
        )
        fold = [] if folds is None else [folds[row]]
        probability = [f"{value:.6f}" for value in scores.probability[row]]
        writer.writerow([item.id, item.group, *fold, truth, answer, int(right[row]), *probability])
    return stream.getvalue()

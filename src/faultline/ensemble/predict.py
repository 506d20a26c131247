"""What `faultline ensemble predict` does: each member answers all pictures, then the stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from faultline.artifacts.bundle import load_bundle
from faultline.data.images import read_image
from faultline.ensemble import stages  # noqa: F401  (registers them)
from faultline.ensemble.answers import answer_files, release
from faultline.ensemble.saved import Ensemble, check_members, load_ensemble
from faultline.ensemble.tables import Inputs, Maker, Role, Rows, Table
from faultline.errors import FaultlineError
from faultline.files import check_writable, write_json, write_text
from faultline.metrics import decide_classes
from faultline.metrics.inputs import Floats
from faultline.predict.class_predictor import ClassPredictor
from faultline.predict.classify import JSON_NAME, TABLE_NAME, Answer, answers_csv
from faultline.predict.inputs import find_jobs
from faultline.progress import progress_bar

Say = Callable[[str], None]


@dataclass
class PredictSummary:
    """What came of it.

    Attributes:
        table: The CSV file.
        written: Pictures answered.
        failed: (file, reason) of those that could not be.
        seconds: For all.
    """

    table: Path
    written: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


def predict_pictures(
    weights: Path,
    inputs: Sequence[str],
    save: Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    say: Say = print,
) -> PredictSummary:
    """Answer pictures with an ensemble; write `predictions.csv` and `predictions.json`.

    A picture that cannot be read gets a row with the reason, and the rest goes on.

    Raises:
        BundleError: There is no ensemble, or its members are others.
        DataError: No picture is found.
        OutputError: The folder cannot be written.
    """
    start = time.perf_counter()
    ensemble = load_ensemble(weights)
    check_members(ensemble)
    check_writable(save)
    say(f"{ensemble.label} of {', '.join(ensemble.members)}")
    files = [job.source for job in find_jobs(inputs, save)]
    faults = _unreadable(files)
    good = [file for file in files if str(file) not in faults]
    answers = {file: Answer(file, error=reason) for file, reason in faults.items()}
    if good:
        probability = answer_pictures(ensemble, good, device, precision)
        cuts = [ensemble.threshold.of(name) for name in ensemble.label_space.names]
        decided = decide_classes(probability, ensemble.label_space.kind, cuts)
        for file, row, shown in zip(good, probability, decided, strict=True):
            names = zip(ensemble.label_space.names, shown, strict=True)
            classes = tuple(name for name, yes in names if yes)
            answers[str(file)] = Answer(str(file), classes, tuple(round(float(p), 6) for p in row))
    rows = [answers[str(file)] for file in files]
    write_text(
        save / TABLE_NAME,
        answers_csv(rows, ensemble.label_space.names, ensemble.fingerprint[:12]),
    )
    write_json(save / JSON_NAME, _document(ensemble, rows))
    return PredictSummary(
        save / TABLE_NAME, len(good), list(faults.items()), time.perf_counter() - start
    )


def answer_pictures(
    ensemble: Ensemble, files: Sequence[Path], device: str, precision: str
) -> Floats:
    """(N, K) probabilities of picture files, one member in memory at a time."""
    tables = []
    for name, anchors in zip(ensemble.members, ensemble.anchors, strict=True):
        predictor = ClassPredictor(load_bundle(ensemble.weights(name)), device, precision)
        with progress_bar(name) as progress:
            probability, embedding = answer_files(predictor, files, progress)
        rows = _unlabelled(files, probability.shape[1])
        makers = (Maker.of(predictor.bundle),)
        # No picture is an anchor by its name here: paths are not ids of the data set.
        unnamed = tuple(f"anchor {number}" for number in range(len(anchors)))
        tables.append(
            Table(
                name,
                Role.TEST,
                rows,
                makers,
                np.zeros(len(files), np.int64),
                probability,
                embedding,
                (anchors,),
                unnamed,
            )
        )
        del predictor
        release()
    return ensemble.stage.predict(Inputs.of(tables, ensemble.label_space.kind))


def _unlabelled(files: Sequence[Path], classes: int) -> Rows:
    names = tuple(str(file) for file in files)
    empty = tuple("" for _ in files)
    truth = np.zeros((len(files), classes), bool)
    return Rows(names, empty, empty, truth, np.full(len(files), -1, np.int64))


def _unreadable(files: Sequence[Path]) -> dict[str, str]:
    """Reasons of the pictures that cannot be read, by file."""
    found: dict[str, str] = {}
    for file in files:
        try:
            read_image(file)
        except FaultlineError as error:
            found[str(file)] = f"{error.what} -> {error.remedy}" if error.remedy else error.what
    return found


def _document(ensemble: Ensemble, rows: Sequence[Answer]) -> dict[str, Any]:
    names = ensemble.label_space.names
    return {
        "classes": list(names),
        "kind": ensemble.label_space.kind.value,
        "predictor": {
            "maker": ensemble.fingerprint,
            "stage": ensemble.label,
            "members": dict(zip(ensemble.members, ensemble.fingerprints, strict=True)),
            "threshold": ensemble.threshold.to_dict(),
        },
        "pictures": [
            {
                "file": row.file.encode("utf-8", "backslashreplace").decode("utf-8"),
                "classes": list(row.classes),
                "probabilities": dict(zip(names, row.probability, strict=False)),
                **({"error": row.error} if row.error else {}),
            }
            for row in rows
        ],
    }

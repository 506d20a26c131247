"""What `faultline infer` does with weights that classify: probabilities and classes per picture."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultline.artifacts.device import is_out_of_memory
from faultline.data.images import read_image
from faultline.errors import FaultlineError
from faultline.files import write_json, write_text
from faultline.predict.class_predictor import ClassPrediction, ClassPredictor
from faultline.predict.inputs import Job, find_jobs
from faultline.predict.options import InferSummary, settings_hash
from faultline.predict.predictor import Pixels
from faultline.predict.request import InferRequest
from faultline.predict.stream import mapped
from faultline.progress import Progress, progress_bar

TABLE_NAME = "predictions.csv"
JSON_NAME = "predictions.json"
SEPARATOR = "; "
_AHEAD = 4
_BATCH = {"cpu": 8}
_GPU_BATCH = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one picture; where `error` says why there is nothing, the rest is empty."""

    file: str
    classes: tuple[str, ...] = ()
    probability: tuple[float, ...] = ()
    error: str = ""


def infer_classes(request: InferRequest) -> InferSummary:
    """Classify pictures; write `predictions.csv` and `predictions.json`, or the one asked for.

    A picture that cannot be read gets a row with the reason, and the rest goes on. Stopping
    (Ctrl-C) writes what is finished, so that `skip_existing` can go on from there.

    Raises:
        DataError: No picture is found.
        OutputError: The folder cannot be written.
    """
    start = time.perf_counter()
    predictor = ClassPredictor(
        request.bundle, request.device, request.precision, request.threshold, request.tta
    )
    request.say(f"{request.bundle.model_name}: {threshold_words(predictor)}")
    jobs = find_jobs(request.inputs, request.save)
    made_with = settings_hash(predictor.describe())
    done = _finished(request, made_with, predictor.names)
    answers = {str(job.source): done[str(job.source)] for job in jobs if str(job.source) in done}
    table = request.save / (JSON_NAME if request.options.format == "json" else TABLE_NAME)
    summary = InferSummary(len(jobs), table, skipped=len(answers))
    left = [job for job in jobs if str(job.source) not in answers]
    try:
        with progress_bar("pictures") as progress:
            for answer in _answers(predictor, left, request, progress):
                answers[answer.file] = answer
    finally:
        # In the order of the pictures, whenever each was answered.
        rows = [answers[str(job.source)] for job in jobs if str(job.source) in answers]
        _write(request, predictor, rows, made_with)
    summary.failed = [(row.file, row.error) for row in rows if row.error]
    summary.written = len(rows) - summary.skipped - len(summary.failed)
    summary.seconds = time.perf_counter() - start
    return summary


def threshold_words(predictor: ClassPredictor) -> str:
    """Where classes are cut, as one line."""
    chosen = predictor.threshold
    if chosen.status == "most_probable":
        return "the most probable class is taken"
    if not chosen.classes:
        return f"threshold {chosen.value:.3f} ({chosen.status.replace('_', ' ')})"
    listed = ", ".join(f"{one.name} {one.value:.3f}" for one in chosen.classes)
    return f"thresholds {listed}"


def _answers(
    predictor: ClassPredictor, jobs: Sequence[Job], request: InferRequest, progress: Progress
) -> Iterator[Answer]:
    size = request.options.batch_size or _BATCH.get(predictor.device.type, _GPU_BATCH)
    done = 0
    with ThreadPoolExecutor(request.options.workers) as readers:
        read = mapped(readers, lambda job: _read(predictor, job), jobs, _AHEAD + size)
        for batch in _batches(read, size):
            pictures = [picture for _, picture in batch if not isinstance(picture, str)]
            found = iter(_predictions(predictor, pictures))
            for job, picture in batch:
                error = picture if isinstance(picture, str) else ""
                yield _answer(job, predictor.names, None if error else next(found), error)
            done += len(batch)
            progress(done, len(jobs))


def _read(predictor: ClassPredictor, job: Job) -> tuple[Job, Pixels | str]:
    """One picture at the model's size, or why there is none."""
    try:
        return job, predictor.fit(read_image(job.source))
    except FaultlineError as error:
        return job, f"{error.what} -> {error.remedy}" if error.remedy else error.what
    except MemoryError:
        return job, "not enough memory to decode it"


def _batches(
    pictures: Iterable[tuple[Job, Pixels | str]], size: int
) -> Iterator[list[tuple[Job, Pixels | str]]]:
    batch: list[tuple[Job, Pixels | str]] = []
    for one in pictures:
        batch.append(one)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _predictions(predictor: ClassPredictor, pictures: list[Pixels]) -> list[ClassPrediction]:
    """Answers of a batch; in halves where it does not fit into memory."""
    try:
        return predictor.predict_batch(pictures)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or len(pictures) < 2:
            raise
    middle = len(pictures) // 2
    return [
        *_predictions(predictor, pictures[:middle]), *_predictions(predictor, pictures[middle:])
    ]  # fmt: skip


def _answer(
    job: Job, names: Sequence[str], prediction: ClassPrediction | None, error: str
) -> Answer:
    if prediction is None:
        return Answer(str(job.source), error=error)
    probability = tuple(round(float(value), 6) for value in prediction.probability)
    return Answer(str(job.source), tuple(prediction.names(names)), probability)


def _write(
    request: InferRequest, predictor: ClassPredictor, rows: Sequence[Answer], made_with: str
) -> None:
    asked = request.options.format
    if asked in ("", "csv"):
        write_text(request.save / TABLE_NAME, answers_csv(rows, predictor.names, made_with))
    if asked in ("", "json"):
        write_json(request.save / JSON_NAME, _document(rows, predictor, made_with))


def answers_csv(rows: Sequence[Answer], names: Sequence[str], made_with: str) -> str:
    """One row a picture: what it shows, every probability, and what it was made with."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["file", "classes", *(f"p_{name}" for name in names), "made_with", "error"])
    for row in rows:
        probability = row.probability or [""] * len(names)
        writer.writerow([row.file, SEPARATOR.join(row.classes), *probability, made_with, row.error])
    # A file name need not be valid UTF-8: what cannot be written is shown escaped.
    return stream.getvalue().encode("utf-8", "backslashreplace").decode("utf-8")


def _document(rows: Sequence[Answer], predictor: ClassPredictor, made_with: str) -> dict[str, Any]:
    return {
        "classes": list(predictor.names),
        "kind": predictor.bundle.label_space.kind.value,
        "predictor": predictor.describe(),
        "made_with": made_with,
        "pictures": [
            {
                "file": row.file.encode("utf-8", "backslashreplace").decode("utf-8"),
                "classes": list(row.classes),
                "probabilities": dict(zip(predictor.names, row.probability, strict=False)),
                **({"error": row.error} if row.error else {}),
            }
            for row in rows
        ],
    }


def named_in(text: str, names: Sequence[str]) -> list[str]:
    """Those of `names` that `text` joins by the separator, which may be part of a name."""
    left, found = f"{SEPARATOR}{text}{SEPARATOR}", set()
    for name in sorted(names, key=len, reverse=True):
        piece = f"{SEPARATOR}{name}{SEPARATOR}"
        if piece in left:
            left = left.replace(piece, SEPARATOR, 1)
            found.add(name)
    return [name for name in names if name in found]


def _finished(request: InferRequest, made_with: str, names: Sequence[str]) -> dict[str, Answer]:
    """Answers of an earlier call with the same bundle and settings, by file.

    A picture that was written since then needs a new one.
    """
    if not request.options.skip_existing:
        return {}
    as_json = request.options.format == "json"
    path = request.save / (JSON_NAME if as_json else TABLE_NAME)
    try:
        written = path.stat().st_mtime
    except OSError:
        return {}
    found = (_from_json if as_json else _from_table)(path, made_with, names)
    return {file: answer for file, answer in found.items() if _is_older(Path(file), written)}


def _is_older(path: Path, written: float) -> bool:
    try:
        return path.stat().st_mtime <= written
    except OSError:
        return False


def _from_table(path: Path, made_with: str, names: Sequence[str]) -> dict[str, Answer]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    found = {}
    for row in csv.DictReader(io.StringIO(text, newline="")):
        if row.get("made_with") == made_with and not row.get("error"):
            classes = tuple(named_in(row["classes"], names))
            probability = tuple(float(row[f"p_{name}"]) for name in names)
            found[row["file"]] = Answer(row["file"], classes, probability)
    return found


def _from_json(path: Path, made_with: str, names: Sequence[str]) -> dict[str, Answer]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict) or content.get("made_with") != made_with:
        return {}
    return {
        row["file"]: Answer(
            row["file"],
            tuple(row["classes"]),
            tuple(float(row["probabilities"][name]) for name in names),
        )
        for row in content["pictures"]
        if not row.get("error")
    }

"""What `faultline infer` does with weights that answer prompts.

For each picture and prompt `{picture}__{prompt}.png` (one channel, 0 and 255, the picture's own
size), one overlay per picture, `prompts.json` with what each prompt was understood as, and
`answers.csv` with one row per answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from faultline.artifacts.bundle import Bundle
from faultline.data.images import read_image
from faultline.data.prompts import read_prompts, unique_prompts
from faultline.errors import ConfigError, DataError, FaultlineError
from faultline.files import write_json
from faultline.predict.inputs import OVERLAY_SUFFIX, Job, find_jobs, keep_foreign
from faultline.predict.options import InferOptions, InferSummary, settings_hash
from faultline.predict.overlay import draw_overlay
from faultline.predict.pictures import write_picture
from faultline.predict.predictor import Pixels
from faultline.predict.prompt_meaning import Meaning
from faultline.predict.prompt_names import prompt_names, result_name
from faultline.predict.prompted import PromptAnswer, PromptPredictor
from faultline.predict.request import InferRequest
from faultline.predict.stream import mapped
from faultline.predict.table import Cells, ResultTable, read_rows
from faultline.progress import progress_bar
from faultline.types import LabelKind, LabelSpace

RECORD_NAME = "prompts.json"
TABLE_NAME = "answers.csv"
_COLUMNS = (
    "file", "prompt", "class", "known", "mask", "share", "threshold", "time_ms", "made_with",
    "error",
)  # fmt: skip
_RULE = (
    "a space becomes _, other signs than ASCII letters, digits, '-', '.' and '_' become %XX; "
    "names beyond 150 bytes, or equal but for case, are cut or kept and marked with a hash"
)


def asked_prompts(options: InferOptions) -> tuple[list[str], list[str]]:
    """Prompts of the options and of their file, each once; notes about repetitions.

    Raises:
        DataError: A prompt is empty or too long, or the file cannot be used.
    """
    given, notes = list(options.prompts), list[str]()
    if options.prompt_file is not None:
        listed, notes = read_prompts(options.prompt_file)
        given += listed
    prompts = unique_prompts(given)
    return prompts, notes


def infer_prompts(request: InferRequest) -> InferSummary:
    """Answer every prompt about every picture.

    Raises:
        DataError: No picture is found, nothing is asked, or a prompt cannot be used.
        OutputError: The folder cannot be written.
    """
    start = time.perf_counter()
    options = request.options
    prompts, notes = asked_prompts(options)
    predictor = PromptPredictor(
        with_base(request.bundle, options.base),
        request.device,
        request.precision,
        request.threshold,
        request.tta,
    )
    if not prompts:
        known = ", ".join(f'"{prompt}"' for prompt in predictor.reader.prompts)
        raise DataError(
            "these weights need a prompt, and none was given",
            remedy=f'add --prompt "{predictor.reader.prompts[0]}"; known: {known}',
        )
    meanings = predictor.ask(prompts)
    for line in [*notes, *_introduction(request, predictor, meanings)]:
        request.say(line)
    summary = _Writer(request, predictor, meanings).answer_all()
    summary.seconds = time.perf_counter() - start
    return summary


def with_base(bundle: Bundle, base: Path | None) -> Bundle:
    """The bundle, resting on the local copy `base` of its pretrained model; None changes nothing.

    Raises:
        ConfigError: Its model rests on no other.
    """
    if base is None:
        return bundle
    if "base_hash" not in bundle.model_settings:
        raise ConfigError(
            f"--base: model {bundle.model_name!r} does not build on a pretrained model",
            where=bundle.source,
            remedy="leave --base out",
        )
    moved = replace(bundle, model_settings={**bundle.model_settings, "weights": str(base)})
    # Where the base lies does not change who answers: its hash is checked instead.
    vars(moved)["fingerprint"] = bundle.fingerprint
    return moved


def _introduction(
    request: InferRequest, predictor: PromptPredictor, meanings: Sequence[Meaning]
) -> Iterator[str]:
    count = len(meanings)
    yield f"{request.bundle.model_name}: {count} prompt{'s' if count != 1 else ''}"
    for meaning in meanings:
        warning = meaning.warning()
        if warning is not None:
            yield f"warning: {warning}"
        else:
            threshold = predictor.threshold.of(meaning.name)
            yield f'  "{meaning.prompt}" as {meaning.name} at threshold {threshold:.3f}'


@dataclass(frozen=True, slots=True)
class _Decoded:
    job: Job
    picture: Pixels | None
    error: str
    seconds: float


class _Writer:
    """Answers pictures one after the other and writes what came of them."""

    def __init__(
        self, request: InferRequest, predictor: PromptPredictor, meanings: Sequence[Meaning]
    ) -> None:
        self.request, self.predictor, self.meanings = request, predictor, meanings
        self.save, self.options = request.save, request.options
        self.prompts = [meaning.prompt for meaning in meanings]
        self.names = prompt_names(self.prompts)
        self.made_with = settings_hash({**predictor.predictor.describe(), "prompts": self.prompts})

    def answer_all(self) -> InferSummary:
        """Answer the pictures of the request; failures are listed and the rest goes on."""
        inside = self.save.resolve()
        jobs = [
            job
            for job in find_jobs(self.request.inputs, self.save)
            if not job.source.resolve().is_relative_to(inside)
        ]
        if not jobs:
            raise DataError("no pictures found outside the output folder", where=self.save)
        names = self.names.values()
        written = (str(j.name.parent / result_name(j.name.name, n)) for j in jobs for n in names)
        keep_foreign(self.save, RECORD_NAME, written)
        done = self._finished(jobs) if self.options.skip_existing else {}
        summary = InferSummary(len(jobs), self.save / TABLE_NAME, skipped=len(done))
        left = [job for job in jobs if job.source not in done]
        kept = [row for rows in done.values() for row in rows]
        with (
            ResultTable(self.save, self.made_with, kept, _COLUMNS, TABLE_NAME) as table,
            progress_bar("pictures") as progress,
            ThreadPoolExecutor(2) as readers,
        ):
            self._record()
            for number, decoded in enumerate(mapped(readers, _decode, left, 3), 1):
                self._one(decoded, summary, table)
                progress(len(done) + number, len(jobs))
        return summary

    def _one(self, decoded: _Decoded, summary: InferSummary, table: ResultTable) -> None:
        source = str(decoded.job.source)
        if decoded.picture is None:
            summary.failed.append((source, decoded.error))
            table.add({"file": source, "error": decoded.error})
            return
        answers = self.predictor.answer(decoded.picture, self.prompts)
        folder, stem = self.save / decoded.job.name.parent, decoded.job.name.name
        if self.options.overlays:
            write_picture(
                folder / f"{stem}{OVERLAY_SUFFIX}", draw_answers(decoded.picture, answers)
            )
        for answer in answers:
            path = folder / result_name(stem, self.names[answer.meaning.prompt])
            write_picture(path, answer.mask * np.uint8(255))
            table.add(self._row(source, path, answer))
        summary.written += 1

    def _row(self, source: str, path: Path, answer: PromptAnswer) -> dict[str, Any]:
        return {
            "file": source,
            "prompt": answer.meaning.prompt,
            "class": answer.meaning.name if answer.meaning.known else "",
            "known": int(answer.meaning.known),
            "mask": path.relative_to(self.save).as_posix(),
            "share": f"{answer.share:.6f}",
            "threshold": f"{answer.threshold:.4f}",
            "time_ms": f"{1e3 * answer.seconds:.1f}",
        }

    def _finished(self, jobs: Sequence[Job]) -> dict[Path, list[Cells]]:
        """Rows of the pictures that an earlier call with these weights and prompts finished."""
        found = {
            (cells["file"], cells["prompt"]): (cells, written)
            for cells, written in read_rows(self.save, TABLE_NAME)
            if cells.get("prompt")
        }
        finished = {job.source: self._rows_of(job, found) for job in jobs}
        return {source: rows for source, rows in finished.items() if rows}

    def _rows_of(
        self, job: Job, found: Mapping[tuple[str, str], tuple[Cells, float]]
    ) -> list[Cells]:
        """Rows of one picture; none unless each was made as now and is newer than its mask."""
        folder, stem = self.save / job.name.parent, job.name.name
        if self.options.overlays and not (folder / f"{stem}{OVERLAY_SUFFIX}").is_file():
            return []
        rows = []
        for prompt in self.prompts:
            cells, written = found.get((str(job.source), prompt), ({}, 0.0))
            path = folder / result_name(stem, self.names[prompt])
            named = cells.get("mask") == path.relative_to(self.save).as_posix()
            if cells.get("made_with") != self.made_with or not named or not path.is_file():
                return []
            # A mask newer than its row is of a call that was stopped before it could say so.
            if not job.source.stat().st_mtime <= path.stat().st_mtime <= written:
                return []
            rows.append(cells)
        return rows

    def _record(self) -> None:
        entries = []
        for meaning in self.meanings:
            entry = {**meaning.to_dict(), "name": self.names[meaning.prompt]}
            entry["threshold"] = self.predictor.threshold.of(meaning.name)
            entry["warning"] = meaning.warning()
            entries.append(entry)
        values = {
            "made_with": self.made_with,
            "maker": self.request.bundle.fingerprint,
            "model": self.request.bundle.model_name,
            "file_names": "{picture}__{name}.png",
            "rule": _RULE,
            "prompts": entries,
        }
        write_json(self.save / RECORD_NAME, values)


def _decode(job: Job) -> _Decoded:
    start = time.perf_counter()
    try:
        picture, error = read_image(job.source), ""
    except FaultlineError as failure:
        picture = None
        error = f"{failure.what} -> {failure.remedy}" if failure.remedy else failure.what
    return _Decoded(job, picture, error, time.perf_counter() - start)


def draw_answers(picture: Pixels, answers: Sequence[PromptAnswer]) -> Pixels:
    """The picture with what each prompt found in a colour of its own."""
    masks = np.stack([answer.mask for answer in answers])
    return draw_overlay(picture, masks, prompt_space([one.meaning.prompt for one in answers]))


def prompt_space(prompts: Sequence[str]) -> LabelSpace:
    """Prompts as classes that may overlap; their colours are those of the overlay."""
    return LabelSpace(LabelKind.MULTILABEL, tuple(prompts))

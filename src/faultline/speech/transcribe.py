"""Writes down any number of recordings as text, JSON or subtitles; a failure costs only itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np

from faultline.errors import ConfigError, DataError, FaultlineError
from faultline.files import write_text
from faultline.predict.inputs import Job, find_jobs
from faultline.progress import Progress
from faultline.registry import did_you_mean
from faultline.speech.audio.reading import SUFFIXES, audio_info
from faultline.speech.frontend import Features, check_features
from faultline.speech.recogniser import Recogniser
from faultline.speech.transcript import Transcript, to_srt

FORMATS = ("text", "json", "srt")
FEATURES = ".npy"
"""Suffix of files of log-mel features (T, M)."""
_ARCHIVE = b"PK"  # how `np.savez` begins
_NO_ARRAY = (OSError, ValueError, OverflowError, MemoryError, RecursionError, TokenError)
"""What NumPy raises for headers that are none, or promise what cannot be."""
_TOGETHER = 64
_EXTENSIONS = {"text": ".txt", "json": ".json", "srt": ".srt"}


@dataclass(frozen=True)
class Written:
    """What came of one file: a transcript, or the reason why there is none."""

    path: Path
    transcript: Transcript | None
    error: str = ""


def find_recordings(inputs: Sequence[str | Path]) -> list[Job]:
    """Recordings and feature files that `inputs` mean; see `find_jobs`.

    Raises:
        DataError: An input does not exist, or there is no recording at all.
    """
    return find_jobs(inputs, None, (*SUFFIXES, FEATURES), "recordings")


def transcribe_paths(
    recogniser: Recogniser, paths: Sequence[Path], progress: Progress | None = None
) -> list[Written]:
    """Transcripts of all files, many recognised at once.

    Args:
        recogniser: What answers.
        paths: Sound files, and `.npy` files of log-mel features (T, M).
        progress: Called with (files done, all files).

    Returns:
        One entry per file, in their order; files that cannot be read carry the reason.
    """
    results: list[Written] = []
    for first in range(0, len(paths), _TOGETHER):
        results += _group(recogniser, paths[first : first + _TOGETHER])
        if progress is not None:
            progress(len(results), len(paths))
    return results


def _group(recogniser: Recogniser, paths: Sequence[Path]) -> list[Written]:
    """Short recordings together, others one by one; a bad file costs only itself."""
    answers: dict[Path, Written] = {}
    short = []
    for path in paths:
        try:
            if path.suffix.lower() != FEATURES and audio_info(path).seconds <= recogniser.longest:
                short.append(path)
            else:
                answers[path] = Written(path, _alone(recogniser, path))
        except FaultlineError as error:
            answers[path] = Written(path, None, str(error))
    try:
        written = recogniser.transcribe_files(short)
        answers |= {path: Written(path, text) for path, text in zip(short, written, strict=True)}
    except DataError:
        for path in short:
            answers[path] = _try_alone(recogniser, path)
    return [answers[path] for path in paths]


def _try_alone(recogniser: Recogniser, path: Path) -> Written:
    try:
        return Written(path, _alone(recogniser, path))
    except FaultlineError as error:
        return Written(path, None, str(error))


def _alone(recogniser: Recogniser, path: Path) -> Transcript:
    if path.suffix.lower() == FEATURES:
        features = read_features(path, recogniser.frontend.mels)
        return recogniser.transcribe_features([features])[0]
    return recogniser.transcribe_files([path])[0]


def spoken_clips(recogniser: Recogniser, inputs: Sequence[str | Path]) -> list[Features]:
    """Features (T, M) of all that is said in recordings, and of feature files.

    Raises:
        DataError: An input does not exist or cannot be read.
    """
    clips: list[Features] = []
    for path in (job.source for job in find_recordings(inputs)):
        if path.suffix.lower() == FEATURES:
            clips.append(read_features(path, recogniser.frontend.mels))
        else:
            clips += recogniser.spoken_features(path)
    return clips


def read_features(path: Path, mels: int) -> Features:
    """The features (T, M) of a `.npy` file; pickled objects are refused.

    Raises:
        DataError: It holds none, or not of `mels` channels.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(len(_ARCHIVE)) == _ARCHIVE:
                raise DataError("holds several arrays; give one .npy file each", where=path)
        # As a map of the file, for which no memory is taken: a header can promise any size.
        with np.errstate(over="ignore"):
            array = np.lib.format.open_memmap(path, mode="r")
    except _NO_ARRAY as error:
        raise DataError(f"is no array of features: {error}", where=path) from error
    try:
        return np.array(check_features(array, mels))
    except DataError as error:
        raise DataError(error.what, where=path, remedy=error.remedy) from error


def check_format(name: str) -> str:
    """`name`, if it is a known output format.

    Raises:
        ConfigError: It is not.
    """
    if name not in FORMATS:
        raise ConfigError(
            f"unknown format {name!r}{did_you_mean(name, FORMATS)}", remedy=", ".join(FORMATS)
        )
    return name


def shown(results: Sequence[Written], name: str) -> str:
    """All transcripts as one text for the terminal, in the format `name`."""
    good = [(r.path, r.transcript) for r in results if r.transcript is not None]
    if name == "json":
        rows = [_row(result) for result in results]
        return json.dumps(rows, indent=2, ensure_ascii=False)
    if name == "srt":
        return "\n".join(to_srt(transcript) for _, transcript in good)
    if len(results) == 1:
        return "".join(transcript.text for _, transcript in good)
    return "\n".join(f"{path}\t{transcript.text}" for path, transcript in good)


def save_all(results: Sequence[Written], jobs: Sequence[Job], folder: Path, name: str) -> None:
    """One file per recording in `folder`, named as its job says.

    Raises:
        OutputError: It cannot be written.
    """
    for result, job in zip(results, jobs, strict=True):
        if result.transcript is not None:
            path = folder / job.name.with_name(job.name.name + _EXTENSIONS[name])
            write_text(path, _content(result, name))


def _content(result: Written, name: str) -> str:
    assert result.transcript is not None
    formats: dict[str, Callable[[], str]] = {
        "json": lambda: json.dumps(_row(result), indent=2, ensure_ascii=False) + "\n",
        "srt": lambda: to_srt(result.transcript) if result.transcript else "",
        "text": lambda: f"{result.transcript.text}\n" if result.transcript else "",
    }
    return formats[name]()


def _row(result: Written) -> dict[str, object]:
    if result.transcript is None:
        return {"file": str(result.path), "error": result.error}
    return {"file": str(result.path), **result.transcript.to_dict()}

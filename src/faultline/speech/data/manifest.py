"""Manifests: one row per utterance, as JSON lines or CSV, checked row by row."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from faultline.data.manifest import Problem
from faultline.errors import DataError
from faultline.files import write_text
from faultline.speech.tokenizer import normalise_text

SPEECH, SILENCE, NOISE = "speech", "silence", "noise"
KINDS = (SPEECH, SILENCE, NOISE)
NAME = "manifest.jsonl"
_SHOWN = 80  # characters of a value in a message
FIELDS = ("audio", "text", "speaker", "duration", "kind", "split")


@dataclass(frozen=True)
class Utterance:
    """A recording and what is said in it.

    Attributes:
        path: The sound file.
        text: Transcript; empty for silence and noise.
        speaker: Who speaks; empty if unknown.
        duration: Seconds as the manifest says; 0 if it does not.
        kind: `speech`, `silence` or `noise`.
        split: `train`, `valid`, `test` or any other name; empty if the manifest has none.
    """

    path: Path
    text: str
    speaker: str = ""
    duration: float = 0.0
    kind: str = SPEECH
    split: str = ""

    @cached_property
    def sha256(self) -> str:
        """Hash of the file's content, by which it is known elsewhere.

        Raises:
            DataError: The file cannot be read.
        """
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=self.path) from error

    @property
    def id(self) -> str:
        """Name of the file, for a person to read."""
        return self.path.name

    @property
    def group(self) -> str:
        """What shows the same thing: copies of one recording."""
        return self.sha256


@dataclass(frozen=True)
class SpeechManifest:
    """Utterances that can be used, and rows that cannot.

    Attributes:
        utterances: In the order of the file.
        problems: Rows left out, with the reason.
        source: The manifest file.
    """

    utterances: tuple[Utterance, ...]
    problems: tuple[Problem, ...]
    source: Path


def read_manifest(path: str | Path) -> SpeechManifest:
    """Read a manifest; sound files are looked up beside it.

    Rows need `audio` and `text`; `speaker`, `duration`, `kind` and `split` are optional. Rows
    that cannot be used are listed, and the rest goes on.

    Args:
        path: `.jsonl`, `.csv`, or a folder that holds `manifest.jsonl` or `manifest.csv`.

    Raises:
        DataError: There is no manifest, or no row of it can be used.
    """
    path = located(path)
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
    found: list[Utterance] = []
    problems: list[Problem] = []
    for line, row in rows:
        reason = row if isinstance(row, str) else _fault(row, path.parent)
        if reason:
            problems.append(Problem(f"{path.name}:{line}", reason))
        else:
            assert isinstance(row, dict)
            found.append(_utterance(row, path.parent))
    if not found:
        first = f": {problems[0].file} {problems[0].reason}" if problems else ""
        raise DataError(f"no row can be used{first}", where=path)
    return SpeechManifest(tuple(found), tuple(problems), path)


def check_new(path: Path) -> Path:
    """`path`, if nothing lies there yet: a manifest may hold hours of somebody's corrections.

    Raises:
        DataError: There is such a file.
    """
    if path.exists():
        raise DataError(
            "is there already", where=path, remedy="move it away, or name another with --save"
        )
    return path


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write JSON lines or, with the suffix `.csv`, CSV; paths below its folder become relative.

    Raises:
        OutputError: It cannot be written.
    """
    path = Path(path)
    rows = [_row(utterance, path.parent.resolve()) for utterance in utterances]
    if path.suffix.lower() == ".csv":
        stream = io.StringIO()
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, stream.getvalue())
        return
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def fingerprint(utterances: Sequence[Utterance]) -> str:
    """SHA-256 (hex) over contents, texts and splits, whatever the order and the folder."""
    lines = sorted(f"{u.sha256}\t{normalise_text(u.text)}\t{u.split}\n" for u in utterances)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def located(path: str | Path) -> Path:
    """The manifest at `path`, or in the folder `path`.

    Raises:
        DataError: There is none.
    """
    path = Path(path)
    if path.is_dir():
        for name in (NAME, "manifest.csv"):
            if (path / name).is_file():
                return path / name
        raise DataError(
            f"this folder holds no {NAME}",
            where=path,
            remedy="make one with `faultline speech manifest`",
        )
    if not path.is_file():
        raise DataError("no such manifest", where=path)
    return path


def _json_rows(path: Path) -> Iterable[tuple[int, dict[str, Any] | str]]:
    # `splitlines` would also split at U+2028 and the like, which JSON allows within a text.
    for number, line in enumerate(_content(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, f"is no JSON: {error}"
            continue
        if not isinstance(row, dict):
            yield number, "is no JSON object"
            continue
        yield number, {key: value for key, value in row.items() if value is not None}


def _csv_rows(path: Path) -> Iterable[tuple[int, dict[str, Any] | str]]:
    reader = csv.DictReader(io.StringIO(_content(path), newline=""))
    try:
        for row in reader:
            yield reader.line_num, {key: value for key, value in row.items() if key and value}
    except csv.Error as error:
        yield reader.line_num, f"is no CSV, so nothing is read from here on: {error}"


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as text: {error}", where=path) from error


def _fault(row: dict[str, Any], folder: Path) -> str:
    """Why a row cannot be used, or nothing."""
    audio, text, kind = row.get("audio"), row.get("text", ""), row.get("kind", SPEECH)
    if not isinstance(audio, str) or not audio:
        return "has no `audio`"
    if kind not in KINDS:
        return f"kind {kind!r} is not one of {', '.join(KINDS)}"
    if not isinstance(text, str):
        return f"`text` is not text but {text!r}"
    if kind == SPEECH and not normalise_text(text):
        return 'has no text: write it, or "kind": "silence" or "noise"'
    if kind != SPEECH and normalise_text(text):
        return f"is {kind} but has the text {text!r}"
    if fault := _missing(folder / audio):
        return f"{_cut(audio)}: {fault}"
    if _seconds(row) is None:
        shown = _cut(repr(row.get("duration")))
        return f"duration {shown} is no number of seconds; leave it out if it is not known"
    return ""


def _missing(path: Path) -> str:
    """Why there is no such file, or nothing."""
    try:
        return "" if path.is_file() else "no such file"
    except OSError as error:  # no file can have such a name
        return f"cannot be a file: {error.strerror}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _seconds(row: dict[str, Any]) -> float | None:
    """The duration; 0 if the row has none, None if it cannot be one."""
    try:
        seconds = float(row.get("duration") or 0.0)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < math.inf else None


def _utterance(row: dict[str, Any], folder: Path) -> Utterance:
    return Utterance(
        path=folder / row["audio"],
        text=normalise_text(row.get("text", "")),
        speaker=str(row.get("speaker", "")),
        duration=_seconds(row) or 0.0,
        kind=row.get("kind", SPEECH),
        split=str(row.get("split", "")),
    )


def _row(utterance: Utterance, folder: Path) -> dict[str, Any]:
    path = utterance.path.resolve()
    inside = path.is_relative_to(folder)
    row = {
        "audio": path.relative_to(folder).as_posix() if inside else str(path),
        "text": utterance.text,
        "speaker": utterance.speaker,
        "duration": round(utterance.duration, 4),
        "kind": utterance.kind,
        "split": utterance.split,
    }
    return {key: value for key, value in row.items() if value or key in ("audio", "text")}

"""Reads sound files of any rate, width and number of channels, whole or as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultline.errors import DataError
from faultline.extras import import_extra
from faultline.speech.audio.corrected import CorrectedFile
from faultline.speech.audio.header import check_length
from faultline.speech.audio.resampling import Wave, resample_stream

SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".aif", ".au", ".mp3", ".opus")
_BLOCK_SECONDS = 10
_EXPORT_AGAIN = "export it again as 16-bit PCM"
_RATES = (1000, 768_000)
LOUDEST = 1000.0
"""No sample is larger, where full scale is 1: beyond are numbers that are no sound."""


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What the header says.

    Attributes:
        rate: Samples per second.
        channels: Number of channels.
        seconds: Duration.
    """

    rate: int
    channels: int
    seconds: float


def audio_info(path: str | Path) -> AudioInfo:
    """The header of a sound file.

    Raises:
        DataError: It is no sound file, holds no samples, or its header is wrong.
        MissingExtraError: The extra `speech` is not installed.
    """
    with _opened(Path(path)) as file:
        return AudioInfo(file.samplerate, file.channels, file.frames / file.samplerate)


def read_audio(path: str | Path, rate: int, *, max_seconds: float | None = None) -> Wave:
    """The whole of a sound file as mono float32 (S,) at `rate` hertz, of size 1 at full scale.

    Args:
        path: Any format that libsndfile reads.
        rate: Hertz of the result; the file's own rate is taken from its header.
        max_seconds: Longer files are refused before they are read.

    Raises:
        DataError: See `stream_audio`; or it is longer than `max_seconds`.
        MissingExtraError: The extra `speech` is not installed.
    """
    path = Path(path)
    if max_seconds is not None and (found := audio_info(path).seconds) > max_seconds:
        raise DataError(f"lasts {found:.1f} s, more than {max_seconds:g} s", where=path)
    return np.concatenate(list(stream_audio(path, rate)))


def stream_audio(path: str | Path, rate: int) -> Iterator[Wave]:
    """Blocks of mono float32 (S,) at `rate` hertz; memory does not grow with the file.

    Raises:
        DataError: It is no sound file, holds no samples or values that are no sound, or its
            header promises another length than it has.
        MissingExtraError: The extra `speech` is not installed.
    """
    path = Path(path)
    with _opened(path) as file:
        yield from resample_stream(_mono_blocks(path, file), file.samplerate, rate)


def check_samples(samples: NDArray[np.float32], where: Path | None = None) -> None:
    """Make sure that samples of any shape are sound: finite, and of a size that can be.

    What overflows on its way to the network would pass for silence.

    Raises:
        DataError: They are not.
    """
    wrong = int((~np.isfinite(samples)).sum())
    if wrong:
        raise DataError(
            f"{wrong} of its samples are not finite numbers", where=where, remedy=_EXPORT_AGAIN
        )
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > LOUDEST:
        raise DataError(
            f"its samples reach {peak:.4g}, where full scale is 1", where=where,
            remedy=_EXPORT_AGAIN,
        )  # fmt: skip


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    soundfile = import_extra("soundfile", "speech")
    if not path.is_file():
        raise DataError("is a folder" if path.is_dir() else "no such file", where=path)
    if path.stat().st_size == 0:
        raise DataError("is empty", where=path)
    with ExitStack() as opened:
        try:
            file = opened.enter_context(soundfile.SoundFile(_source(path, opened)))
        except (soundfile.LibsndfileError, OSError, TypeError) as error:
            raise DataError(
                "cannot be read as sound",
                where=path,
                remedy=f"give one of {', '.join(suffix[1:] for suffix in SUFFIXES)}",
            ) from error
        if not _RATES[0] <= file.samplerate <= _RATES[1]:
            raise DataError(f"its header gives a rate of {file.samplerate} Hz", where=path)
        if file.frames == 0:
            raise DataError("holds no samples", where=path, remedy="record it again")
        yield file


def _source(path: Path, opened: ExitStack) -> Path | CorrectedFile:
    """What is decoded: the file, or that file with its real length in the header."""
    correction = check_length(path)
    if correction is None:
        return path
    return opened.enter_context(CorrectedFile(path, correction))


def _mono_blocks(path: Path, file: Any) -> Iterator[Wave]:
    """Means over channels. What a header says of the length is not believed in advance."""
    soundfile = import_extra("soundfile", "speech")
    total = 0
    try:
        for block in file.blocks(_BLOCK_SECONDS * file.samplerate, dtype="float32", always_2d=True):
            if len(block) == 0:
                break
            check_samples(block, path)
            total += len(block)
            yield np.ascontiguousarray(block.mean(1))
    except soundfile.LibsndfileError as error:
        raise DataError("is damaged: decoding stopped half-way", where=path) from error
    if total < file.frames:
        raise DataError(
            f"the header promises {file.frames:,} samples, the file holds {total:,}",
            where=path,
            remedy="copy or record it again",
        )

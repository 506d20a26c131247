"""Cuts long sound at its quietest moments, so that a recogniser sees pieces as it was trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultline.speech.audio.resampling import Wave

SILENCE_DB = -65.0
SPEECH_DB = -30.0
_FRAME_SECONDS = 0.01
_PAUSE_SECONDS = 0.1
_EARLIEST = 0.4  # share of the longest segment before which no cut is made


@dataclass(frozen=True)
class Segment:
    """A piece of a recording.

    Attributes:
        start: Seconds from the start of the recording.
        wave: (S,) samples.
        silent: Whether no moment of it is louder than `SILENCE_DB` of full scale.
    """

    start: float
    wave: Wave
    silent: bool


def cut_at_silence(blocks: Iterable[Wave], rate: int, longest: float) -> Iterator[Segment]:
    """Join `blocks` and cut them into segments of at most `longest` seconds.

    A recording that is short enough stays whole. A longer one is cut in the middle of its
    quietest 0.1 s between 40 % and 100 % of `longest`, again and again.

    Args:
        blocks: Waves (S,), as `stream_audio` gives them; only one segment is held at a time.
        rate: Samples per second.
        longest: Seconds.
    """
    limit = max(int(longest * rate), int(4 * _PAUSE_SECONDS * rate))
    kept, start = np.zeros(0, np.float32), 0
    for block in blocks:
        kept = np.concatenate([kept, block])
        while len(kept) > limit:
            cut = _quietest_sample(kept[:limit], rate)
            yield Segment(start / rate, kept[:cut], is_silent(kept[:cut], rate))
            kept, start = kept[cut:], start + cut
    if len(kept) or not start:
        yield Segment(start / rate, kept, is_silent(kept, rate))


def cut_features(
    features: NDArray[np.float32], hop_ms: float, longest: int, step: int = 1
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Cut log-mel features into pieces of at most `longest` windows, as `cut_at_silence` does.

    What is quiet goes by the mean over the channels: features do not tell the power itself.

    Args:
        features: (T, M).
        hop_ms: From one window to the next.
        longest: Windows of a piece at most.
        step: Cuts lie at multiples of so many windows, so that no frame of several is cut.

    Returns:
        First window and features (T', M) of each piece.
    """
    width = max(1, round(1000 * _PAUSE_SECONDS / hop_ms))
    limit, start = max(longest, 4 * width, 4 * step), 0
    while len(features) - start > limit:
        cut = _quietest(features[start : start + limit].mean(1), width)
        cut = max(step, cut - cut % step)
        yield start, features[start : start + cut]
        start += cut
    yield start, features[start:]


def is_silent(wave: Wave, rate: int) -> bool:
    """Whether no 10 ms of `wave` (S,) are louder than `SILENCE_DB` of full scale."""
    power = frame_power(wave, rate)
    return not len(power) or float(power.max()) < 10 ** (SILENCE_DB / 10)


def trim_silence(wave: Wave, rate: int) -> Wave:
    """`wave` (S,) without what is `SPEECH_DB` quieter than its loudest 10 ms, at either end."""
    power = frame_power(wave, rate)
    if not power.any():
        return wave
    loud = np.flatnonzero(power >= power.max() * 10 ** (SPEECH_DB / 10))
    size = max(1, int(_FRAME_SECONDS * rate))
    return wave[loud[0] * size : (loud[-1] + 1) * size]


def frame_power(wave: Wave, rate: int) -> np.ndarray:
    """Mean square of each 10 ms of `wave` (S,); the mean of the wave itself is no sound."""
    size = max(1, int(_FRAME_SECONDS * rate))
    count = -(-len(wave) // size)
    if not count:
        return np.zeros(0)
    padded = np.zeros(count * size)
    padded[: len(wave)] = wave - wave.mean()
    return np.asarray(np.square(padded.reshape(count, size)).mean(1))


def _quietest_sample(wave: Wave, rate: int) -> int:
    """Sample in the middle of the quietest pause of the later part of `wave`."""
    middle = _quietest(frame_power(wave, rate), round(_PAUSE_SECONDS / _FRAME_SECONDS))
    return min(len(wave), max(1, middle * max(1, int(_FRAME_SECONDS * rate))))


def _quietest(power: NDArray[np.floating[Any]], width: int) -> int:
    """Middle of the `width` frames of least `power` (T,), in the later part of it."""
    means = np.convolve(power, np.full(width, 1 / width), "valid")
    first = int(_EARLIEST * len(power))
    # Of equally quiet moments the latest, so that silence gives few long segments.
    later = means[first:][::-1]
    return first + len(later) - 1 - int(later.argmin()) + width // 2

"""Finds clips with more tokens than frames, which no recogniser here can learn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from faultline.data.manifest import Problem
from faultline.errors import DataError

_SHOWN = 5
_TOO_MANY = 0.5


def frames_needed(tokens: Sequence[int]) -> int:
    """Least number of frames for `tokens`.

    One frame fires at most one token, and there is an end-of-sentence token besides; CTC needs a
    blank between equal neighbours.
    """
    if not tokens:
        return 0
    repeats = sum(a == b for a, b in pairwise(tokens))
    return max(len(tokens) + 1, len(tokens) + repeats)


def subsampled(frames: int, skip: int) -> int:
    """Frames that are left when every `skip`-th begins a stack: ceil(frames / skip)."""
    return -(-frames // skip)


def check_frames(
    clips: Sequence[tuple[str, int, Sequence[int]]], skip: int
) -> tuple[list[bool], list[Problem]]:
    """Which clips can be learnt at this frame rate.

    Args:
        clips: Name, frames before stacking, and tokens of each.
        skip: Windows from one frame to the next.

    Returns:
        One flag per clip, and a problem for each that has too few frames.

    Raises:
        DataError: Most clips have too few; the frame rate is wrong.
    """
    fits = [frames_needed(tokens) <= subsampled(frames, skip) for _, frames, tokens in clips]
    problems = [
        Problem(name, f"{subsampled(frames, skip)} frames for {len(tokens)} characters, "
                      f"which need {frames_needed(tokens)}")
        for (name, frames, tokens), fit in zip(clips, fits, strict=True) if not fit
    ]  # fmt: skip
    if len(problems) > _TOO_MANY * max(1, len(clips)):
        names = ", ".join(problem.file for problem in problems[:_SHOWN])
        raise DataError(
            f"{len(problems)} of {len(clips)} clips have fewer frames than their text needs "
            f"({names}, ...); the first: {problems[0].reason}",
            remedy="use a higher frame rate (frontend.skip=1 or a smaller frontend.hop_ms), "
            "or check the texts",
        )
    return fits, problems

"""Strokes: a centre line with two edges and a darkness, before it becomes pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from faultline.data.synthetic.noise import FloatArray, Shape, profile
from faultline.data.synthetic.paths import STEP

MIN_WIDTH = 0.7
"""Full width in pixels under which a crack is not there: neither drawn nor in the mask."""


@dataclass(frozen=True)
class Stroke:
    """One crack segment.

    Attributes:
        path: (N, 2) centre line, (x, y) in pixels.
        left: (N,) half width on one side, in pixels.
        right: (N,) half width on the other side.
        tone: (N,) how dark it is, 0 (as the surface) to 1 (black).
    """

    path: FloatArray
    left: FloatArray
    right: FloatArray
    tone: FloatArray

    def area(self, shape: Shape) -> float:
        """Pixels that it covers within (H, W), about."""
        inside = ((self.path >= 0) & (self.path < (shape[1], shape[0]))).all(axis=1)
        # A crack thinner than a pixel still takes one in the mask.
        width = np.maximum(self.left + self.right, 1.3)
        return float(STEP * np.sum(width * inside * (self.left + self.right >= MIN_WIDTH)))


def ragged_stroke(
    rng: np.random.Generator,
    path: FloatArray,
    width: FloatArray,
    tone: float,
    ragged: float,
    scale: float,
) -> Stroke:
    """Give `path` (N, 2) two independently uneven edges and an uneven darkness.

    Args:
        rng: Source of randomness.
        path: Centre line, (x, y) in pixels.
        width: (N,) full width in pixels before unevenness.
        tone: Darkness, 0-1.
        ragged: Standard deviation of the logarithm of the width over a few pixels.
        scale: Size of things relative to a picture of 320x480.
    """
    count = len(path)
    swell = np.exp(np.clip(0.32 * profile(rng, count, 60, 4, 0.7), -1.2, 0.65))
    # Hair cracks stay a hair wide; only a tapering end falls below and is gone.
    even = np.maximum(width * swell, np.minimum(width, 1.1))
    sides = [
        0.5 * even * np.exp(ragged * profile(rng, count, 2.5 * max(scale, 0.7))) for _ in range(2)
    ]
    slack = np.maximum(1, np.minimum(width, 1.0) / (sides[0] + sides[1]).clip(1e-3))
    sides = [side * slack for side in sides]
    tones = np.clip(tone * (1 + 0.16 * profile(rng, count, 50, 3)), 0.22, 0.97)
    left, right = (side.astype(np.float32) for side in sides)
    return Stroke(path, left, right, tones.astype(np.float32))


def widened(stroke: Stroke, factor: float) -> Stroke:
    """`stroke` with its widths times `factor`; what is a pixel wide does not get thinner."""
    width = np.maximum(stroke.left + stroke.right, 1e-3)
    ratio = np.maximum(width * np.float32(factor), np.minimum(width, 1.0)) / width
    return replace(stroke, left=stroke.left * ratio, right=stroke.right * ratio)


def broken(rng: np.random.Generator, stroke: Stroke, scale: float) -> list[Stroke]:
    """Cut `stroke` at a few places; what follows a cut may run on a little to the side."""
    count, pieces, start = len(stroke.path), [], 0
    shift = np.zeros(2, dtype=np.float32)
    gap = max(2, round(6 * scale / STEP))
    for _ in range(int(rng.choice(4, p=(0.58, 0.26, 0.11, 0.05)))):
        cut = start + int(rng.integers(12, 12 + max(13, count // 2)))
        length = int(rng.integers(1, 2 * gap))
        if cut + length + 8 >= count:
            break
        pieces.append(_piece(stroke, start, cut, shift))
        start = cut + length
        shift = (rng.normal(0, 2.0 * scale, 2)).astype(np.float32)
    return [*pieces, _piece(stroke, start, count, shift)]


def _piece(stroke: Stroke, start: int, end: int, shift: FloatArray) -> Stroke:
    """Points `start` to `end`, moved by `shift` (x, y), its cut ends tapered."""
    at_start, at_end = start > 0, end < len(stroke.path)
    part = slice(start, end)
    steps = np.arange(end - start)
    ramp = np.ones(end - start)
    if at_start:
        ramp *= np.clip((steps + 1) / 12, 0, 1)
    if at_end:
        ramp *= np.clip((end - start - steps) / 12, 0, 1)
    left, right = ((side[part] * ramp).astype(np.float32) for side in (stroke.left, stroke.right))
    return Stroke(stroke.path[part] + shift, left, right, stroke.tone[part])


def taper(count: int, at_start: float, at_end: float) -> FloatArray:
    """Widths (count,) that fall to 0 over the given shares of the path at its two ends."""
    t = np.linspace(0, 1, count)
    ramp = np.ones(count)
    if at_start:
        ramp *= np.minimum(1, t / at_start)
    if at_end:
        ramp *= np.minimum(1, (1 - t) / at_end) ** 0.7
    return ramp.astype(np.float32)

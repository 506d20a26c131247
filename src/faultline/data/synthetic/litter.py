"""Leaves and pebbles that lie on a surface."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from faultline.data.synthetic.noise import FloatArray, blur, smooth_noise, unit
from faultline.data.synthetic.textures import Scene

_LEAVES = ((0.5, 0.4, 0.22), (0.38, 0.28, 0.18), (0.56, 0.5, 0.28))
_STONES = ((0.66, 0.64, 0.6), (0.4, 0.4, 0.41), (0.55, 0.5, 0.44))


@dataclass(frozen=True)
class _Thing:
    """Outline (N, 2), (x, y) in pixels around its middle; RGB colour (3,) 0-1; half length."""

    outline: FloatArray
    colour: FloatArray
    length: float


def add_litter(
    rng: np.random.Generator, scene: Scene, keep_clear: npt.NDArray[np.uint8], chance: float = 0.2
) -> None:
    """Scatter a few leaves and pebbles with their shadows, in place, none on `keep_clear` (H, W).

    They come last because they lie on top; what would hide a crack is left out.
    """
    if rng.random() >= chance:
        return
    for _ in range(int(rng.integers(1, 6))):
        # One stream each, so that leaving one out does not move the others.
        (own,) = rng.spawn(1)
        _lay(own, scene, keep_clear, _thing(own, scene.scale))


def _thing(rng: np.random.Generator, scale: float) -> _Thing:
    leaf = rng.random() < 0.5
    length = max(1.2, scale * (rng.uniform(4, 10) if leaf else rng.uniform(1.2, 3.2)))
    around = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    slim = rng.uniform(0.3, 0.6) if leaf else rng.uniform(0.65, 1)
    # A power of the sine draws the ends of an oval out to tips, as a leaf has them.
    across = slim * np.sin(around) * np.abs(np.sin(around)) ** (0.7 if leaf else 0)
    ragged = length * (1 + rng.uniform(0.02, 0.12) * rng.standard_normal(24))
    turn = rng.uniform(0, 2 * math.pi)
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    outline = ragged[:, None] * np.stack([np.cos(around), across], axis=1) @ rotation
    palette = _LEAVES if leaf else _STONES
    colour = np.array(palette[int(rng.integers(len(palette)))]) * rng.uniform(0.7, 1.15)
    return _Thing(outline.astype(np.float32), colour.astype(np.float32), length)


def _lay(
    rng: np.random.Generator, scene: Scene, keep_clear: npt.NDArray[np.uint8], thing: _Thing
) -> None:
    """Put `thing` somewhere with its shadow, unless it would touch `keep_clear`."""
    height, width = scene.shape
    reach = int(thing.length * 1.6) + 4
    if min(height, width) <= 2 * reach + 2:
        return
    row, column = int(rng.integers(reach, height - reach)), int(rng.integers(reach, width - reach))
    window = (slice(row - reach, row + reach + 1), slice(column - reach, column + reach + 1))
    lift = 1.0 + 0.1 * thing.length
    body = _drawn(thing.outline, reach, 0, 0)
    shadow = _drawn(
        thing.outline, reach, -lift * math.cos(scene.light), -lift * math.sin(scene.light)
    )
    if (keep_clear[window] * (body + shadow > 0)).any():
        return
    below = scene.colour[:, window[0], window[1]]
    below *= 1 - np.float32(0.45) * blur(shadow, 1)
    texture = 1 + 0.12 * smooth_noise(rng, (2 * reach + 1, 2 * reach + 1), 3)
    cover = blur(body, 0.4)
    below += cover * (thing.colour[:, None, None] * texture - below)
    scene.height[window] *= 1 - cover
    scene.height[window] += np.float32(0.05 * thing.length) * blur(cover, 1.0)


def _drawn(outline: FloatArray, reach: int, dx: float, dy: float) -> FloatArray:
    """`outline` filled, moved by (dx, dy) from the middle of a (2 reach + 1) square, 0-1."""
    canvas = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.uint8)
    points = np.rint(16 * (outline + np.array([reach + dx, reach + dy]))).astype(np.int32)
    cv2.fillPoly(canvas, [points], 255, cv2.LINE_AA, 4)
    return unit(canvas)

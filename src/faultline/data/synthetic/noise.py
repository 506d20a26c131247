"""Random fields that everything synthetic is made of: smooth noise, stones, 1-D profiles.

Fields are float32 (H, W) with zero mean and a standard deviation near 1. They stay cheap by drawing
small grids and enlarging them: one octave of 320x480 takes well under a millisecond.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Shape = tuple[int, int]

# Cubic enlargement of white noise averages neighbours; this brings the spread back to about 1.
_CUBIC_GAIN = 1.3


def blur(field: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur of (H, W) or (H, W, C) with standard deviation `sigma` in pixels."""
    if sigma <= 0.05:
        return field
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma), dtype=np.float32)


def unit(pixels: npt.NDArray[np.uint8]) -> FloatArray:
    """0-255 to 0-1, any shape."""
    return np.multiply(pixels, np.float32(1 / 255), dtype=np.float32)


def white_noise(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Independent normal values, (H, W)."""
    return rng.standard_normal(shape, dtype=np.float32)


def smooth_noise(
    rng: np.random.Generator, shape: Shape, cell: float, stretch: tuple[float, float] = (1.0, 1.0)
) -> FloatArray:
    """One octave of value noise, (H, W).

    Args:
        rng: Source of randomness.
        shape: (H, W) in pixels.
        cell: Distance of the random values in pixels.
        stretch: Factors on `cell` along (rows, columns); unequal ones give streaks.
    """
    (cell_y, rows), (cell_x, columns) = (
        _grid(length, cell * factor) for length, factor in zip(shape, stretch, strict=True)
    )
    grid = _CUBIC_GAIN * rng.standard_normal((rows, columns), dtype=np.float32)
    size = (columns * cell_x, rows * cell_y)
    field = np.asarray(cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    top, left = int(rng.integers(cell_y, 2 * cell_y)), int(rng.integers(cell_x, 2 * cell_x))
    return field[top : top + shape[0], left : left + shape[1]]


def _grid(length: int, cell: float) -> tuple[int, int]:
    # Three cells more than are seen: the outermost ones of an enlargement are flat.
    step = max(1, min(round(cell), length))
    return step, math.ceil(length / step) + 3


def fractal_noise(
    rng: np.random.Generator,
    shape: Shape,
    cell: float,
    octaves: int,
    gain: float = 0.5,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> FloatArray:
    """Sum of `octaves` of `smooth_noise`, each half as large and `gain` times as strong: (H, W)."""
    coarse = np.zeros((shape[0] // 4 + 2, shape[1] // 4 + 2), dtype=np.float32)
    fine = np.zeros(shape, dtype=np.float32)
    for octave in range(octaves):
        size, weight = cell / 2**octave, np.float32(gain**octave)
        # Large octaves are smooth at the scale of 4 pixels: make them small, enlarge them once.
        if size * min(stretch) >= 8:
            coarse += weight * smooth_noise(
                rng, (coarse.shape[0], coarse.shape[1]), size / 4, stretch
            )
        else:
            fine += weight * smooth_noise(rng, shape, size, stretch)
    large = cv2.resize(coarse, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    fine += np.asarray(large, dtype=np.float32)[4 : 4 + shape[0], 4 : 4 + shape[1]]
    return fine / np.float32(math.sqrt(sum(gain ** (2 * octave) for octave in range(octaves))))


def profile(
    rng: np.random.Generator, count: int, cell: float, octaves: int = 1, gain: float = 0.5
) -> FloatArray:
    """1-D noise (count,), linear between knots `cell` samples apart: kinks, not waves."""
    total = np.zeros(count)
    for octave in range(octaves):
        step = max(1.0, cell / 2**octave)
        knots = rng.standard_normal(math.ceil(count / step) + 2)
        at = (np.arange(count) + rng.random() * step) / step
        total += gain**octave * np.interp(at, np.arange(len(knots)), knots)
    return total.astype(np.float32)


def smoothstep(field: FloatArray, low: float, high: float) -> FloatArray:
    """0 below `low`, 1 above `high`, a cubic ramp between; any shape."""
    t = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


@dataclass(frozen=True)
class Cells:
    """The plane cut into the surroundings of random points (a Voronoi diagram).

    Attributes:
        distance: (H, W) pixels to the nearest point.
        index: (H, W) which point that is, 0 .. count - 1.
        count: Number of points.
    """

    distance: FloatArray
    index: npt.NDArray[np.int32]
    count: int

    def spread(self, values: FloatArray) -> FloatArray:
        """One value a cell (count,) painted on the plane: (H, W)."""
        return np.asarray(np.take(values, self.index), dtype=np.float32)


def random_cells(rng: np.random.Generator, shape: Shape, spacing: float) -> Cells:
    """Cells of points scattered at random, on average `spacing` pixels apart."""
    count = max(1, round(shape[0] * shape[1] / spacing**2))
    empty = np.full(shape, 255, dtype=np.uint8)
    empty[rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)] = 0
    distance, labels = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index = np.asarray(labels, dtype=np.int32) - 1
    return Cells(np.asarray(distance, dtype=np.float32), index, int(index.max()) + 1)


def shade(height: FloatArray, light: float) -> FloatArray:
    """Slope of `height` (H, W) towards a light at angle `light` (radians; 0 right, pi/2 down).

    Positive where the surface faces the light. First-order Lambert shading at grazing light:
    the change of brightness is proportional to the directional derivative.
    """
    towards_x, towards_y = -math.cos(light), -math.sin(light)
    kernel = np.array(
        [
            [-towards_x - towards_y, -2 * towards_y, towards_x - towards_y],
            [-2 * towards_x, 0, 2 * towards_x],
            [-towards_x + towards_y, 2 * towards_y, towards_x + towards_y],
        ],
        dtype=np.float32,
    )
    return np.asarray(cv2.filter2D(height, -1, kernel / 8), dtype=np.float32)

"""Centre lines: fractional Brownian paths, random walks, and the outlines of cell networks.

A path is float32 (N, 2), points (x, y) in pixels about `STEP` apart.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import Voronoi

from faultline.data.synthetic.noise import FloatArray, Shape

STEP = 1.5
"""Distance of neighbouring points of a path, in pixels."""

Edge = tuple[tuple[float, float], tuple[float, float]]
"""Start and end (x, y) of a straight line, in pixels."""

# Fracture surfaces are self-affine with a roughness exponent near 0.8, whatever the material
# (Bouchaud, "Scaling properties of cracks", J. Phys.: Condens. Matter 9, 1997).
_HURST = 0.8


def fractal_path(
    rng: np.random.Generator,
    start: tuple[float, float],
    end: tuple[float, float],
    roughness: float,
    bow: float = 0.0,
    kink: float = 0.2,
) -> FloatArray:
    """Fractional Brownian bridge from `start` to `end` (x, y): (N, 2).

    Args:
        rng: Source of randomness.
        start: First point.
        end: Last point.
        roughness: Sideways spread at the largest wavelength, as a share of the distance.
        bow: Sideways shift of the middle in pixels.
        kink: Least sideways spread at wavelengths of a few pixels, as a share of the wavelength:
            coarse stones force a crack around them, whatever its shape at large.
    """
    delta = np.subtract(end, start)
    distance = float(np.hypot(*delta))
    count = max(4, math.ceil(distance / STEP))
    t = np.linspace(0, 1, count)
    along = delta / max(distance, 1e-6)
    across = np.array([-along[1], along[0]])
    sideways = _brownian(rng, count, distance, roughness, kink) + bow * np.sin(math.pi * t)
    # Half as much noise along the path makes overhangs, as where a crack rounds a stone.
    forward = 0.5 * _brownian(rng, count, min(distance, 30.0), roughness, kink)
    points = np.asarray(start) + t[:, None] * delta
    points = points + sideways[:, None] * across + forward[:, None] * along
    return np.asarray(points, dtype=np.float32)


def _brownian(
    rng: np.random.Generator, count: int, wavelength: float, roughness: float, kink: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Offsets (count,) in pixels that are 0 at both ends, with kinks down to 3 pixels apart."""
    total = np.zeros(count)
    cell = wavelength / 2
    while cell >= 3:
        knots = rng.standard_normal(math.ceil(count * STEP / cell) + 2)
        at = (np.arange(count) * STEP + rng.random() * cell) / cell
        amplitude = roughness * wavelength * (2 * cell / wavelength) ** _HURST
        if cell < 12:
            amplitude = max(amplitude, 2 * kink * cell)
        total += 0.5 * amplitude * np.interp(at, np.arange(len(knots)), knots)
        cell /= 2
    return total - np.linspace(total[0], total[-1], count)


def walk_path(
    rng: np.random.Generator,
    start: tuple[float, float],
    angle: float,
    length: float,
    wildness: float,
) -> FloatArray:
    """Random walk that keeps coming back to its direction: (N, 2).

    Args:
        rng: Source of randomness.
        start: First point (x, y).
        angle: Direction in radians, 0 to the right, pi/2 down.
        length: Length in pixels.
        wildness: Standard deviation of the direction in radians.
    """
    count = max(4, math.ceil(length / STEP))
    turn, drift = np.empty(count), 0.0
    hold = rng.random(count) < 0.3
    kicks = rng.standard_normal(count) * wildness
    for index in range(count):
        # Straight for a few steps, then a kink: a crack runs from grain to grain.
        drift = 0.8 * drift + 0.6 * kicks[index] if hold[index] else drift
        turn[index] = drift
    steps = STEP * np.stack([np.cos(angle + turn), np.sin(angle + turn)], axis=1)
    points = np.asarray(start) + np.cumsum(steps, axis=0) - steps[0]
    return np.asarray(points, dtype=np.float32)


def direction(path: FloatArray, index: int) -> float:
    """Angle of `path` around point `index`, in radians."""
    low, high = max(0, index - 6), min(len(path) - 1, index + 6)
    dx, dy = path[high] - path[low]
    return math.atan2(float(dy), float(dx))


def cell_network(
    rng: np.random.Generator, shape: Shape, spacing: float, jitter: float = 0.42
) -> list[Edge]:
    """Edges (start, end) of a Voronoi diagram of jittered points, in and just around `shape`."""
    height, width = shape
    rows = np.arange(-1.5, height / spacing + 2)
    columns = np.arange(-1.5, width / spacing + 2)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1)
    grid[1::2, :, 0] += 0.5
    points = spacing * (grid + jitter * rng.uniform(-1, 1, grid.shape)).reshape(-1, 2)
    diagram = Voronoi(points)
    edges = []
    for first, second in diagram.ridge_vertices:
        if first < 0 or second < 0:
            continue
        a, b = diagram.vertices[first], diagram.vertices[second]
        middle = (a + b) / 2
        if -spacing < middle[0] < width + spacing and -spacing < middle[1] < height + spacing:
            edges.append(((float(a[0]), float(a[1])), (float(b[0]), float(b[1]))))
    return edges

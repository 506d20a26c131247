"""Strokes to pixels: supersampled coverage, the exact mask, and the look of an open crack."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from faultline.data.synthetic.noise import (
    FloatArray,
    Shape,
    blur,
    fractal_noise,
    smooth_noise,
    smoothstep,
    unit,
    white_noise,
)
from faultline.data.synthetic.strokes import MIN_WIDTH, Stroke
from faultline.data.synthetic.textures import Scene

_SHIFT = 4
"""Binary digits after the point in OpenCV's fixed-point coordinates."""


@dataclass(frozen=True)
class CrackLayer:
    """Cracks as pixels.

    Attributes:
        coverage: (H, W) share of each pixel that is crack, 0-1.
        tone: (H, W) coverage times darkness.
        mask: (H, W) uint8, 1 where half a pixel or more is covered or the centre line runs.
    """

    coverage: FloatArray
    tone: FloatArray
    mask: npt.NDArray[np.uint8]


def rasterise(strokes: list[Stroke], shape: Shape) -> CrackLayer:
    """Draw `strokes` on (H, W) with supersampling (4x; 2x above a megapixel)."""
    factor = 4 if shape[0] * shape[1] <= 1_000_000 else 2
    canvas = np.zeros((shape[0] * factor, shape[1] * factor), dtype=np.uint8)
    spine = np.zeros(shape, dtype=np.uint8)
    for stroke in sorted(strokes, key=lambda item: float(item.tone.mean())):
        _draw(canvas, stroke, factor)
        _draw_spine(spine, stroke)
    size = (shape[1], shape[0])
    inside = np.asarray(cv2.compare(canvas, np.zeros(1), cv2.CMP_GT), dtype=np.uint8)
    coverage, tone = (
        unit(np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_AREA), np.uint8))
        for fine in (inside, canvas)
    )
    mask = ((coverage >= 0.5) | (spine > 0)).astype(np.uint8)
    return CrackLayer(coverage, tone, mask)


def _draw(canvas: npt.NDArray[np.uint8], stroke: Stroke, factor: int) -> None:
    """Fill the ribbon between the two edges of `stroke`, quadrilateral by quadrilateral."""
    normal = _normals(stroke.path)
    scale = factor * (1 << _SHIFT)
    # Pixel i covers fine pixels factor * i ... + factor - 1, so its centre lies between two.
    origin = stroke.path * scale + (scale - (1 << _SHIFT)) / 2
    left = np.rint(origin + scale * stroke.left[:, None] * normal).astype(np.int32)
    right = np.rint(origin - scale * stroke.right[:, None] * normal).astype(np.int32)
    quads = np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)
    seen = _seen(stroke, canvas.shape, factor)
    tones = np.rint(255 * stroke.tone).astype(int)
    for index in np.flatnonzero(seen):
        cv2.fillConvexPoly(canvas, quads[index], int(tones[index]), cv2.LINE_8, _SHIFT)


def _seen(
    stroke: Stroke, canvas: tuple[int, ...], factor: int
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which segments (N - 1,) are wide enough to exist and near enough to the picture."""
    wide = (stroke.left + stroke.right) >= MIN_WIDTH
    limit = np.array([canvas[1], canvas[0]]) / factor + 10
    near = ((stroke.path > -10) & (stroke.path < limit)).all(axis=1)
    exists: np.ndarray[tuple[int], np.dtype[np.bool_]] = (wide & near)[:-1] & (wide & near)[1:]
    return exists


def _draw_spine(spine: npt.NDArray[np.uint8], stroke: Stroke) -> None:
    """One-pixel centre line, so that thin cracks stay connected in the mask."""
    points = np.rint(stroke.path).astype(np.int32)
    seen = _seen(stroke, spine.shape, 1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], seen.astype(np.int8), [0]])))
    runs = [points[first : last + 1] for first, last in zip(edges[::2], edges[1::2], strict=True)]
    cv2.polylines(spine, runs, False, 1)


def _normals(path: FloatArray) -> FloatArray:
    """Unit normals (N, 2) of a path, from central differences."""
    tangent = np.gradient(path, axis=0)
    length = np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-6)
    return (np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / length[:, None]).astype(np.float32)


def paint_cracks(
    rng: np.random.Generator, scene: Scene, strokes: list[Stroke], layer: CrackLayer
) -> None:
    """Open the cracks of `layer` in `scene`: chips, stains, groove, dark inside; in place."""
    _chips(rng, scene, strokes)
    _halo(rng, scene, layer)
    shape, coverage = scene.shape, layer.coverage
    scene.height *= 1 - coverage
    scene.height -= np.float32(rng.uniform(0.08, 0.35)) * blur(coverage, 0.8)
    # Loose grains and stones at the lips catch light; the deep middle stays dark.
    grain = blur(white_noise(rng, shape), 0.6)
    grain = 1 + np.float32(rng.uniform(0.25, 0.6)) * grain * (1.15 - coverage)
    dust = rng.uniform(0, 0.5) * smoothstep(fractal_noise(rng, shape, 45, 2), 0.2, 1.4)
    dark = np.clip(layer.tone * np.clip(grain, 0.35, 1.3) * (1 - dust), 0, 0.97)
    # Light that comes back out of a crack is brownish (soil) or neutral.
    inside = np.array([0.1, 0.09, 0.08]) * rng.uniform(0.4, 1.5) * rng.uniform(0.9, 1.1, 3)
    scene.colour *= 1 - dark
    scene.colour += dark * inside.astype(np.float32)[:, None, None]


def _halo(rng: np.random.Generator, scene: Scene, layer: CrackLayer) -> None:
    """Sides darkened by moisture and dirt, or whitened by lime, along parts of the cracks."""
    if rng.random() < 0.35:
        return
    reach = rng.uniform(2, 7) * max(scene.scale, 0.5)
    along = smoothstep(fractal_noise(rng, scene.shape, 70 * scene.scale, 2), -0.3, 1.2)
    near = np.minimum(1, blur(layer.coverage, reach) * np.float32(reach)) * along
    lime = scene.surface == "concrete" and rng.random() < 0.25
    strength = rng.uniform(0.05, 0.16) if lime else -rng.uniform(0.05, 0.2)
    tint = np.array([1, 1, 1] if lime else [0.85, 1, 1.15], dtype=np.float32)
    scene.colour *= 1 + (np.float32(strength) * near) * tint[:, None, None]


def _chips(rng: np.random.Generator, scene: Scene, strokes: list[Stroke]) -> None:
    """Spalled edges: shallow hollows beside wide cracks where the surface has broken off."""
    wide = [stroke for stroke in strokes if float((stroke.left + stroke.right).mean()) > 1.6]
    if not wide or rng.random() < 0.3:
        return
    hollow = np.zeros(scene.shape, dtype=np.uint8)
    for _ in range(int(rng.integers(1, 14))):
        stroke = wide[int(rng.integers(len(wide)))]
        index = int(rng.integers(len(stroke.path)))
        width = float(stroke.left[index] + stroke.right[index])
        radius = float(
            np.clip(1.25 * width * rng.lognormal(0, 0.4), 1.8, 10 * max(scene.scale, 0.6))
        )
        _blot(rng, hollow, stroke.path[index] + rng.normal(0, 0.5 * radius, 2), radius)
    depth = blur(unit(hollow), 0.6)
    fresh = np.float32(rng.uniform(-0.1, 0.12)) + 0.06 * smooth_noise(rng, scene.shape, 2)
    scene.colour *= 1 + depth * fresh
    scene.height -= np.float32(rng.uniform(0.25, 0.7)) * depth


def _blot(
    rng: np.random.Generator, canvas: npt.NDArray[np.uint8], centre: FloatArray, radius: float
) -> None:
    """Fill an angular, irregular outline around `centre` (x, y)."""
    corners = 9
    angle = np.sort(rng.uniform(0, 2 * math.pi, corners))
    reach = radius * rng.uniform(0.5, 1.3, corners)
    points = centre + reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], 255, cv2.LINE_AA, _SHIFT)

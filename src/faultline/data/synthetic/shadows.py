"""Soft shadows of cables, poles, branches and edges: dark lines that are not cracks."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from faultline.data.synthetic.noise import FloatArray, Shape, blur, unit
from faultline.data.synthetic.paths import walk_path
from faultline.data.synthetic.textures import Scene


def add_shadow(rng: np.random.Generator, scene: Scene, chance: float = 0.28) -> None:
    """Cast one random shadow on `scene` with probability `chance`, in place."""
    if rng.random() >= chance:
        return
    cast = (_cables, _pole, _branch, _edge)[int(rng.choice(4, p=(0.3, 0.2, 0.3, 0.2)))]
    canvas = np.zeros(scene.shape, dtype=np.uint8)
    cast(rng, canvas, scene.scale)
    # The further the thing is from the surface, the softer (the sun is half a degree wide).
    weight = blur(unit(canvas), rng.uniform(1.0, 4.5) * max(scene.scale, 0.5))
    depth = rng.uniform(0.2, 0.5)
    # Sky light fills shadows, so they are bluish.
    scene.tint(weight, (1 - depth, 1 - 0.97 * depth, 1 - 0.9 * depth))


def _chord(rng: np.random.Generator, shape: Shape) -> tuple[FloatArray, FloatArray, float]:
    """A line through the picture: start and end (x, y) outside it, and its angle."""
    height, width = shape
    angle = rng.uniform(0, math.pi)
    centre = np.array([rng.uniform(0.15, 0.85) * width, rng.uniform(0.15, 0.85) * height])
    way = np.array([math.cos(angle), math.sin(angle)])
    reach = height + width
    return centre - reach * way, centre + reach * way, float(angle)


def _cables(rng: np.random.Generator, canvas: npt.NDArray[np.uint8], scale: float) -> None:
    start, end, angle = _chord(rng, (canvas.shape[0], canvas.shape[1]))
    t = np.linspace(0, 1, 60)[:, None]
    normal = np.array([-math.sin(angle), math.cos(angle)])
    for _ in range(int(rng.integers(1, 4))):
        sag = rng.normal(0, 40 * scale) * 4 * t * (1 - t)
        points = start + (end - start) * t + sag * normal + rng.normal(0, 35 * scale) * normal
        _line(canvas, points, max(1, round(rng.uniform(1.5, 5) * scale)))


def _pole(rng: np.random.Generator, canvas: npt.NDArray[np.uint8], scale: float) -> None:
    start, end, _ = _chord(rng, (canvas.shape[0], canvas.shape[1]))
    _line(canvas, np.stack([start, end]), max(2, round(rng.uniform(12, 45) * scale)))


def _edge(rng: np.random.Generator, canvas: npt.NDArray[np.uint8], scale: float) -> None:
    """Everything on one side of a line: a roof, a wall, the photographer."""
    del scale
    start, end, angle = _chord(rng, (canvas.shape[0], canvas.shape[1]))
    away = sum(canvas.shape) * np.array([-math.sin(angle), math.cos(angle)])
    corners = np.rint([start, end, end + away, start + away]).astype(np.int32)
    cv2.fillConvexPoly(canvas, corners, 255)


def _branch(rng: np.random.Generator, canvas: npt.NDArray[np.uint8], scale: float) -> None:
    """A bough with twigs and, in leaf, clusters of leaves."""
    height, width = canvas.shape
    side = rng.integers(4)
    at = rng.uniform(0.1, 0.9)
    start = ((0, at * height), (width, at * height), (at * width, 0), (at * width, height))[side]
    angle = (0, math.pi, math.pi / 2, -math.pi / 2)[side] + rng.normal(0, 0.4)
    leafy = rng.random() < 0.6
    boughs = [(start, angle, rng.uniform(0.5, 1.1) * max(height, width), rng.uniform(4, 9) * scale)]
    for _ in range(26):
        if not boughs:
            return
        (x, y), angle, length, thick = boughs.pop(0)
        path = walk_path(rng, (float(x), float(y)), float(angle), length, 0.2)
        _line(canvas, path, max(1, round(thick)))
        if leafy:
            _leaves(rng, canvas, path, scale)
        if thick > 1.4:
            for at in rng.uniform(0.1, 0.95, 3):
                point = path[int(at * (len(path) - 1))]
                turn = rng.choice((-1, 1)) * rng.uniform(0.4, 1.1)
                fork = (float(point[0]), float(point[1]))
                boughs.append((fork, angle + turn, length * rng.uniform(0.3, 0.6), thick * 0.55))


def _leaves(
    rng: np.random.Generator, canvas: npt.NDArray[np.uint8], path: FloatArray, scale: float
) -> None:
    for index in rng.integers(len(path) // 3, len(path), 9):
        x, y = path[index] + rng.normal(0, 7 * scale, 2)
        axes = (max(1, round(rng.uniform(3, 8) * scale)), max(1, round(rng.uniform(2, 4) * scale)))
        turn = float(rng.uniform(0, 360))
        cv2.ellipse(canvas, (round(float(x)), round(float(y))), axes, turn, 0, 360, 255, -1)


def _line(canvas: npt.NDArray[np.uint8], points: FloatArray, thickness: int) -> None:
    fixed = np.rint(points).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, 255, thickness, cv2.LINE_AA)

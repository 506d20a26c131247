"""Things on a surface that are not cracks: joints, paint, patches, stains, tyre marks, scratches.

Each function changes a `Scene` in place. None of them ever reaches the mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable

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
from faultline.data.synthetic.stains import dirt, oil, rust, water_runs
from faultline.data.synthetic.textures import Scene, grey

Distractor = Callable[[np.random.Generator, Scene], None]


def add_distractors(rng: np.random.Generator, scene: Scene) -> None:
    """Put a random choice of what belongs to the kind of surface on `scene`, in place."""
    for chance, add in _BY_SURFACE[scene.surface]:
        # One stream each: whether one is there does not change how the next one looks.
        (own,) = rng.spawn(1)
        if own.random() < chance:
            add(own, scene)


def _across(
    rng: np.random.Generator, shape: Shape, heading: float | None = None
) -> tuple[FloatArray, FloatArray]:
    """Signed distance (H, W) from a random straight line, and position (H, W) along it, in px."""
    height, width = shape
    if heading is None:
        # Joints, boards and lanes run along the picture much more often than askew.
        heading = rng.choice((0, math.pi / 2)) + rng.normal(0, 0.12)
    x0, y0 = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(x0)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(y0)
    cosine, sine = np.float32(math.cos(heading)), np.float32(math.sin(heading))
    return y * cosine - x * sine, x * cosine + y * sine


def _band(distance: FloatArray, half: float, soft: float = 0.5) -> FloatArray:
    """1 within `half` pixels of the line, 0 outside, an edge of `soft` pixels."""
    return np.asarray(np.clip((half - np.abs(distance)) / (2 * soft) + 0.5, 0, 1), np.float32)


def expansion_joint(rng: np.random.Generator, scene: Scene) -> None:
    """A straight groove of even width, empty or filled with sealant, with rounded lips."""
    distance, _ = _across(rng, scene.shape)
    half = rng.uniform(1.4, 4.5) * max(scene.scale, 0.5)
    groove = _band(distance, half, 0.6)
    if rng.random() < 0.5:
        # Sealant: dark grey, smooth, a little uneven along its length.
        value = rng.uniform(0.18, 0.4) + 0.02 * smooth_noise(rng, scene.shape, 9)
        scene.colour += groove * (value - scene.colour)
        scene.height *= 1 - 0.8 * groove
    else:
        scene.tint(groove, grey(rng.uniform(0.3, 0.6)))
        scene.height -= 0.5 * groove
    scene.height -= np.float32(rng.uniform(0.1, 0.5)) * _band(distance, half + 2.5, 2.5)
    # The two slabs were cast on different days.
    side = np.float32(rng.uniform(-0.05, 0.05)) * (distance > 0)
    scene.colour += side


def formwork(rng: np.random.Generator, scene: Scene) -> None:
    """Prints of boards or panels: thin parallel ridges, tone that steps, sometimes tie holes."""
    distance, along = _across(rng, scene.shape)
    spacing = rng.uniform(45, 170) * scene.scale
    board = np.floor(distance / spacing).astype(np.int64)
    board -= board.min()
    tones = 0.02 * rng.standard_normal(int(board.max()) + 1).astype(np.float32)
    scene.colour += tones[board]
    to_edge = (distance / np.float32(spacing) - np.floor(distance / np.float32(spacing))) * spacing
    line = _band(to_edge - np.float32(spacing / 2), rng.uniform(0.4, 1.1), 0.6)
    strength = smoothstep(fractal_noise(rng, scene.shape, 60 * scene.scale, 2), -1.2, 0.8)
    scene.height += np.float32(rng.choice((-1, 1)) * rng.uniform(0.2, 0.6)) * line * strength
    scene.tint(line * strength, grey(rng.uniform(0.8, 0.96)))
    if rng.random() < 0.3:
        _tie_holes(rng, scene, to_edge, along, spacing)


def _tie_holes(
    rng: np.random.Generator, scene: Scene, to_edge: FloatArray, along: FloatArray, spacing: float
) -> None:
    pitch = np.float32(max(rng.uniform(0.9, 1.6) * spacing, 110 * scene.scale))
    x = (along / pitch - np.floor(along / pitch) - 0.5) * pitch
    y = to_edge - np.float32(spacing * 0.15)
    hole = np.clip(np.float32(3.2 * max(scene.scale, 0.6)) - np.hypot(x, y) + 0.5, 0, 1)
    scene.tint(hole, grey(rng.uniform(0.45, 0.75)))
    scene.height -= 1.2 * blur(hole, 1)


def lane_paint(rng: np.random.Generator, scene: Scene) -> None:
    """A white or yellow marking, worn down to the stones in places."""
    distance, along = _across(rng, scene.shape, rng.uniform(0, math.pi))
    half = rng.uniform(14, 40) * scene.scale
    paint = _band(distance + 0.5 * fractal_noise(rng, scene.shape, 24, 3, 0.7), half, 0.9)
    if rng.random() < 0.4:
        paint *= np.clip((along + np.float32(rng.uniform(-60, 60) * scene.scale)) / 1.5, 0, 1)
    wear = fractal_noise(rng, scene.shape, 40 * scene.scale, 5, 0.75)
    # Paint leaves the tops of stones first.
    wear += 0.5 * scene.height / max(float(scene.height.std()), 1e-6)
    paint *= 1 - smoothstep(wear, rng.uniform(-0.2, 1.4), rng.uniform(1.5, 2.6))
    colour = (0.86, 0.86, 0.83) if rng.random() < 0.7 else (0.85, 0.68, 0.28)
    target = np.array(colour, dtype=np.float32)[:, None, None] * np.float32(rng.uniform(0.85, 1.05))
    target = target + 0.03 * fractal_noise(rng, scene.shape, 30, 4)
    scene.colour += np.float32(rng.uniform(0.6, 0.95)) * paint * (target - scene.colour)
    scene.height += 0.12 * paint


def patch(rng: np.random.Generator, scene: Scene) -> None:
    """A repaired rectangle: another tone, another grain, a visible seam."""
    heading = rng.uniform(-0.3, 0.3)
    first, _ = _across(rng, scene.shape, heading)
    second, _ = _across(rng, scene.shape, heading + math.pi / 2 + rng.normal(0, 0.06))
    wobble = 1.2 * fractal_noise(rng, scene.shape, 18, 2)
    height, width = scene.shape
    edge = np.maximum(
        np.abs(first + wobble) - np.float32(rng.uniform(0.15, 0.4) * height),
        np.abs(second + wobble) - np.float32(rng.uniform(0.12, 0.3) * width),
    )
    area = np.asarray(np.clip(0.5 - edge / 1.6, 0, 1), dtype=np.float32)
    seam = _band(edge, rng.uniform(0.6, 1.8) * max(scene.scale, 0.6), 0.8)
    tone = rng.uniform(0.72, 0.93) if rng.random() < 0.6 else rng.uniform(1.05, 1.2)
    grain = blur(white_noise(rng, scene.shape), 0.7)
    scene.colour += np.float32(rng.uniform(0.02, 0.05)) * area * grain
    scene.tint(area, grey(tone))
    scene.tint(seam, grey(rng.uniform(0.7, 1.08)))
    scene.height *= 1 - np.float32(rng.uniform(0.1, 0.6)) * area
    scene.height += np.float32(rng.uniform(-0.3, 0.5)) * area


def tyre_marks(rng: np.random.Generator, scene: Scene) -> None:
    """One or two rubber streaks with blurred sides and a grain along their run."""
    heading = rng.uniform(0, math.pi)
    distance, along = _across(rng, scene.shape, heading)
    bend = np.float32(rng.normal(0, 3e-4) / scene.scale)
    distance = distance + bend * along * along
    weight = np.zeros(scene.shape, dtype=np.float32)
    for _ in range(int(rng.integers(1, 3))):
        half = rng.uniform(6, 22) * scene.scale
        weight = np.maximum(weight, _band(distance, half, 0.45 * half))
        distance = distance + np.float32(rng.uniform(50, 140) * scene.scale)
    weight *= smoothstep(fractal_noise(rng, scene.shape, 50 * scene.scale, 4, 0.7), -1.8, 0.6)
    scene.tint(weight, grey(1 - rng.uniform(0.06, 0.25)))


def scratches(rng: np.random.Generator, scene: Scene) -> None:
    """Thin, light, nearly straight scrapes."""
    canvas = np.zeros(scene.shape, dtype=np.uint8)
    heading, size = rng.uniform(0, 2 * math.pi), max(scene.shape)
    for _ in range(int(rng.integers(1, 7))):
        start = rng.uniform(0, 1, 2) * (scene.shape[1], scene.shape[0])
        t = np.linspace(0, rng.uniform(0.05, 0.45) * size, 12)[:, None]
        angle = heading + rng.normal(0, 0.15) + rng.normal(0, 0.15) * t / size
        _polyline(canvas, start + t * np.concatenate([np.cos(angle), np.sin(angle)], axis=1), 1)
    weight = unit(canvas)
    weight *= smoothstep(smooth_noise(rng, scene.shape, 12), -1.2, 0.6)
    scene.tint(weight, grey(rng.uniform(1.06, 1.3)))
    scene.height -= 0.25 * weight


def _polyline(canvas: npt.NDArray[np.uint8], points: FloatArray, thickness: int) -> None:
    fixed = np.rint(points * 16).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, 255, thickness, cv2.LINE_AA, 4)


_BY_SURFACE: dict[str, tuple[tuple[float, Distractor], ...]] = {
    "asphalt": (
        (0.16, patch),
        (0.12, expansion_joint),
        (0.2, lane_paint),
        (0.25, tyre_marks),
        (0.5, dirt),
        (0.4, oil),
        (0.25, rust),
        (0.12, scratches),
    ),
    "concrete": (
        (0.3, formwork),
        (0.12, patch),
        (0.16, expansion_joint),
        (0.6, dirt),
        (0.35, water_runs),
        (0.15, oil),
        (0.2, rust),
        (0.25, scratches),
    ),
}

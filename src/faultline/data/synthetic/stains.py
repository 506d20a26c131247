"""Stains: oil, rust, algae, water runs and dirt. Each changes a `Scene` in place."""

from __future__ import annotations

import cv2
import numpy as np

from faultline.data.synthetic.noise import (
    FloatArray,
    Shape,
    fractal_noise,
    smooth_noise,
    smoothstep,
)
from faultline.data.synthetic.textures import Scene


def oil(rng: np.random.Generator, scene: Scene) -> None:
    """Dark spots with a soft, spreading border."""
    weight = np.zeros(scene.shape, dtype=np.float32)
    for _ in range(int(rng.integers(1, 6))):
        radius = float(np.clip(rng.lognormal(2.2, 0.7), 3, 60)) * scene.scale
        weight = np.maximum(weight, rng.uniform(0.4, 1) * _spot(rng, scene.shape, radius))
    strength = rng.uniform(0.12, 0.4)
    tint = (1 - strength * 0.95, 1 - strength, 1 - strength * rng.uniform(0.9, 1.25))
    scene.tint(weight, tint)


def rust(rng: np.random.Generator, scene: Scene) -> None:
    """Brown or green spots: rust, leaf rot, algae."""
    radius = rng.uniform(6, 45) * scene.scale
    weight = _spot(rng, scene.shape, radius)
    weight *= smoothstep(fractal_noise(rng, scene.shape, 25 * scene.scale, 4, 0.7), -1.2, 1.0)
    palette = ((0.82, 0.62, 0.42), (0.78, 0.82, 0.66), (0.72, 0.65, 0.55))
    scene.tint(np.float32(rng.uniform(0.4, 1)) * weight, palette[int(rng.integers(3))])


def _spot(rng: np.random.Generator, shape: Shape, radius: float) -> FloatArray:
    """One ragged spot of about `radius` pixels: weight (H, W), 1 at its middle."""
    # At half the resolution: a quarter of the time, and a stain has no sharper edge than that.
    half = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    x = np.arange(half[1], dtype=np.float32)[None, :] - np.float32(rng.uniform(0, half[1]))
    y = np.arange(half[0], dtype=np.float32)[:, None] - np.float32(rng.uniform(0, half[0]))
    away = np.hypot(x, y * np.float32(rng.uniform(0.6, 1.6))) / np.float32(radius / 2)
    away += 0.28 * fractal_noise(rng, half, max(radius / 2, 3), 4, 0.6)
    weight = 1 - smoothstep(away, 0.45, 1.15)
    return np.asarray(cv2.resize(weight, (shape[1], shape[0])), dtype=np.float32)


def water_runs(rng: np.random.Generator, scene: Scene) -> None:
    """Dark or limy streaks that run down from a ledge and fade."""
    height = scene.shape[0]
    stretch = (float(rng.uniform(9, 25)), 1.0)
    streaks = fractal_noise(rng, scene.shape, 14 * max(scene.scale, 0.5), 3, 0.65, stretch)
    wide = smooth_noise(rng, scene.shape, 120 * scene.scale, (3.0, 1.0))
    weight = smoothstep(streaks + 0.8 * wide, rng.uniform(0.1, 0.8), 2.2)
    start = rng.uniform(-0.6, 0.5) * height
    fade = rng.uniform(0.5, 1.5) * height
    y = np.arange(height, dtype=np.float32)[:, None]
    weight *= np.clip((y - np.float32(start)) / 12, 0, 1)
    weight *= np.clip(1 - (y - np.float32(start)) / np.float32(fade), 0, 1)
    strength = rng.uniform(0.1, 0.38) if rng.random() < 0.75 else -rng.uniform(0.05, 0.15)
    scene.tint(weight, (1 - strength, 1 - 0.97 * strength, 1 - 0.9 * strength))


def dirt(rng: np.random.Generator, scene: Scene) -> None:
    """Dust and grime in uneven clouds, finer than stains."""
    cloud = fractal_noise(rng, scene.shape, 90 * scene.scale, 6, 0.75)
    weight = smoothstep(cloud, rng.uniform(-0.2, 0.8), 2.2)
    tone = rng.uniform(0.78, 0.96)
    scene.tint(weight, (tone, tone * 0.985, tone * rng.uniform(0.95, 1)))

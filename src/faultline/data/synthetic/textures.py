"""Bare surfaces: what concrete and asphalt look like before anything happens to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from faultline.data.synthetic.noise import (
    FloatArray,
    Shape,
    fractal_noise,
    random_cells,
    smooth_noise,
    smoothstep,
    white_noise,
)


@dataclass
class Scene:
    """A surface while it is being made; distractors and cracks change it in place.

    Attributes:
        colour: (3, H, W) RGB reflectance as displayed (gamma space), 0-1. Planes, because
            arithmetic with (H, W) weights is several times faster on them.
        height: (H, W) relief; only its slope matters. One unit per pixel is a steep edge.
        light: Angle of the light in radians; 0 comes from the right, pi/2 from below.
        scale: Size of things relative to a picture of 320x480.
        surface: "concrete" or "asphalt".
    """

    colour: FloatArray
    height: FloatArray
    light: float
    scale: float
    surface: str

    @property
    def shape(self) -> Shape:
        """(H, W) in pixels."""
        return self.height.shape[0], self.height.shape[1]

    def tint(self, weight: FloatArray, rgb: tuple[float, float, float]) -> None:
        """Multiply the colour by `rgb` where `weight` (H, W) is 1, less where it is less."""
        for plane, factor in zip(self.colour, rgb, strict=True):
            plane *= 1 + weight * np.float32(factor - 1)


def grey(value: float) -> tuple[float, float, float]:
    """The same factor for red, green and blue."""
    return (value, value, value)


def picture_scale(shape: Shape) -> float:
    """Size of stones and cracks relative to those of a picture of 320x480."""
    return math.sqrt(shape[0] * shape[1] / (320 * 480))


def make_surface(rng: np.random.Generator, shape: Shape, surface: str) -> Scene:
    """A clean surface of `shape` (H, W), either "concrete" or "asphalt"."""
    scale = picture_scale(shape)
    light = float(rng.uniform(0, 2 * math.pi))
    build = _concrete if surface == "concrete" else _asphalt
    grey, height, tint = build(rng, shape, scale)
    return Scene(_tinted(rng, grey, tint, scale), height, light, scale, surface)


def _asphalt(
    rng: np.random.Generator, shape: Shape, scale: float
) -> tuple[FloatArray, FloatArray, tuple[float, float, float]]:
    size = float(np.clip(scale, 0.6, 3)) * rng.uniform(0.65, 1.15)
    roughness = rng.uniform(0.55, 1.1)
    grey = np.full(shape, rng.uniform(0.42, 0.62), dtype=np.float32)
    grey += 0.012 * fractal_noise(rng, shape, 110 * scale, 4, 0.6)
    grain = white_noise(rng, shape)
    grey += 0.03 * roughness * grain
    # The same numbers upside down are as good as new ones, and free.
    height = 0.25 * grain[::-1] + 0.5 * smooth_noise(rng, shape, 3)
    for spacing, contrast in ((3.4, 0.035), (7.5, 0.05)):
        tone, relief = _stones(rng, shape, spacing * size, contrast * roughness)
        grey += tone
        height += relief
    _sprinkle(rng, grey, size)
    return grey, height * np.float32(0.13 * roughness), (0.0, 0.0, 0.0)


def _stones(
    rng: np.random.Generator, shape: Shape, spacing: float, contrast: float
) -> tuple[FloatArray, FloatArray]:
    """Tone and relief (H, W) of rounded stones, packed about `spacing` pixels apart."""
    cells = random_cells(rng, shape, spacing)
    radius = spacing * rng.uniform(0.2, 0.62, cells.count).astype(np.float32)
    ragged = cells.distance + 0.3 * smooth_noise(rng, shape, 2)
    inside = np.clip(1 - ragged / cells.spread(radius), 0, 1)
    tones = contrast * rng.standard_normal(cells.count).astype(np.float32)
    body = np.sqrt(inside)
    return cells.spread(tones) * np.minimum(1, 2 * body), 0.4 * np.float32(spacing) * body


def _sprinkle(rng: np.random.Generator, grey: FloatArray, size: float) -> None:
    """Single bright chips and dark pits here and there, in place."""
    cells = random_cells(rng, (grey.shape[0], grey.shape[1]), 5.0 * size)
    chips, pits = rng.uniform(0.004, 0.03), rng.uniform(0.01, 0.05)
    lot = rng.random(cells.count)
    change = np.where(lot < chips, rng.uniform(0.12, 0.3), -rng.uniform(0.08, 0.18))
    change = change * rng.uniform(0.4, 1.2, cells.count)
    radius = np.where(lot < chips + pits, rng.uniform(0.6, 2.0, cells.count) * size, -9)
    weight = np.clip(cells.spread(radius.astype(np.float32)) - cells.distance + 0.3, 0, 1)
    grey += weight * cells.spread(change.astype(np.float32))


_FINISHES = ("formed", "plaster", "rough", "brushed")


def _concrete(
    rng: np.random.Generator, shape: Shape, scale: float
) -> tuple[FloatArray, FloatArray, tuple[float, float, float]]:
    finish = str(rng.choice(_FINISHES, p=(0.4, 0.25, 0.15, 0.2)))
    grey = np.full(shape, rng.uniform(0.5, 0.8), dtype=np.float32)
    grey += rng.uniform(0.012, 0.035) * fractal_noise(rng, shape, 130 * scale, 5, 0.6)
    grain = white_noise(rng, shape)
    grey += rng.uniform(0.006, 0.016) * grain
    height = 0.07 * grain[::-1] + 0.12 * fractal_noise(rng, shape, 6, 2)
    if finish == "plaster":
        height += _plaster(rng, shape, scale)
    elif finish == "rough":
        tone, relief = _stones(rng, shape, 5.5 * max(scale, 0.6), 0.03)
        grey, height = grey + tone, height + 0.3 * relief
    elif finish == "brushed":
        stretch = (1.0, 40.0) if rng.random() < 0.5 else (40.0, 1.0)
        streaks = fractal_noise(rng, shape, 2.5, 1, stretch=stretch)
        grey, height = grey + 0.008 * streaks, height + 0.25 * streaks
    if finish != "plaster":
        _pores(rng, grey, height, scale)
    return grey, height * np.float32(rng.uniform(0.14, 0.26)), _concrete_tint(rng)


def _plaster(rng: np.random.Generator, shape: Shape, scale: float) -> FloatArray:
    """Relief (H, W) of thrown or rolled plaster: lumps of many sizes, here thick and there thin."""
    cell = rng.uniform(6, 20) * max(scale, 0.5)
    lumps = fractal_noise(rng, shape, cell, 4, 0.7)
    # Pressed flat on top, or hollow at the bottom, never the same everywhere.
    lumps = np.where(lumps > 0, lumps * np.float32(rng.uniform(0.3, 1)), lumps)
    amount = smoothstep(smooth_noise(rng, shape, 110 * scale), -1.5, 1.5)
    return np.float32(rng.uniform(0.06, 0.14) * cell) * lumps * (0.25 + amount)


def _pores(rng: np.random.Generator, grey: FloatArray, height: FloatArray, scale: float) -> None:
    """Air holes of many sizes, more in some places than in others, in place."""
    shape = (grey.shape[0], grey.shape[1])
    cells = random_cells(rng, shape, 11 * max(scale, 0.5))
    crowded = smoothstep(smooth_noise(rng, shape, 90 * scale), -0.5, 1.5)
    chosen = rng.random(cells.count) < rng.uniform(0.02, 0.22)
    radius = rng.lognormal(-0.1, 0.45, cells.count) * max(scale, 0.6)
    radius = np.where(chosen, np.minimum(radius, 4.5 * max(scale, 0.6)), -1)
    depth = np.clip(cells.spread(radius.astype(np.float32)) * crowded - cells.distance + 0.4, 0, 1)
    grey -= np.float32(rng.uniform(0.1, 0.25)) * depth
    height -= 1.5 * depth


def _concrete_tint(rng: np.random.Generator) -> tuple[float, float, float]:
    """RGB offsets of grey, cream, ochre or bluish concrete and paint."""
    tints = (
        (0, 0, 0),
        (0.05, 0.025, -0.04),
        (0.09, 0.03, -0.1),
        (-0.03, 0, 0.035),
        (0.02, 0.01, 0),
    )
    red, green, blue = tints[int(rng.choice(len(tints), p=(0.35, 0.25, 0.08, 0.17, 0.15)))]
    return float(red), float(green), float(blue)


def _tinted(
    rng: np.random.Generator, grey: FloatArray, tint: tuple[float, float, float], scale: float
) -> FloatArray:
    """Grey (H, W) to colour (3, H, W): an overall tint and slow warm and cool drifts."""
    shape = (grey.shape[0], grey.shape[1])
    drift = 0.002 * fractal_noise(rng, shape, 90 * scale, 3, 0.7)
    drift += rng.uniform(0.002, 0.009) * smooth_noise(rng, shape, 2)
    gains = 1 + np.array(tint, dtype=np.float32)
    colour = grey * gains[:, None, None]
    colour[0] += drift
    colour[2] -= drift
    return np.asarray(colour, dtype=np.float32)

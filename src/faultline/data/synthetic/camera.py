"""From a scene to a photograph: light, lens, sensor, processing and JPEG."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from faultline.data.synthetic.noise import (
    FloatArray,
    Shape,
    blur,
    fractal_noise,
    shade,
    white_noise,
)
from faultline.data.synthetic.textures import Scene


def photograph(rng: np.random.Generator, scene: Scene) -> npt.NDArray[np.uint8]:
    """Take a picture of `scene`: uint8 RGB (H, W, 3)."""
    light = 1 + 0.9 * shade(scene.height, scene.light)
    light *= _illumination(rng, scene.shape)
    gains = _white_balance(rng)
    planes = [plane * light * gain for plane, gain in zip(scene.colour, gains, strict=True)]
    image = np.asarray(cv2.merge(planes), dtype=np.float32)
    image = _lens(rng, image, scene.scale)
    image = _tone_curve(rng, image)
    image = _sensor_noise(rng, image)
    pixels = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    return _jpeg(pixels, int(rng.integers(72, 97)))


def _illumination(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Uneven light and vignette, (H, W) around 1."""
    height, width = shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    angle, slope = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.1)
    field = 1 + np.float32(slope) * (
        np.float32(math.cos(angle)) * x + np.float32(math.sin(angle)) * y
    )
    field += np.float32(rng.uniform(0, 0.03)) * fractal_noise(rng, shape, max(shape) / 2, 1)
    vignette = max(0.0, float(rng.normal(0.03, 0.05)))
    return np.asarray(field * (1 - np.float32(vignette) * (x * x + y * y)), dtype=np.float32)


def _white_balance(rng: np.random.Generator) -> FloatArray:
    """Gains (3,): mostly neutral, now and then clearly blue or warm."""
    spread = 0.07 if rng.random() < 0.25 else 0.018
    warmth, magenta = rng.normal(0, spread), rng.normal(0, spread / 4)
    return np.array([1 + warmth, 1 - magenta, 1 - warmth], dtype=np.float32)


def _lens(rng: np.random.Generator, image: FloatArray, scale: float) -> FloatArray:
    """Defocus, or rarely a short shake, then the sharpening that phones add."""
    size = float(np.clip(scale, 0.6, 2.0))
    if rng.random() < 0.1:
        length = rng.uniform(1.5, 3.0) * size
        image = np.asarray(
            cv2.filter2D(image, -1, _shake(length, rng.uniform(0, math.pi))), np.float32
        )
    image = blur(image, float(np.clip(rng.lognormal(-0.65, 0.25), 0.35, 0.95)) * size)
    amount = np.float32(max(0.0, float(rng.normal(0.35, 0.35))))
    return np.asarray(image + amount * (image - blur(image, 1.1 * size)), dtype=np.float32)


def _shake(length: float, angle: float) -> FloatArray:
    """Kernel (7, 7) or larger that spreads a point over `length` pixels, centred."""
    half = max(3, math.ceil(length / 2) + 1)
    offset = np.arange(-half, half + 1, dtype=np.float32)
    along = offset[None, :] * math.cos(angle) + offset[:, None] * math.sin(angle)
    across = offset[:, None] * math.cos(angle) - offset[None, :] * math.sin(angle)
    kernel = np.clip(length / 2 - np.abs(along) + 0.5, 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def _tone_curve(rng: np.random.Generator, image: FloatArray) -> FloatArray:
    """Exposure and contrast, with a shoulder so that highlights do not clip hard."""
    exposure, contrast = rng.uniform(0.85, 1.15), rng.uniform(0.85, 1.2)
    image = np.float32(exposure * contrast) * image + np.float32(0.5 - 0.5 * contrast)
    over = np.maximum(image - 0.85, 0)
    image -= over
    over /= 1 + over / np.float32(0.15)
    return np.asarray(image + over, dtype=np.float32)


def _sensor_noise(rng: np.random.Generator, image: FloatArray) -> FloatArray:
    """Add shot and read noise; its colour part is blurred, as demosaicing leaves it."""
    level = np.float32(float(np.clip(rng.lognormal(-4.9, 0.5), 0.002, 0.025)))
    shape = (image.shape[0], image.shape[1])
    # Photons arrive at random: the noise grows with the square root of the light.
    grey = level * white_noise(rng, shape) * np.sqrt(np.clip(image[:, :, 1], 0.02, 1))
    half = ((shape[0] + 1) // 2, (shape[1] + 1) // 2, 3)
    chroma = np.float32(0.4) * level * rng.standard_normal(half, dtype=np.float32)
    noise = cv2.add(cv2.resize(chroma, (shape[1], shape[0])), cv2.merge([grey, grey, grey]))
    return np.asarray(cv2.add(image, noise), dtype=np.float32)


def _jpeg(pixels: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """Encode and decode once: (H, W, 3) with the artefacts of `quality`."""
    _, data = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, dtype=np.uint8)[:, :, ::-1])

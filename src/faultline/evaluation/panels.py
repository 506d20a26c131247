"""Side-by-side pictures of one image: photograph, label, prediction, and where they differ."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from faultline.predict.overlay import draw_overlay
from faultline.types import IGNORE_INDEX, LabelSpace

Pixels = NDArray[np.uint8]

HIT = (0, 200, 140)
FALSE_ALARM = (255, 84, 60)
MISSED = (60, 160, 255)
IGNORED = (150, 150, 150)
TITLES = ("Photograph", "Label", "Prediction", "Comparison")

_GAP = 6
_HEADER = 0.018
"""Height of the line of titles as a share of the panel's width: it is read on a page."""

_MIN_SIDE = 240
_MAX_SIDE = 1200
_FILL = 0.6


def comparison(image: Pixels, truth: Pixels, prediction: Pixels) -> Pixels:
    """Hits, false alarms and misses in colour over a dim grey copy of `image`.

    Args:
        image: (H, W, 3) RGB.
        truth: (H, W), or (K, H, W) for a multilabel space; 0 is background, 255 ignored.
        prediction: Of the same shape; where classes differ, the pixel counts as a false alarm.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    canvas = np.repeat((grey * 0.45)[..., None], 3, axis=2).astype(np.uint8)
    ignored = truth == IGNORE_INDEX
    found, wanted = (prediction > 0) & ~ignored, (truth > 0) & ~ignored
    canvas[_flat(wanted & ~found)] = MISSED
    canvas[_flat(found & (prediction != truth))] = FALSE_ALARM
    canvas[_flat(found & (prediction == truth))] = HIT
    canvas[_flat(ignored)] = IGNORED
    return canvas


def panel(image: Pixels, truth: Pixels, prediction: Pixels, space: LabelSpace) -> Pixels:
    """The four views in a row under their titles, on white.

    Small pictures are enlarged so that single pixels show; very large ones are made smaller.

    Args:
        image: (H, W, 3) RGB.
        truth: As `load_mask` gives it.
        prediction: As `Prediction.mask`.
        space: Kind and colours of both.
    """
    views = (
        image,
        draw_overlay(image, without_ignored(truth), space, _FILL),
        draw_overlay(image, prediction, space, _FILL),
        comparison(image, truth, prediction),
    )
    sized = [_at_reading_size(view) for view in views]
    height, width = sized[0].shape[:2]
    total = 4 * width + 3 * _GAP
    header = max(20, round(_HEADER * total))
    canvas = Image.new("RGB", (total, height + header), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(round(0.68 * header))
    for index, (title, view) in enumerate(zip(TITLES, sized, strict=True)):
        left = index * (width + _GAP)
        draw.text((left + 1, 0.08 * header), title, fill=(60, 72, 88), font=font)
        canvas.paste(Image.fromarray(view), (left, header))
    return np.asarray(canvas, dtype=np.uint8)


def without_ignored(truth: Pixels) -> Pixels:
    """`truth` with ignored pixels as background, for drawing."""
    return np.where(truth == IGNORE_INDEX, 0, truth).astype(np.uint8)


def jpeg_uri(image: Pixels, max_width: int = 2000, quality: int = 86) -> str:
    """`image` (H, W, 3) as a `data:` address, no wider than `max_width` pixels."""
    height, width = image.shape[:2]
    if width > max_width:
        size = (max_width, max(1, round(height * max_width / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality, optimize=True)
    return data_uri(buffer.getvalue(), "image/jpeg")


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as a `data:` address."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _flat(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(pixels.any(axis=0)) if pixels.ndim == 3 else pixels


def _at_reading_size(view: Pixels) -> Pixels:
    height, width = view.shape[:2]
    if max(height, width) > _MAX_SIDE:
        scale = _MAX_SIDE / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(view, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    times = max(1, -(-_MIN_SIDE // min(height, width)))
    if max(height, width) * times > 2 * _MAX_SIDE:
        times = 1
    return np.repeat(np.repeat(view, times, 0), times, 1)

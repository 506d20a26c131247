"""Draws what was found onto the picture, so that a crack three pixels wide is still seen."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from faultline.errors import ContractError
from faultline.predict.probability import Prediction
from faultline.types import LabelKind, LabelSpace

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

OPACITY = 0.35
_PIXELS_PER_OUTLINE = 800
_GAP = 4


def draw_overlay(
    image: Pixels, mask: Pixels, label_space: LabelSpace, opacity: float = OPACITY
) -> Pixels:
    """A copy of the picture with each class filled translucently and outlined.

    The outline lies outside the mask, in full colour: it makes a thin crack wider to the eye
    and leaves its pixels to be judged.

    Args:
        image: (H, W, 3) RGB.
        mask: As in `Prediction.mask`.
        label_space: Gives kind and colours.
        opacity: Of the fill, 0 to 1.

    Returns:
        (H, W, 3) RGB uint8.

    Raises:
        ContractError: Picture and mask are of different sizes.
    """
    if mask.shape[-2:] != image.shape[:2]:
        raise ContractError(f"mask {mask.shape} does not fit the picture {image.shape}")
    canvas = np.array(image, order="C")
    thickness = max(1, round(max(image.shape[:2]) / _PIXELS_PER_OUTLINE))
    kernel = np.ones((2 * thickness + 1, 2 * thickness + 1), np.uint8)
    for layer, colour in _layers(mask, label_space):
        if cv2.countNonZero(layer):
            _fill(canvas, layer, colour, opacity)
            ring = np.asarray(cv2.dilate(layer, kernel) - layer, dtype=np.uint8)
            _fill(canvas, ring, colour, opacity=1.0)
    return canvas


def heat_map(probability: NDArray[np.float32]) -> Pixels:
    """Probabilities (H, W) of 0 to 1 as colours (H, W, 3) RGB, dark to bright."""
    levels = np.clip(probability * 255.0 + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(
        cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    )


def four_panel(image: Pixels, prediction: Prediction, label_space: LabelSpace) -> Pixels:
    """Picture, probability, mask and overlay side by side.

    Args:
        image: (H, W, 3) RGB.
        prediction: The answer for it.
        label_space: Gives kind and colours.

    Returns:
        (H, 4 W + gaps, 3) RGB uint8.
    """
    probability = prediction.probability
    if label_space.kind is LabelKind.MULTICLASS:
        probability = 1.0 - probability[:1]
    elif label_space.first:
        probability = probability[label_space.first :]
    blank = np.zeros_like(image)
    views = (
        image,
        heat_map(probability.max(axis=0)),
        draw_overlay(blank, prediction.mask, label_space, opacity=1.0),
        draw_overlay(image, prediction.mask, label_space),
    )
    gap = np.full((image.shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for view in views for part in (view, gap)]
    return np.concatenate(parts[:-1], axis=1)


def _layers(mask: Pixels, label_space: LabelSpace) -> Iterator[tuple[Pixels, Colour]]:
    """Each foreground class as a contiguous (H, W) of 0 and 1, with its colour."""
    if label_space.kind is LabelKind.BINARY:
        yield (mask > 0).view(np.uint8), label_space.colours[0]
    elif label_space.kind is LabelKind.MULTILABEL:
        both = list(zip(mask, label_space.colours, strict=True))
        for layer, colour in both[label_space.first :]:
            yield (layer > 0).view(np.uint8), colour
    else:
        for index, colour in list(enumerate(label_space.colours))[1:]:
            yield (mask == index).view(np.uint8), colour


def _fill(canvas: Pixels, layer: Pixels, colour: Colour, opacity: float) -> None:
    # Flat indices: several times faster than a mask over two of three axes.
    pixels, chosen = canvas.reshape(-1, 3), np.flatnonzero(layer)
    blend = pixels[chosen] * (1.0 - opacity) + np.asarray(colour) * opacity
    pixels[chosen] = np.round(blend).astype(np.uint8)

"""Resizing a picture to a longest side: the same in training and in prediction."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def resized_shape(height: int, width: int, longest: int) -> tuple[int, int]:
    """Height and width after resizing to a longest side of `longest`; 0 keeps them."""
    if not longest:
        return height, width
    factor = longest / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def resize_picture(image: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """Resize (H, W, 3) to a longest side of `longest` pixels; 0 keeps it.

    Shrinking averages over areas, so that thin dark lines fade and do not vanish by chance.
    """
    height, width = resized_shape(image.shape[0], image.shape[1], longest)
    if (height, width) == image.shape[:2]:
        return image
    how = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def resize_probability(
    probability: NDArray[np.float32], height: int, width: int
) -> NDArray[np.float32]:
    """Resize (K, h, w) back to (K, height, width), bilinear, so that values stay within 0-1."""
    if probability.shape[1:] == (height, width):
        return probability
    planes = [cv2.resize(p, (width, height), interpolation=cv2.INTER_LINEAR) for p in probability]
    return np.stack(planes).astype(np.float32, copy=False)

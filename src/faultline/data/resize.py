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
    return _resized(image, *resized_shape(image.shape[0], image.shape[1], longest))


def fit_picture(
    image: NDArray[np.uint8], size: tuple[int, int], keep_aspect: bool = False
) -> NDArray[np.uint8]:
    """Resize (h, w, 3) to `size` = (H, W): the same in training and in prediction.

    Stretched to fit, or with `keep_aspect` as large as fits, with black at the right and bottom.
    """
    height, width = size
    if not keep_aspect:
        return _resized(image, height, width)
    inner = placed_size((image.shape[0], image.shape[1]), size)
    fitted = np.zeros((height, width, 3), np.uint8)
    fitted[: inner[0], : inner[1]] = _resized(image, inner[0], inner[1])
    return fitted


def placed_size(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of `size` = (H, W) that a picture (h, w) covers unstretched."""
    factor = min(size[0] / shape[0], size[1] / shape[1])
    rows, columns = (
        max(1, min(limit, round(side * factor))) for side, limit in zip(shape, size, strict=True)
    )
    return rows, columns


def _resized(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Averaged over areas along sides that shrink, then interpolated along those that grow."""
    inner = (min(height, image.shape[0]), min(width, image.shape[1]))
    if inner != image.shape[:2]:
        image = np.asarray(cv2.resize(image, inner[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    if inner != (height, width):
        grown = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        image = np.asarray(grown, np.uint8)
    return image


def resize_probability(
    probability: NDArray[np.float32], height: int, width: int
) -> NDArray[np.float32]:
    """Resize (K, h, w) back to (K, height, width), bilinear, so that values stay within 0-1."""
    if probability.shape[1:] == (height, width):
        return probability
    planes = [cv2.resize(p, (width, height), interpolation=cv2.INTER_LINEAR) for p in probability]
    return np.stack(planes).astype(np.float32, copy=False)

"""Prediction of large pictures in overlapping tiles, blended with Gaussian weights.

As nnU-Net does it (Isensee et al., 2021): tiles overlap by half, starts are spaced evenly, and
each tile counts most in its middle (sigma = tile / 8). The grid is separable, so the sum of
weights at a pixel is a product of one sum along each axis. It is divided out beforehand: nothing
of the picture's size is held but the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

STEP = 0.5
_SIGMA = 1 / 8

Tiles = NDArray[np.uint8]
Window = tuple[slice, slice]


def tile_starts(length: int, tile: int, step: float = STEP) -> list[int]:
    """First pixel of each tile along an axis, spaced evenly, covering 0 to `length`.

    Args:
        length: Length of the axis in pixels.
        tile: Length of a tile in pixels; a longer one than the axis starts at 0.
        step: Largest distance of two starts, as a share of the tile.
    """
    if length <= tile:
        return [0]
    stride = max(1, int(tile * step))
    count = -(-(length - tile) // stride) + 1
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def axis_weights(length: int, tile: int, step: float = STEP) -> list[NDArray[np.float32]]:
    """Weights of each tile along an axis; where tiles overlap, they add up to 1.

    Returns:
        One array of min(tile, length) values for each of `tile_starts`.
    """
    starts = tile_starts(length, tile, step)
    size = min(tile, length)
    middle = (size - 1) / 2
    bell = np.exp(-0.5 * ((np.arange(size) - middle) / (tile * _SIGMA)) ** 2)
    total = np.zeros(length)
    for start in starts:
        total[start : start + size] += bell
    return [(bell / total[start : start + size]).astype(np.float32) for start in starts]


def predict_tiled(
    function: Callable[[Tiles], NDArray[np.float32]],
    picture: NDArray[np.uint8],
    classes: int,
    tile: int,
    batch: int = 4,
) -> NDArray[np.float32]:
    """Probabilities of a large picture, tile by tile.

    Args:
        function: Tiles (B, h, w, 3) uint8 -> probabilities (B, K, h, w) float32.
        picture: (H, W, 3) uint8.
        classes: K.
        tile: Side of a tile in pixels; smaller along an axis that is shorter.
        batch: Tiles given to `function` at once.

    Returns:
        (K, H, W) float32.
    """
    height, width = picture.shape[:2]
    result = np.zeros((classes, height, width), dtype=np.float32)
    windows = list(_windows(height, width, tile))
    rows, columns = axis_weights(height, tile), axis_weights(width, tile)
    weights = [(row, column) for row in rows for column in columns]
    for first in range(0, len(windows), batch):
        chosen = windows[first : first + batch]
        answers = function(np.stack([picture[window] for window in chosen]))
        for window, (row, column), answer in zip(
            chosen, weights[first : first + batch], answers, strict=True
        ):
            result[:, *window] += answer * row[:, None] * column[None, :]
    return result


def _windows(height: int, width: int, tile: int) -> Iterator[Window]:
    for top in tile_starts(height, tile):
        for left in tile_starts(width, tile):
            yield slice(top, min(top + tile, height)), slice(left, min(left + tile, width))

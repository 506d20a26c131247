"""Random crops, a share of them placed around foreground, off centre on purpose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.types import IGNORE_INDEX


@dataclass(frozen=True, slots=True)
class CropWindow:
    """Top-left corner (row, column) and side of a square window, in pixels."""

    top: int
    left: int
    side: int


def foreground_positions(mask: NDArray[np.uint8], limit: int = 4096) -> NDArray[np.int32]:
    """Flat positions of foreground pixels, (N,) with N <= limit, evenly thinned.

    `mask` is (H, W), or (K, H, W) for several labels.
    """
    flat = mask if mask.ndim == 2 else ((mask > 0) & (mask != IGNORE_INDEX)).any(0)
    positions = np.flatnonzero((flat > 0) & (flat != IGNORE_INDEX)).astype(np.int32)
    step = max(1, -(-len(positions) // limit))
    return np.ascontiguousarray(positions[::step])


def choose_window(
    shape: tuple[int, int],
    side: int,
    positions: NDArray[np.int32],
    foreground_share: float,
    rng: np.random.Generator,
) -> CropWindow:
    """Choose where to crop a picture of `shape` (H, W).

    With probability `foreground_share` the window holds a random foreground pixel at a uniformly
    random place inside it: a pixel always in the middle would teach the network a centre bias.
    """
    height, width = shape
    last_top, last_left = max(0, height - side), max(0, width - side)
    if len(positions) and rng.random() < foreground_share:
        row, column = divmod(int(positions[rng.integers(len(positions))]), width)
        top = int(np.clip(row - rng.integers(side), 0, last_top))
        left = int(np.clip(column - rng.integers(side), 0, last_left))
    else:
        top, left = int(rng.integers(last_top + 1)), int(rng.integers(last_left + 1))
    return CropWindow(top, left, side)


def cut(array: NDArray[np.uint8], window: CropWindow, fill: int) -> NDArray[np.uint8]:
    """Cut `window` out of (H, W) or (H, W, C); what lies outside is `fill`."""
    rows = slice(window.top, window.top + window.side)
    columns = slice(window.left, window.left + window.side)
    piece = array[rows, columns]
    missing = (window.side - piece.shape[0], window.side - piece.shape[1])
    if missing == (0, 0):
        return piece
    padding = [(0, missing[0]), (0, missing[1]), *[(0, 0)] * (array.ndim - 2)]
    return np.pad(piece, padding, constant_values=fill)

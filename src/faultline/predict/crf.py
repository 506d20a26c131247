"""A conditional random field over one picture, solved by mean field: clean-up that sees colours.

Energy of a labelling x of 0 and 1, over pairs of pixels at most `radius` rows and columns apart
(Kraehenbuehl & Koltun 2011, eq. 1-3, with the window of Teichmann & Cipolla 2018):

    E(x) = - sum_i u_i x_i + sum_{i<j} k_ij [x_i != x_j]
    k_ij = a/A exp(-|p_i - p_j|^2 / 2 s^2 - |I_i - I_j|^2 / 2 c^2) + b/A exp(-|p_i - p_j|^2 / 2 s^2)

with places p, colours I, and A the sum of exp(-|p_i - p_j|^2 / 2 s^2) over a whole window, so that
a and b are the logits that a neighbourhood of one mind adds. With two labels the mean-field update
(their eq. 4) is, in logits, l_i = u_i + sum_j k_ij (2 q_j - 1) with q = sigmoid(l).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from faultline.errors import ConfigError, ContractError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
_Slices = tuple[slice, slice]

SIDE = 320
"""Longest side that a field works at; larger pictures are brought to it."""
_SURE = 1e-4
"""Probabilities are kept this far from 0 and 1: a logit of 9.2 can still be overruled."""


@dataclass(frozen=True, slots=True)
class FieldSettings:
    """How much neighbours say.

    Attributes:
        appearance: a, logits that neighbours of like colour add.
        smoothness: b, logits that neighbours of any colour add.
        distance: s, in pixels of the working size.
        colour: c, in grey levels of 255.
        radius: Rows and columns that a window reaches to each side.
        iterations: Mean-field updates.
    """

    appearance: float = 3.0
    smoothness: float = 0.5
    distance: float = 3.0
    colour: float = 13.0
    radius: int = 5
    iterations: int = 5

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: A number is out of range.
        """
        for name in ("appearance", "smoothness", "iterations"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)!r} is below 0")
        for name in ("distance", "colour", "radius"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}={getattr(self, name)!r} is not above 0")


class PictureField:
    """The field of one picture; its pair weights serve every prompt about it.

    Args:
        picture: (H, W, 3) RGB.
        settings: How much neighbours say.
    """

    def __init__(self, picture: Pixels, settings: FieldSettings | None = None) -> None:
        self.picture = picture
        self.settings = settings or FieldSettings()
        height, width = picture.shape[:2]
        scale = min(1.0, SIDE / max(height, width))
        self.shape = (max(1, round(height * scale)), max(1, round(width * scale)))

    def refine(self, probability: NDArray[np.floating], threshold: float) -> Pixels:
        """Mask (H, W) of 0 and 1; without neighbours it would be `probability >= threshold`.

        Args:
            probability: (H, W) in [0, 1].
            threshold: Probability at which a pixel alone is undecided.

        Raises:
            ContractError: `probability` is not of the size of the picture.
        """
        if probability.shape != self.picture.shape[:2]:
            raise ContractError(
                f"probability {probability.shape} and picture {self.picture.shape[:2]} differ"
            )
        small = _resized(probability.astype(np.float32), self.shape)
        unary = _logit(small) - _logit(np.float32(threshold))
        # Where every pixel alone says no, neighbours only say so louder.
        if not (unary >= 0).any():
            return np.zeros(probability.shape, np.uint8)
        field = self.mean_field(unary)
        height, width = self.picture.shape[:2]
        return (_resized(field, (height, width)) >= 0).astype(np.uint8)

    def mean_field(self, unary: Floats) -> Floats:
        """Logits (h, w) after the updates, from logits u (h, w) at the working size."""
        logits = unary
        for _ in range(self.settings.iterations):
            belief = np.tanh(logits / 2)  # 2 sigmoid(l) - 1
            logits = unary + self._message(belief)
        return logits

    def _message(self, belief: Floats) -> Floats:
        """sum_j k_ij b_j for every pixel i."""
        total = np.zeros_like(belief)
        for (first, second), weight in self._pairs:
            total[first] += weight * belief[second]
            total[second] += weight * belief[first]
        return total

    @cached_property
    def _pairs(self) -> list[tuple[tuple[_Slices, _Slices], Floats]]:
        """Both ends of the pairs at each offset of half a window, and their weights k."""
        settings, colours = self.settings, _resized(self.picture.astype(np.float32), self.shape)
        offsets = list(_half_window(settings.radius))
        near = [np.exp(-(r * r + c * c) / (2 * settings.distance**2)) for r, c in offsets]
        whole = 2 * sum(near)
        pairs = []
        for offset, close in zip(offsets, near, strict=True):
            ends = _ends(self.shape, *offset)
            apart = ((colours[ends[0]] - colours[ends[1]]) ** 2).sum(-1)
            alike = np.exp(apart * np.float32(-0.5 / settings.colour**2))
            weight = (settings.appearance * alike + settings.smoothness) * (close / whole)
            pairs.append((ends, weight.astype(np.float32)))
        return pairs


def _half_window(radius: int) -> Iterator[tuple[int, int]]:
    """Offsets (rows, columns) of a window, one of each pair of opposites, without (0, 0)."""
    for row in range(radius + 1):
        for column in range(-radius, radius + 1):
            if row > 0 or column > 0:
                yield row, column


def _ends(shape: tuple[int, int], rows: int, columns: int) -> tuple[_Slices, _Slices]:
    """Where pixels with a partner at an offset are, and where their partners are."""
    height, width = shape
    upper, lower = slice(0, max(0, height - rows)), slice(rows, None)
    left, right = slice(0, max(0, width - abs(columns))), slice(abs(columns), None)
    if columns >= 0:
        return (upper, left), (lower, right)
    return (upper, right), (lower, left)


def _logit(probability: NDArray[np.float32] | np.float32) -> Floats:
    inside = np.clip(probability, _SURE, 1 - _SURE)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float32)


def _resized(array: NDArray[np.float32], shape: tuple[int, int]) -> Floats:
    """(H, W) or (H, W, C) at another size; the same where nothing changes."""
    if array.shape[:2] == shape:
        return array
    how = cv2.INTER_AREA if shape[0] < array.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(array, shape[::-1], interpolation=how), dtype=np.float32)

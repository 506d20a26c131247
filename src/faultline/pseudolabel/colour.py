"""How unlike healthy green tissue is: the pixel's own evidence of disease.

Hue in CIELAB is used, not green alone: light and shade move lightness, and little else. Going from
healthy leaf to sick the hue falls: green about 120 to 150 degrees, yellow 90 to 100, red rot and
rust 30 to 70. What has no colour (a white midrib, glare, shade) says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faultline.pseudolabel.fusion import Belief

Pixels = NDArray[np.uint8]
Flags = NDArray[np.bool_]

_COLOURED = (6.0, 12.0)
"""Chroma (CIELAB) up to which hue means nothing, and from which it means all."""
_LOCAL = (4.0, 12.0)
"""Degrees below the surroundings' hue at which a fleck begins to count, and counts fully."""
_VIVID = (0.6, 0.9)
"""Chroma, against that of the surroundings, at which a fleck begins to count, and fully counts."""
_ENOUGH = (0.15, 0.5)
"""Share of green around a pixel at which a plant begins to be likely, and is."""
_BLUE, _BROWN, _PURPLE = 200.0, 80.0, 300.0
"""Hues in degrees: beyond green, below yellow, beyond blue."""
_THICK = 0.035
"""Radius, as a share of the longest side, from which a brown patch is no lesion."""
_SAMPLE = 4000


@dataclass(frozen=True, slots=True)
class HealthyGreen:
    """Hue of healthy tissue.

    Attributes:
        edge: Hue in degrees above which nearly all healthy pixels lie.
        span: Degrees below `edge` at which a pixel is wholly unlike healthy.
        pictures: Pictures that it was measured on; 0 for the value of the package.
    """

    # Of leaves in daylight; measured on the data set's own healthy pictures where it has some.
    edge: float = 108.0
    span: float = 15.0
    pictures: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def hue_and_chroma(picture: Pixels) -> tuple[Belief, Belief]:
    """CIELAB hue in degrees, 0 to 360, and chroma, each (H, W) float32, of RGB (H, W, 3)."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    a, b = lab[..., 1], lab[..., 2]
    return np.degrees(np.arctan2(b, a)) % 360, np.hypot(a, b)


def measure_healthy(pictures: Iterable[tuple[Pixels, Flags]]) -> HealthyGreen:
    """`HealthyGreen` of pictures of healthy plants, each with its plant pixels (H, W).

    The edge is the 5th percentile of hue of all coloured plant pixels: every picture counts the
    same, whatever its size.
    """
    rng = np.random.default_rng(0)
    found = []
    for picture, plant in pictures:
        hue, chroma = hue_and_chroma(picture)
        hues = hue[plant & (chroma >= _COLOURED[1])]
        if len(hues):
            found.append(rng.choice(hues, _SAMPLE))
    if not found:
        return HealthyGreen()
    edge = float(np.percentile(np.concatenate(found), 5))
    return HealthyGreen(edge=round(edge, 2), pictures=len(found))


def unlikeness(picture: Pixels, plant: Flags, healthy: HealthyGreen) -> Belief:
    """How unlike healthy green each pixel is, (H, W) of 0 to 1.

    The larger of two: how far the hue lies below that of healthy tissue, and how far below that of
    the plant around it. The second finds flecks and mosaic on a leaf that is green all over.

    Args:
        picture: (H, W, 3) RGB.
        plant: (H, W) booleans; the surroundings are measured on these.
        healthy: The hue of healthy tissue.
    """
    hue, chroma = hue_and_chroma(picture)
    # Purple and blue (shade, sky) are beyond the range from green to red, on neither side.
    turned = np.where(hue > 240, hue - 360, hue)
    weight = _ramp(chroma, *_COLOURED)
    beyond = _ramp(healthy.edge - turned, 0.0, healthy.span)
    around = _surroundings(turned, plant & (weight > 0.5))
    # A midrib is yellower than the blade, but paler: a fleck is not.
    vivid = _ramp(chroma / np.maximum(_surroundings(chroma, plant), 1.0), *_VIVID)
    local = vivid * _ramp(around - turned, *_LOCAL)
    return np.asarray(weight * np.maximum(beyond, local), np.float32)


def green_nearby(picture: Pixels, healthy: HealthyGreen) -> Belief:
    """Whether each pixel is likely part of a green plant, (H, W) of 0 to 1.

    There has to be healthy green around it, and it may not lie in a patch of brown so thick that it
    is earth or litter seen between leaves: lesions are thin, and yellow margins are not brown.
    """
    hue, chroma = hue_and_chroma(picture)
    green = (hue >= healthy.edge) & (hue <= _BLUE) & (chroma >= _COLOURED[0])
    side = _window(0.12, hue.shape)
    share = np.asarray(cv2.blur(green.astype(np.float32), (side, side)), np.float32)
    return np.where(_thick_brown(hue, chroma), 0.0, _ramp(share, *_ENOUGH)).astype(np.float32)


def _thick_brown(hue: Belief, chroma: Belief) -> Flags:
    """(H, W): brown patches in which a disc fits, with what is brown around its places."""
    brown = (((hue < _BROWN) | (hue > _PURPLE)) & (chroma >= _COLOURED[0])).astype(np.uint8)
    radius = max(2, round(_THICK * max(hue.shape)))
    # At a quarter of the size: a disc of 16 pixels costs 250 operations a pixel.
    step = max(1, radius // 4)
    small = cv2.resize(brown, (max(1, hue.shape[1] // step), max(1, hue.shape[0] // step)),
                       interpolation=cv2.INTER_AREA)  # fmt: skip
    core = cv2.morphologyEx(small, cv2.MORPH_OPEN, _disc(radius // step))
    grown = cv2.dilate(core, _disc(radius // step))
    large = cv2.resize(grown, hue.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray((large > 0) & (brown > 0))


def _disc(radius: int) -> NDArray[np.uint8]:
    side = 2 * max(1, radius) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _surroundings(values: Belief, plant: Flags) -> Belief:
    """Mean over the plant pixels around each pixel, within a fifth of the picture."""
    side = _window(0.2, values.shape)
    inside = plant.astype(np.float32)
    total = cv2.boxFilter(values.astype(np.float32) * inside, -1, (side, side), normalize=False)
    count = cv2.boxFilter(inside, -1, (side, side), normalize=False)
    return np.asarray(np.where(count > 0.5, total / np.maximum(count, 0.5), values), np.float32)


def _window(share: float, shape: tuple[int, ...]) -> int:
    """An odd number of pixels: this share of the longest side."""
    return max(3, round(share * max(shape)) | 1)


def _ramp(values: NDArray[np.floating[Any]], low: float, high: float) -> Belief:
    """0 up to `low`, 1 from `high`, a straight line between."""
    return np.asarray(np.clip((values - low) / (high - low), 0, 1), np.float32)

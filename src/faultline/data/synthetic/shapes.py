"""One seeded picture of simple shapes and its exact index mask.

Two rules say which class a shape is:

- `shapes`: its kind. Class k is the k-th name of `ShapeSettings.kinds`.
- `counted-shapes`: whether it is alone. A shape of a kind of which the picture holds one is
  `lone`, any other is `repeated`. No patch around a shape tells which it is: this needs the whole
  picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from faultline.data.synthetic.noise import FloatArray, blur, fractal_noise, white_noise
from faultline.data.synthetic.outlines import OUTLINES, Outline, placed
from faultline.errors import DataError
from faultline.registry import did_you_mean

ByteArray = npt.NDArray[np.uint8]

RULES = ("shapes", "counted-shapes")
"""What decides the class of a shape."""

BACKGROUND = "background"
MIN_SIDE = 48
_FINER = 4
"""Outlines are filled on a grid this much finer, so that edges get a partial cover."""
_TRIES = 60
_CONTRAST = 55.0
_MOST_OF_A_KIND = 3


@dataclass(frozen=True)
class ShapeSettings:
    """What the pictures look like.

    Attributes:
        size: (H, W) in pixels.
        rule: One of `RULES`.
        kinds: Names from `OUTLINES`, in the order of their class numbers.
        count: Fewest and most shapes (`shapes`) or kinds (`counted-shapes`) per picture.
        radius: Smallest and largest radius, as a share of the shorter side.
        noise: Standard deviation of grain, in grey levels.
        blur: Standard deviation of blur, in pixels.
        occlusion: Largest share of a shape that others may cover; 0 keeps shapes apart.
        imbalance: How many times more often the first kind occurs than the last; the others lie
            between, evenly on a logarithmic scale.
    """

    size: tuple[int, int] = (128, 128)
    rule: str = "shapes"
    kinds: tuple[str, ...] = tuple(OUTLINES)
    count: tuple[int, int] = (2, 5)
    radius: tuple[float, float] = (0.09, 0.2)
    noise: float = 8.0
    blur: float = 0.6
    occlusion: float = 0.2
    imbalance: float = 1.0

    def __post_init__(self) -> None:
        problems = [text for wrong, text in self._rules() if wrong]
        problems += [
            f"kinds: {name!r} is not a shape{did_you_mean(name, OUTLINES)}, there are "
            f"{', '.join(OUTLINES)}"
            for name in self.kinds
            if name not in OUTLINES
        ]
        if problems:
            raise DataError("; ".join(problems), remedy="correct the settings of the shapes")

    def _rules(self) -> list[tuple[bool, str]]:
        (low, high), (small, large) = self.count, self.radius
        return [
            (min(self.size) < MIN_SIDE, f"size {self.size}: each side is at least {MIN_SIDE} px"),
            (self.rule not in RULES, f"rule {self.rule!r} is not one of {', '.join(RULES)}"),
            (not self.kinds or len(set(self.kinds)) < len(self.kinds),
             f"kinds {list(self.kinds)}: give at least one, and each once"),
            (not 1 <= low <= high, f"count {self.count}: give 1 <= fewest <= most"),
            (self.rule == "counted-shapes" and high > len(self.kinds),
             f"count {self.count}: there are only {len(self.kinds)} kinds"),
            (not 0.02 <= small <= large <= 0.45,
             f"radius {self.radius}: give shares of the shorter side from 0.02 to 0.45"),
            (not 0 <= self.noise <= 100, f"noise {self.noise} is not in 0 to 100"),
            (not 0 <= self.blur <= 20, f"blur {self.blur} is not in 0 to 20"),
            (not 0 <= self.occlusion <= 1, f"occlusion {self.occlusion} is not in 0 to 1"),
            (not 1 <= self.imbalance <= 1000, f"imbalance {self.imbalance} is not in 1 to 1000"),
        ]  # fmt: skip

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the mask values, background first."""
        return (BACKGROUND, *(self.kinds if self.rule == "shapes" else ("lone", "repeated")))

    def shares(self) -> FloatArray:
        """How often each kind is drawn; sums to 1."""
        steps = np.arange(len(self.kinds)) / max(1, len(self.kinds) - 1)
        weights = self.imbalance**-steps
        return np.asarray(weights / weights.sum(), dtype=np.float32)


@dataclass(frozen=True)
class _Shape:
    kind: int
    cover: FloatArray
    """(H, W), 0 to 1: how much of a pixel it covers."""


def generate_shapes_image(
    seed: int | Sequence[int], settings: ShapeSettings | None = None
) -> tuple[ByteArray, ByteArray]:
    """Make a picture of shapes on an uneven background, and its mask.

    A pixel belongs to the shape in front that covers at least half of it.

    Args:
        seed: Non-negative integer, or several, as `numpy.random.default_rng` takes them. The
            same seed and settings give the same bytes, whatever was generated before.
        settings: See `ShapeSettings`.

    Returns:
        RGB picture uint8 (H, W, 3), and mask uint8 (H, W) of indices into `settings.classes`.

    Raises:
        DataError: The seed is negative.
    """
    settings = settings or ShapeSettings()
    # One stream a part: a change in one part leaves the others as they were.
    choice, place, paint, camera = _generator(seed).spawn(4)
    kinds = _chosen_kinds(choice, settings)
    shapes = _placed_shapes(place, kinds, settings)
    mask = np.zeros(settings.size, np.uint8)
    for shape in shapes:
        mask[shape.cover >= 0.5] = _class_of(shape, shapes, settings)
    return _photograph(camera, _painted(paint, shapes, settings), settings), mask


def _generator(seed: int | Sequence[int]) -> np.random.Generator:
    values = [seed] if isinstance(seed, int | np.integer) else list(seed)
    if not values or any(value < 0 for value in values):
        raise DataError(f"seed {seed!r} is not usable", remedy="give integers of 0 or more")
    return np.random.default_rng(values)


def _chosen_kinds(rng: np.random.Generator, settings: ShapeSettings) -> list[int]:
    """Kind of each shape that the picture is to hold."""
    number = int(rng.integers(settings.count[0], settings.count[1] + 1))
    everything = len(settings.kinds)
    if settings.rule == "shapes":
        return [int(kind) for kind in rng.choice(everything, number, p=_exact(settings.shares()))]
    kinds = rng.choice(everything, number, replace=False, p=_exact(settings.shares()))
    # A coin for each kind: how many shapes there are in all says little about any one of them.
    alone = rng.random(number) < 0.5
    counts = np.where(alone, 1, rng.integers(2, _MOST_OF_A_KIND + 1, number))
    drawn = [int(kind) for kind, count in zip(kinds, counts, strict=True) for _ in range(count)]
    return [drawn[index] for index in rng.permutation(len(drawn))]


def _exact(shares: FloatArray) -> npt.NDArray[np.float64]:
    """The same shares in double precision, for `choice`, which wants a sum of exactly 1."""
    exact = shares.astype(np.float64)
    return np.asarray(exact / exact.sum())


def _placed_shapes(
    rng: np.random.Generator, kinds: list[int], settings: ShapeSettings
) -> list[_Shape]:
    """Shapes from back to front; one for which there is no room is left out.

    Classes are given afterwards, by what was placed.
    """
    height, width = settings.size
    side = min(height, width)
    found: list[_Shape] = []
    for kind in kinds:
        for _ in range(_TRIES):
            radius = side * float(rng.uniform(*settings.radius))
            x, y = (float(rng.uniform(radius, length - radius)) for length in (width, height))
            outline = OUTLINES[settings.kinds[kind]](rng, radius)
            turned = placed(outline, x, y, float(rng.uniform(0, 2 * math.pi)))
            shape = _Shape(kind, _cover(turned, settings.size))
            if _fits(shape, found, settings.occlusion):
                found.append(shape)
                break
    return found


def _cover(outline: Outline, size: tuple[int, int]) -> FloatArray:
    """(H, W), 0 to 1: share of each pixel inside the outline."""
    height, width = size
    fine = np.zeros((_FINER * height, _FINER * width), np.uint8)
    points = [np.round(_FINER * polygon - 0.5).astype(np.int32) for polygon in outline]
    cv2.fillPoly(fine, points, 255)
    small = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return np.multiply(small, np.float32(1 / 255), dtype=np.float32)


def _fits(shape: _Shape, found: Sequence[_Shape], occlusion: float) -> bool:
    """Whether it covers no earlier shape by more than the share `occlusion`, all together."""
    for index, other in enumerate(found):
        in_front = np.maximum.reduce([each.cover for each in (*found[index + 1 :], shape)])
        own = other.cover >= 0.5
        if np.count_nonzero(own & (in_front >= 0.5)) > occlusion * np.count_nonzero(own):
            return False
    return True


def _class_of(shape: _Shape, shapes: Sequence[_Shape], settings: ShapeSettings) -> int:
    if settings.rule == "shapes":
        return shape.kind + 1
    alone = sum(other.kind == shape.kind for other in shapes) == 1
    return settings.classes.index("lone" if alone else "repeated")


def _painted(
    rng: np.random.Generator, shapes: Sequence[_Shape], settings: ShapeSettings
) -> FloatArray:
    """(H, W, 3) of grey levels: colours are random, so that they tell nothing about the class."""
    ground = rng.uniform(60, 195, 3).astype(np.float32)
    side = min(settings.size)
    uneven = 12 * fractal_noise(rng, settings.size, cell=side / 3, octaves=4)
    canvas = ground + uneven[..., None]
    for shape in shapes:
        colour = _apart(rng, ground)
        shade = colour + 4 * fractal_noise(rng, settings.size, cell=side / 4, octaves=2)[..., None]
        canvas += shape.cover[..., None] * (shade - canvas)
    return np.asarray(canvas, dtype=np.float32)


def _apart(rng: np.random.Generator, ground: FloatArray) -> FloatArray:
    """A colour that can be told from the ground: some channel differs by `_CONTRAST`."""
    while True:
        colour = rng.uniform(10, 245, 3).astype(np.float32)
        if float(np.abs(colour - ground).max()) >= _CONTRAST:
            return colour


def _photograph(rng: np.random.Generator, canvas: FloatArray, settings: ShapeSettings) -> ByteArray:
    """Blur, grain, and 8 bits."""
    seen = blur(canvas, settings.blur)
    grain = np.stack([white_noise(rng, settings.size) for _ in range(3)], axis=-1)
    return np.clip(seen + settings.noise * grain + 0.5, 0, 255).astype(np.uint8)

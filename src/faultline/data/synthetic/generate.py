"""One seeded picture of a cracked surface and its exact mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from faultline.data.synthetic.camera import photograph
from faultline.data.synthetic.crack_paint import paint_cracks, rasterise
from faultline.data.synthetic.cracks import plan_cracks
from faultline.data.synthetic.distractors import add_distractors
from faultline.data.synthetic.litter import add_litter
from faultline.data.synthetic.shadows import add_shadow
from faultline.data.synthetic.textures import make_surface
from faultline.errors import DataError
from faultline.registry import did_you_mean

SURFACES = ("concrete", "asphalt")
"""Kinds of surface that can be made."""

MIN_SIZE = 32
"""Smallest height and width in pixels; below it a crack is not told from a scratch."""


def generate_crack_image(
    seed: int | Sequence[int],
    size: tuple[int, int] = (320, 480),
    surface: str | None = None,
    crack_free: bool = False,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Make a picture of a cracked surface and its mask.

    With `crack_free` the same surface, stains and shadows come out without the cracks.

    Args:
        seed: Non-negative integer, or several, as `numpy.random.default_rng` takes them. The
            same seed and settings give the same bytes, whatever was generated before.
        size: (H, W) in pixels, at least 32 each.
        surface: "concrete", "asphalt", or None for either.
        crack_free: Leave the cracks out; the mask is then empty.

    Returns:
        RGB picture uint8 (H, W, 3), and mask uint8 (H, W) with 1 where there is crack.

    Raises:
        DataError: Size, surface or seed is out of range.
    """
    check_settings(size, surface)
    # One stream a part: a change in one part leaves the others as they were.
    choice, texture, things, cracks, litter, shadow, camera = _generator(seed).spawn(7)
    surface = surface or str(choice.choice(SURFACES))
    scene = make_surface(texture, size, surface)
    add_distractors(things, scene)
    mask = np.zeros(size, dtype=np.uint8)
    if not crack_free:
        strokes = plan_cracks(cracks, size, surface, scene.scale)
        layer = rasterise(strokes, size)
        paint_cracks(cracks, scene, strokes, layer)
        mask = layer.mask
    add_litter(litter, scene, mask)
    add_shadow(shadow, scene)
    return photograph(camera, scene), mask


def check_settings(size: tuple[int, int], surface: str | None) -> None:
    """Check what `generate_crack_image` is given.

    Raises:
        DataError: A side is smaller than 32 pixels, or the surface is unknown.
    """
    if len(size) != 2 or min(size) < MIN_SIZE:
        raise DataError(
            f"size {tuple(size)} is too small for a synthetic picture",
            remedy=f"give (height, width) of at least {MIN_SIZE} pixels each",
        )
    if surface is not None and surface not in SURFACES:
        raise DataError(
            f"unknown surface {surface!r}{did_you_mean(surface, SURFACES)}",
            remedy=f"known: {', '.join(SURFACES)}, or None for either",
        )


def _generator(seed: int | Sequence[int]) -> np.random.Generator:
    values = [seed] if isinstance(seed, int | np.integer) else list(seed)
    if not values or any(value < 0 for value in values):
        raise DataError(f"seed {seed!r} is not usable", remedy="give integers of 0 or more")
    return np.random.default_rng(values)

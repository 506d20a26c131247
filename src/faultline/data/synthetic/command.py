"""What `faultline synthesize` does: the kind of pictures, and which settings go with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from faultline.data.synthetic.coco_writer import write_crack_dataset
from faultline.data.synthetic.mask_writer import DEFAULT_COUNTS, write_shapes_dataset
from faultline.data.synthetic.shapes import RULES, ShapeSettings
from faultline.errors import ConfigError
from faultline.progress import progress_bar
from faultline.registry import did_you_mean

CRACKS = "cracks"
KINDS = (CRACKS, *RULES)
"""Kinds of pictures that can be made."""

_CRACK_COUNTS = {"train": 60, "valid": 12, "test": 12}
_CRACK_SIZE = (320, 480)
_COUNTED_KINDS = ("circle", "rectangle", "triangle", "star")
_COUNTED_RADIUS = (0.08, 0.1)


def synthesize(
    folder: Path,
    kind: str,
    counts: Mapping[str, int | None],
    seed: int,
    size: tuple[int | None, int | None],
    shapes: Mapping[str, Any],
    say: Callable[[str], None],
) -> None:
    """Make the data set `kind` in `folder`; None stands for the default of that kind.

    Args:
        folder: New folder, or one that was made here.
        kind: One of `KINDS`.
        counts: Pictures per split; 0 leaves a split out.
        seed: The same seed gives the same files.
        size: (H, W) in pixels.
        shapes: Fields of `ShapeSettings`; they belong to shapes only.
        say: Takes a line of text.

    Raises:
        ConfigError: There is no such kind, or a setting belongs to another.
        DataError: A setting is out of range, or the folder is not ours.
        OutputError: The folder cannot be written.
    """
    if kind not in KINDS:
        raise ConfigError(
            f"kind {kind!r} is not known{did_you_mean(kind, KINDS)}",
            remedy=f"use {', '.join(KINDS)}",
        )
    given = {name: value for name, value in shapes.items() if value is not None}
    if kind == CRACKS and given:
        raise ConfigError(
            f"{', '.join(given)}: settings of shapes, not of cracks", remedy="add --kind shapes"
        )
    usual = _CRACK_COUNTS if kind == CRACKS else DEFAULT_COUNTS
    wanted = {name: usual[name] if count is None else count for name, count in counts.items()}
    wanted = {name: count for name, count in wanted.items() if count}
    with progress_bar("pictures") as progress:
        if kind == CRACKS:
            whole = _filled(size, _CRACK_SIZE)
            write_crack_dataset(folder, wanted, seed, whole, progress=progress)
        else:
            settings = _shape_settings(kind, given, size)
            write_shapes_dataset(folder, wanted, seed, settings, progress)
            say(f"classes {', '.join(settings.classes)}")
    say(f"{sum(wanted.values())} pictures in {folder}")


def _shape_settings(
    rule: str, given: Mapping[str, Any], size: tuple[int | None, int | None]
) -> ShapeSettings:
    """Defaults of the rule, and what was given over them.

    Shapes that are counted are small, alike in size and never covered: what is asked is how
    many there are, not what one is.
    """
    usual: dict[str, Any] = {}
    if rule != "shapes":
        usual = {"kinds": _COUNTED_KINDS, "radius": _COUNTED_RADIUS, "occlusion": 0.0,
                 "count": (2, min(3, len(given.get("kinds", _COUNTED_KINDS))))}  # fmt: skip
    whole = _filled(size, ShapeSettings.size)
    return ShapeSettings(size=whole, rule=rule, **{**usual, **given})


def _filled(size: tuple[int | None, int | None], usual: tuple[int, int]) -> tuple[int, int]:
    return size[0] or usual[0], size[1] or usual[1]

"""Pictures with heat: the grid of means, single examples side by side, and hard pictures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from faultline.analysis.kept import Observed
from faultline.analysis.mistakes import Together, hardest
from faultline.analysis.sample import Shown
from faultline.artifacts.figures import new_figure
from faultline.data.images import read_image
from faultline.data.manifest import Item
from faultline.errors import FaultlineError
from faultline.evaluation.classification.gradcam import overlay_heat
from faultline.evaluation.plots import INK, RED

Pixels = NDArray[np.uint8]

SIDE = 160
_INCHES = 1.55


def thumbnail(item: Item, square: bool = False) -> Pixels | None:
    """The picture, its longer side `SIDE` pixels, or squeezed to a square; None if unreadable."""
    try:
        picture = read_image(item.path)
    except FaultlineError:
        return None
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(picture, (SIDE, SIDE) if square else size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def mean_picture(sample: Sequence[Shown], class_index: int) -> Pixels:
    """Mean of the pictures of a class, each squeezed to a square; grey where none is readable."""
    found = [thumbnail(one.item, square=True) for one in sample if one.class_index == class_index]
    known = [one for one in found if one is not None]
    if not known:
        return np.full((SIDE, SIDE, 3), 128, np.uint8)
    mean: Pixels = np.mean(known, axis=0).round().astype(np.uint8)
    return mean


def mean_heat(
    observed: Observed, sample: Sequence[Shown], class_index: int
) -> NDArray[np.float32] | None:
    """Mean map of a class over its pictures; None where there is none."""
    rows = [row for row, one in enumerate(sample) if one.class_index == class_index]
    known = [observed.heat[row] for row in rows if np.isfinite(observed.heat[row]).all()]
    return np.mean(known, axis=0, dtype=np.float32) if known else None


def with_heat(picture: Pixels, heat: NDArray[np.float32] | None) -> Pixels:
    """`picture` with a map of any size over it; grey without one."""
    if heat is None:
        return np.asarray(picture // 2 + 64, np.uint8)
    size = (picture.shape[1], picture.shape[0])
    large = cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR)
    return overlay_heat(picture, np.clip(large, 0, 1).astype(np.float32))


def sheet(
    columns: Sequence[str], rows: Sequence[str], cells: Sequence[Sequence[Pixels | None]]
) -> Figure:
    """Pictures as a table with titles; empty where a cell is None."""
    wide = max((one.shape[1] / one.shape[0] for row in cells for one in row if one is not None),
               default=1.0)  # fmt: skip
    cell = _INCHES * min(1.0, wide), _INCHES / max(1.0, wide) + 0.08
    label = 0.085 * max((len(part) for row in rows for part in row.split("\n")), default=0)
    figure = new_figure(label + cell[0] * len(columns) + 0.3, cell[1] * len(rows) + 0.45)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for r, row in enumerate(cells):
        for c, pixels in enumerate(row):
            place = axes[r][c]
            place.set_xticks([])
            place.set_yticks([])
            for spine in place.spines.values():
                spine.set_visible(False)
            if pixels is not None:
                place.imshow(pixels)
            if r == 0:
                place.set_title(columns[c], fontsize=8, color=INK)
            if c == 0:
                place.set_ylabel(rows[r], fontsize=8, color=INK, rotation=0, ha="right",
                                 va="center")  # fmt: skip
    return figure


def example_sheet(
    runs: Sequence[str],
    observed: Sequence[Observed],
    sample: Sequence[Shown],
    class_index: int,
    count: int,
) -> Figure | None:
    """Pictures of one class (rows) with the heat of every run (columns); None without pictures."""
    rows = [row for row, one in enumerate(sample) if one.class_index == class_index]
    found = [(row, thumbnail(sample[row].item)) for row in rows[:count]]
    known = [(row, picture) for row, picture in found if picture is not None]
    if not known:
        return None
    cells: list[list[Pixels | None]] = []
    for row, picture in known:
        heats = [one.heat[row] for one in observed]
        cells.append([picture, *(with_heat(picture, heat if np.isfinite(heat).all() else None)
                                 for heat in heats)])  # fmt: skip
    labels = [f"{_short(sample[row].item.id)}\n({sample[row].part})" for row, _ in known]
    return sheet(["picture", *runs], labels, cells)


def grid_sheet(
    runs: Sequence[str],
    observed: Sequence[Observed],
    sample: Sequence[Shown],
    names: Sequence[str],
) -> tuple[Figure, dict[tuple[int, int], Pixels]]:
    """Mean maps of runs (rows) and classes (columns) over the mean picture, and single cells."""
    cells = {
        (r, k): with_heat(mean_picture(sample, k), mean_heat(one, sample, k))
        for r, one in enumerate(observed)
        for k in range(len(names))
    }
    table = [[cells[r, k] for k in range(len(names))] for r in range(len(runs))]
    return sheet(names, runs, table), cells


def hard_sheet(together: Together, items: Sequence[Item], most: int) -> Figure | None:
    """Thumbnails of pictures that every run gets wrong, surest mistakes first; None if none."""
    by_id = {item.id: item for item in items}
    rows = hardest(together, most)
    found = [(row, thumbnail(by_id[together.ids[row]])) for row in rows]
    known = [(row, picture) for row, picture in found if picture is not None]
    if not known:
        return None
    across = min(6, len(known))
    down = -(-len(known) // across)
    figure = new_figure(1.75 * across + 0.2, 2.3 * down)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for place in axes:
        place.set_axis_off()
    for place, (row, picture) in zip(axes, known, strict=False):
        place.imshow(picture)
        said = dict.fromkeys(together.words(one[row]) for one in together.decided)
        place.set_title(f"{_short(together.ids[row])}\nis {together.words(together.truth[row])}",
                        fontsize=6.5, color=INK)  # fmt: skip
        place.text(0.5, -0.04, "said: " + "\n".join(list(said)[:3]), fontsize=6.5, color=RED,
                   ha="center", va="top", transform=place.transAxes)  # fmt: skip
    return figure


def _short(id_: str, most: int = 22) -> str:
    name = id_.rpartition("/")[2]
    return name if len(name) <= most else f"…{name[-most + 1 :]}"

"""Chooses images by rank and draws them: best, median and worst."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from faultline.errors import FaultlineError, OutputError
from faultline.evaluation.panels import panel
from faultline.evaluation.scoring import Scores, load_pair
from faultline.predict.pictures import write_picture
from faultline.predict.predictor import Predictor
from faultline.types import LabelSpace

RANKS = ("best", "median", "worst")
_OWN_NAME = re.compile(r"(best|median|worst)-\d+-.*\.png")


@dataclass(frozen=True, slots=True)
class Drawing:
    """One drawn image.

    Attributes:
        rank: "best", "median" or "worst".
        id: Of the item.
        score: By which it was ranked.
        path: The PNG.
        pixels: (H, W, 3), as written.
    """

    rank: str
    id: str
    score: float
    path: Path
    pixels: NDArray[np.uint8]


def choose(ranked: Sequence[tuple[str, float]], count: int) -> list[tuple[str, str, float]]:
    """(rank, id, score) of `count` images, a third of each rank, none twice.

    The extremes go first where there are few images: one is the best, two are best and worst.
    """
    count = min(count, len(ranked))
    best, worst = -(-count // 3), -(-(count - 1) // 3) if count else 0
    middle = count - best - worst
    rest = len(ranked) - best - worst
    start = best + (rest - middle) // 2
    picked = [("best", index) for index in range(best)]
    picked += [("median", index) for index in range(start, start + middle)]
    picked += [("worst", len(ranked) - 1 - index) for index in range(worst)]
    return [(rank, *ranked[index]) for rank, index in picked]


def draw_examples(
    predictor: Predictor,
    scores: Scores,
    space: LabelSpace,
    folder: Path,
    *,
    count: int,
    metric: str,
) -> list[Drawing]:
    """Write the panels of the chosen images to `folder` and return them, best first.

    Panels of an earlier evaluation in the same folder are removed: they would show other ranks.

    Raises:
        OutputError: The folder cannot be written.
    """
    _remove_own(folder)
    drawings = []
    for number, (rank, name, score) in enumerate(choose(scores.ranked(metric), count), 1):
        try:
            image, truth = load_pair(scores.items[name], space)
        except FaultlineError:
            continue  # it was there a minute ago; its scores stand, only the picture is lost
        pixels = panel(image, truth, predictor.predict(image).mask, space)
        path = folder / f"{rank}-{number}-{slug(name)}.png"
        write_picture(path, pixels)
        drawings.append(Drawing(rank, name, score, path, pixels))
    return drawings


def slug(name: str) -> str:
    """The last part of an item's id, without suffix, safe as a file name."""
    stem = PurePosixPath(name).stem
    return re.sub(r"[^\w.-]+", "_", stem)[:80] or "image"


def _remove_own(folder: Path) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _OWN_NAME.fullmatch(path.name):
            try:
                path.unlink()
            except OSError as error:
                raise OutputError(
                    f"an old picture cannot be removed: {error.strerror or error}",
                    where=path,
                    remedy="check permissions, or choose another output folder",
                ) from error

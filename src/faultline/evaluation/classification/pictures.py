"""Example pictures of each class, right and wrong, with where the network looked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faultline.data.images import read_image
from faultline.errors import FaultlineError
from faultline.evaluation.classification.gradcam import GradCam, overlay_heat
from faultline.evaluation.classification.scoring import ClassRun
from faultline.evaluation.drawings import slug
from faultline.predict.pictures import write_picture

Pixels = NDArray[np.uint8]

_LEAST_SIDE = 180
_GAP = 4
_OWN_NAME = re.compile(r"\d+-(right|missed|false)-\d+-.*\.png")


@dataclass(frozen=True, slots=True)
class Example:
    """One picture and one class.

    Attributes:
        verdict: "right" (found), "missed", or "false" (named and not there).
        class_index: The class that is explained.
        row: Position among the pictures that were scored.
    """

    verdict: str
    class_index: int
    row: int


@dataclass(frozen=True, slots=True)
class DrawnExample:
    """An example as it is shown.

    Attributes:
        example: What it is.
        id: Of the item.
        caption: Truth and answer with probabilities.
        path: The PNG.
        pixels: (H, W, 3), as written.
    """

    example: Example
    id: str
    caption: str
    path: Path
    pixels: Pixels


def choose_examples(run: ClassRun, count: int) -> list[Example]:
    """Of each class `count` found ones and as many mistakes, chosen by rank and not by eye.

    Found: those of the highest probability. Mistakes: missed ones of the lowest and false ones of
    the highest probability, in turns.
    """
    scores = run.scores
    chosen = []
    for index in range(len(scores.names)):
        truth, decided = scores.truth[:, index], scores.decided[:, index]
        rising = np.argsort(scores.probability[:, index], kind="stable")
        found = [int(row) for row in rising[::-1] if truth[row] and decided[row]]
        missed = [int(row) for row in rising if truth[row] and not decided[row]]
        false = [int(row) for row in rising[::-1] if decided[row] and not truth[row]]
        chosen += [Example("right", index, row) for row in found[:count]]
        turns = [one for pair in _in_turns(missed, false) for one in pair]
        chosen += [Example(verdict, index, row) for verdict, row in turns[:count]]
    return chosen


def _in_turns(missed: Sequence[int], false: Sequence[int]) -> list[list[tuple[str, int]]]:
    longest = max(len(missed), len(false))
    return [
        [(name, rows[place]) for name, rows in (("missed", missed), ("false", false))
         if place < len(rows)]
        for place in range(longest)
    ]  # fmt: skip


def draw_class_examples(
    run: ClassRun,
    folder: Path,
    *,
    count: int,
    explain: GradCam | None,
) -> list[DrawnExample]:
    """Write the examples to `folder` and return them, class by class.

    Pictures of an earlier evaluation in the same folder are removed: they would show other ones.

    Args:
        run: The answers.
        folder: Made if absent.
        count: See `choose_examples`.
        explain: Gives the heat beside each picture; None leaves it out.

    Raises:
        OutputError: The folder cannot be written.
    """
    for path in folder.glob("*.png") if folder.is_dir() else ():
        if _OWN_NAME.fullmatch(path.name):
            path.unlink()
    drawn = []
    for number, example in enumerate(choose_examples(run, count), 1):
        item = run.items[example.row]
        try:
            picture = read_image(item.path)
        except FaultlineError:
            continue  # it was there a minute ago; its scores stand, only the picture is lost
        pixels = _view(picture, example.class_index, explain)
        name = slug(run.scores.names[example.class_index])
        path = folder / f"{number:03}-{example.verdict}-{example.class_index}-{name}.png"
        write_picture(path, pixels)
        drawn.append(DrawnExample(example, item.id, caption(run, example), path, pixels))
    return drawn


def caption(run: ClassRun, example: Example) -> str:
    """Truth and answer of the picture, and the probability of the class that is explained."""
    scores, row = run.scores, example.row
    truth = _listed(scores.names, scores.truth[row])
    said = _listed(scores.names, scores.decided[row])
    probability = scores.probability[row, example.class_index]
    name = scores.names[example.class_index]
    return f"shows {truth}; answer {said}; probability of {name} {probability:.2f}"


def _listed(names: Sequence[str], shown: NDArray[np.bool_]) -> str:
    return ", ".join(n for n, yes in zip(names, shown, strict=True) if yes) or "nothing"


def _view(picture: Pixels, class_index: int, explain: GradCam | None) -> Pixels:
    """The picture, and beside it (below it where it is long) the heat over it."""
    if explain is None:
        return _readable(picture)
    covered = overlay_heat(picture, explain.heat_on(picture, class_index))
    stacked = picture.shape[1] > 2 * picture.shape[0]
    shape = (_GAP, picture.shape[1]) if stacked else (picture.shape[0], _GAP)
    gap = np.full((*shape, 3), 255, np.uint8)
    return _readable(np.concatenate([picture, gap, covered], axis=0 if stacked else 1))


def _readable(view: Pixels) -> Pixels:
    """Small pictures enlarged pixel by pixel."""
    times = max(1, -(-_LEAST_SIDE // min(view.shape[:2])))
    if times * max(view.shape[:2]) > 2000:
        return view
    return np.repeat(np.repeat(view, times, 0), times, 1)

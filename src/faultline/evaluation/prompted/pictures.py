"""Pictures of a report: four panels an example, and one picture under several prompts."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from faultline.data.images import read_image
from faultline.errors import FaultlineError, OutputError
from faultline.evaluation.panels import without_ignored
from faultline.evaluation.prompted.scores import MAIN, PromptScores
from faultline.predict.overlay import draw_overlay
from faultline.predict.pictures import write_picture
from faultline.predict.prompt_names import prompt_name
from faultline.predict.prompted import PromptPredictor
from faultline.types import LabelKind, LabelSpace, default_colours

Pixels = NDArray[np.uint8]
_SIDE = 320
_GAP = 6
_OWN_NAME = re.compile(r"(best|median|worst|false|several)-\d+-.*\.png")
TITLES = ("Picture", "Truth", "Prediction", "Overlay")


@dataclass(frozen=True, slots=True)
class Drawn:
    """One drawn example.

    Attributes:
        rank: `best`, `median`, `worst`, `false` (answer to something absent) or `several`.
        path: The PNG.
        caption: What it shows.
    """

    rank: str
    path: Path
    caption: str


def panel_row(views: Sequence[Pixels], titles: Sequence[str]) -> Pixels:
    """Views of one size in a row under their titles, on white: (h, w, 3)."""
    sized = [_at_side(view) for view in views]
    height, width = sized[0].shape[:2]
    font = ImageFont.load_default(15)
    lines = [textwrap.wrap(title, max(8, width // 8))[:3] or [""] for title in titles]
    header = 6 + 19 * max(len(some) for some in lines)
    total = len(sized) * width + (len(sized) - 1) * _GAP
    canvas = Image.new("RGB", (total, height + header), "white")
    draw = ImageDraw.Draw(canvas)
    for number, (view, some) in enumerate(zip(sized, lines, strict=True)):
        left = number * (width + _GAP)
        for row, text in enumerate(some):
            draw.text((left + 2, 2 + 19 * row), text, fill=(60, 72, 88), font=font)
        canvas.paste(Image.fromarray(view), (left, header))
    return np.asarray(canvas, dtype=np.uint8)


def four_panels(image: Pixels, truth: Pixels, mask: Pixels, name: str = "prompted") -> Pixels:
    """Picture, truth, prediction and overlay of one answer.

    Args:
        image: (H, W, 3) RGB.
        truth: (H, W) of 0, 1 and 255.
        mask: (H, W) of 0 and 1.
        name: Of the class.
    """
    space = LabelSpace(LabelKind.BINARY, (name,))
    views = (image, _black_white(without_ignored(truth)), _black_white(mask),
             draw_overlay(image, mask, space))  # fmt: skip
    return panel_row(views, TITLES)


def draw_answers(
    predictor: PromptPredictor, scores: PromptScores, folder: Path, *, each: int = 1
) -> list[Drawn]:
    """Write best, median and worst answers of each class, false answers, and comparisons.

    Pictures of an earlier evaluation in the same folder are removed.

    Raises:
        OutputError: The folder cannot be written.
    """
    _remove_own(folder)
    drawn: list[Drawn] = []
    for name in scores.shown:
        prompt = scores.table.classes[name].prompts[0]
        rows = [r for r in scores.rows if r["prompt"] == prompt and r["shown"] and "iou" in r]
        rows = sorted((r for r in rows if r["iou"] == r["iou"]), key=lambda r: -r["iou"])
        for rank, row in _ranked(rows, each):
            drawn += _draw_one(predictor, scores, folder, rank, row, len(drawn))
    false = [r for r in scores.rows if r.get("false_answer") and r["kind"] == MAIN]
    false.sort(key=lambda r: -r["painted_share"])
    for row in false[: 3 * each]:
        drawn += _draw_one(predictor, scores, folder, "false", row, len(drawn))
    return drawn + _draw_several(predictor, scores, folder, 2 * each, len(drawn))


def _ranked(rows: list[dict[str, object]], each: int) -> list[tuple[str, dict[str, object]]]:
    """(rank, row) of `each` best, median and worst, none twice."""
    if len(rows) < 3 * each:
        picked = [("best", 0), ("worst", len(rows) - 1)][: len(rows)]
        return [(rank, rows[number]) for rank, number in picked]
    middle = (len(rows) - each) // 2
    numbers = [("best", n) for n in range(each)]
    numbers += [("median", middle + n) for n in range(each)]
    numbers += [("worst", len(rows) - each + n) for n in range(each)]
    return [(rank, rows[number]) for rank, number in numbers]


def _draw_one(
    predictor: PromptPredictor,
    scores: PromptScores,
    folder: Path,
    rank: str,
    row: dict[str, object],
    number: int,
) -> list[Drawn]:
    item, prompt = scores.items[str(row["id"])], str(row["prompt"])
    try:
        image, truth = read_image(item.path), item.mask_of(str(row["class"]))
    except FaultlineError:
        return []  # it was there a minute ago; its scores stand, only the picture is lost
    answer = predictor.answer(image, [prompt])[0]
    path = folder / f"{rank}-{number + 1}-{_slug(item.id, prompt)}.png"
    write_picture(path, four_panels(image, truth, answer.mask, answer.meaning.name))
    said = (
        f"nothing of it is there, {100 * answer.share:.1f} % of the picture is painted"
        if rank == "false"
        else f"IoU {_number(row['iou'])}, precision {_number(row['precision'])}, "
        f"recall {_number(row['recall'])}"
    )
    return [Drawn(rank, path, f'{rank.capitalize()}: "{prompt}" on {item.id}: {said}')]


def _draw_several(
    predictor: PromptPredictor, scores: PromptScores, folder: Path, count: int, number: int
) -> list[Drawn]:
    """One picture per source under the main prompt of every class."""
    drawn: list[Drawn] = []
    seen: set[str] = set()
    prompts = [entry.prompts[0] for entry in scores.table.classes.values()]
    colours = default_colours(len(prompts))
    for item in scores.items.values():
        if item.source in seen or not item.parts or len(drawn) >= max(count, 3):
            continue
        seen.add(item.source)
        try:
            image = read_image(item.path)
        except FaultlineError:
            continue
        answers = predictor.answer(image, prompts)
        views = [image]
        for answer, colour in zip(answers, colours, strict=True):
            space = LabelSpace(LabelKind.BINARY, (answer.meaning.name,), (colour,))
            views.append(draw_overlay(image, answer.mask, space))
        path = folder / f"several-{number + len(drawn) + 1}-{_slug(item.id, 'prompts')}.png"
        write_picture(path, panel_row(views, ["Picture", *prompts]))
        shown = ", ".join(item.parts)
        caption = f"{item.id} shows {shown}; the same picture under {len(prompts)} prompts"
        drawn.append(Drawn("several", path, caption))
    return drawn


def _black_white(mask: Pixels) -> Pixels:
    return np.repeat((mask > 0).astype(np.uint8)[..., None] * np.uint8(255), 3, axis=2)


def _at_side(view: Pixels) -> Pixels:
    scale = _SIDE / max(view.shape[:2])
    size = (max(1, round(view.shape[1] * scale)), max(1, round(view.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(view, size, interpolation=how), dtype=np.uint8)


def _slug(name: str, prompt: str) -> str:
    stem = re.sub(r"[^\w.-]+", "_", Path(name).stem)[:60]
    return f"{stem}-{prompt_name(prompt)[:60]}".replace("%", "")


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) and value == value else "-"


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

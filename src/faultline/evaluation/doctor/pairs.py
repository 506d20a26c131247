"""Duplicates within and across splits, and a contact sheet of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from faultline.data.duplicates import MAX_DISTANCE, DuplicatePair, find_duplicates
from faultline.data.images import read_image
from faultline.data.manifest import Item, label_hash
from faultline.errors import FaultlineError
from faultline.evaluation.doctor.confirm import is_confirmed
from faultline.evaluation.doctor.report import DoctorReport, Level
from faultline.evaluation.words import counted

Pixels = NDArray[np.uint8]

MOST_SHOWN = 24
MOST_CONFIRMED = 300
"""Near pairs that get a second opinion; beyond so many, the data set is one of copies."""

_THUMBNAIL = 200
_CAPTION = 34
_GAP = 12
_COLUMNS = 3
_SURE_COLOUR = (200, 68, 60)
_OTHER_COLOUR = (93, 107, 122)


@dataclass(frozen=True, slots=True)
class _Row:
    """What is said of pairs of one kind."""

    crosses: bool
    exact: bool
    sure: bool
    level: Level
    code: str
    text: str


_SCORED = "a model would be scored on pictures that it was trained on"
_REGROUP = "set data.group_by=near_duplicates, so that they stay together"
FINDINGS = (
    _Row(True, True, True, "error", "duplicates-across-splits",
         f"{{pairs}} of equal files across {{splits}}: {_SCORED}. Delete one of each."),
    _Row(True, False, True, "error", "near-duplicates-across-splits",
         f"{{pairs}} of copies, turned, mirrored or altered, across {{splits}}: {_SCORED}. Move "
         "each pair to one split; or divide anew with data.split_strategy=grouped and "
         f"{_REGROUP}."),
    _Row(True, False, False, "warning", "possible-duplicates-across-splits",
         "{pairs} of look-alikes across {splits}, perhaps copies. Look at the contact sheet."),
    _Row(False, True, True, "warning", "duplicates-within-split",
         "{pairs} of equal files within {splits} that are not of one group: they weigh double. "
         f"Delete one of each; or {_REGROUP}."),
    _Row(False, False, True, "warning", "near-duplicates-within-split",
         "{pairs} of copies within {splits} that are not of one group, and would part when "
         f"validation pictures are taken from there: {_REGROUP}."),
    _Row(False, False, False, "info", "possible-duplicates-within-split",
         "{pairs} of look-alikes within {splits}, perhaps copies. Look at the contact sheet."),
)  # fmt: skip
"""In the order in which they are reported."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair and what is known of it.

    Attributes:
        pair: The two items.
        crosses: Whether they lie in different splits.
        sure: Whether they are copies for certain, not just alike.
    """

    pair: DuplicatePair
    crosses: bool
    sure: bool

    def __str__(self) -> str:
        distance = "" if self.pair.exact else f" (distance {self.pair.distance:.3f})"
        return f"{self.pair.a.id} = {self.pair.b.id}{distance}"


def check_duplicates(
    items: Sequence[Item], report: DoctorReport, *, near: bool = True, within: bool = True
) -> None:
    """Look for copies; those across splits are errors, as a score there would be of seen pictures.

    Copies within a split weigh double in training, and part when a validation share is taken
    from it, unless they are of one group. Pictures that are only alike are a warning.

    Args:
        items: Items whose pictures can be decoded.
        report: Findings, facts and the contact sheet are added to it.
        near: Also look for pictures that only look alike, not just for equal files.
        within: Also report pairs within a split.
    """
    pairs = find_duplicates(items, MAX_DISTANCE if near else 0.0)
    if not within:
        pairs = [pair for pair in pairs if pair.a.split != pair.b.split]
    judged = _judge(pairs)
    for row in FINDINGS:
        found = [
            entry
            for entry in judged
            if (entry.crosses, entry.pair.exact, entry.sure) == (row.crosses, row.exact, row.sure)
        ]
        if found:
            text = row.text.format(
                pairs=counted(len(found), "pair"), splits=" and ".join(_splits(found))
            )
            report.add(row.level, row.code, text, map(str, found))
    _check_labels(pairs, report)
    report.facts["duplicates"] = {
        "across_splits": sum(entry.crosses and entry.sure for entry in judged),
        "within_splits": sum(not entry.crosses and entry.sure for entry in judged),
        "possible": sum(not entry.sure for entry in judged),
        "same_group": len(pairs) - len(judged),
    }
    if judged:
        report.contact_sheet = contact_sheet(judged[:MOST_SHOWN])


def _judge(pairs: Sequence[DuplicatePair]) -> list[Judged]:
    """Pairs that matter, the worst first: across splits, then certain, then near."""
    judged: list[Judged] = []
    for pair in pairs:
        crosses = pair.a.split != pair.b.split and None not in (pair.a.split, pair.b.split)
        # Within a split, copies that are known to belong together do no harm.
        if crosses or pair.a.group != pair.b.group:
            judged.append(
                Judged(pair, crosses, len(judged) >= MOST_CONFIRMED or is_confirmed(pair))
            )
    return sorted(judged, key=lambda entry: (not entry.crosses, not entry.sure))


def _splits(entries: Sequence[Judged]) -> list[str]:
    names = {item.split for entry in entries for item in (entry.pair.a, entry.pair.b)}
    return sorted(name or "(no split)" for name in names)


def contact_sheet(pairs: Sequence[Judged]) -> Pixels:
    """(H, W, 3) picture with both members of each pair side by side under their names."""
    cells = [_cell(pair) for pair in pairs]
    height, width = cells[0].shape[:2]
    columns = min(_COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    sheet = np.full(
        (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, np.uint8
    )
    for index, cell in enumerate(cells):
        top = _GAP + index // columns * (height + _GAP)
        left = _GAP + index % columns * (width + _GAP)
        sheet[top : top + height, left : left + width] = cell
    return sheet


def _check_labels(pairs: Sequence[DuplicatePair], report: DoctorReport) -> None:
    """Equal pictures whose labels differ: at least one label is wrong."""
    same = (pair for pair in pairs if pair.exact)
    differing = [pair for pair in same if label_hash(pair.a) != label_hash(pair.b)]
    if differing:
        report.add(
            "error",
            "labels-contradict",
            f"{counted(len(differing), 'pair')} of equal pictures with different labels: at least "
            "one of each is wrong.",
            (f"{pair.a.id} = {pair.b.id}" for pair in differing),
        )


def _cell(entry: Judged) -> Pixels:
    canvas = Image.new("RGB", (2 * _THUMBNAIL + 4, _THUMBNAIL + _CAPTION), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(11)
    for index, item in enumerate((entry.pair.a, entry.pair.b)):
        left = index * (_THUMBNAIL + 4)
        canvas.paste(Image.fromarray(_thumbnail(item)), (left, 0))
        draw.text((left, _THUMBNAIL + 2), _short(item.id), fill=(31, 42, 55), font=font)
    same = "same file" if entry.pair.exact else f"distance {entry.pair.distance:.3f}"
    sure = "" if entry.sure else ", perhaps a copy"
    where = "across splits" if entry.crosses else "within a split"
    colour = _SURE_COLOUR if entry.crosses and entry.sure else _OTHER_COLOUR
    draw.text((0, _THUMBNAIL + 17), f"{same}, {where}{sure}", fill=colour, font=font)
    return np.asarray(canvas, dtype=np.uint8)


def _thumbnail(item: Item) -> Pixels:
    """The picture inside a square of `_THUMBNAIL` pixels; grey where it cannot be read."""
    square = np.full((_THUMBNAIL, _THUMBNAIL, 3), 235, np.uint8)
    try:
        image = read_image(item.path)
    except FaultlineError:
        return square
    scale = _THUMBNAIL / max(image.shape[:2])
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    top, left = (_THUMBNAIL - height) // 2, (_THUMBNAIL - width) // 2
    square[top : top + height, left : left + width] = small
    return square


def _short(name: str, most: int = 32) -> str:
    return name if len(name) <= most else f"{name[:9]}...{name[-(most - 12) :]}"

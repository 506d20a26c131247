"""Layer 4, first half: draw labels at random for a person to look at.

Document 2, section 5.2: 10 pictures of each class and tier; original, overlay, score and tier.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from faultline.data.images import read_image
from faultline.errors import ConfigError, DataError, FaultlineError
from faultline.evaluation.pages import render
from faultline.evaluation.panels import jpeg_uri
from faultline.files import write_text
from faultline.progress import progress_bar
from faultline.pseudolabel.channels import CHANNELS
from faultline.pseudolabel.quality import TIERS
from faultline.pseudolabel.records import Scored, data_root, scored_labels
from faultline.pseudolabel.store import LabelFolder, open_labels
from faultline.pseudolabel.views import label_view

SHEET_NAME = "spot_check.csv"
PAGE_NAME = "spot_check.html"
COLUMNS = ("id", "class", "tier", "score", "verdict")
ACCEPT, MARGINAL, REJECT = VERDICTS = ("accept", "marginal", "reject")
PER_CELL = 10


def spot_check(
    labels: Path,
    *,
    per_cell: int = PER_CELL,
    seed: int = 42,
    data: Path | None = None,
    again: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Write the page to look at and the table to fill in; return the table.

    A table that is there is kept, with what was filled in, unless `again`.

    Raises:
        ConfigError: `per_cell` is not positive.
        DataError: There are no labels, or the pictures are not there.
        OutputError: The files cannot be written.
    """
    if per_cell < 1:
        raise ConfigError(f"--per-cell is {per_cell}, must be at least 1")
    folder = open_labels(labels)
    sheet = folder.audit / SHEET_NAME
    if sheet.is_file() and not again:
        say(f"kept: {sheet} (--again draws anew)")
        chosen = _chosen_before(folder, sheet)
    else:
        chosen = draw_sample(scored_labels(folder), per_cell, seed)
        if not chosen:
            raise DataError("holds no labels", where=labels, remedy="make some first")
        _write_sheet(sheet, chosen)
    page = _write_page(folder, chosen, data_root(folder, data))
    say(f"{len(chosen)} labels to look at: {page}")
    say(f"fill in accept, marginal or reject: {sheet}")
    say(f"then: faultline pseudolabel verdict {labels}")
    return sheet


def draw_sample(labels: Sequence[Scored], per_cell: int, seed: int) -> list[Scored]:
    """Up to `per_cell` labels of each class and tier, at random; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    chosen: list[Scored] = []
    for name in sorted({label.class_name for label in labels}):
        for tier in TIERS:
            cell = [x for x in labels if x.class_name == name and x.tier == tier]
            cell.sort(key=lambda one: one.id)
            rows = rng.permutation(len(cell))[:per_cell]
            chosen += [cell[row] for row in sorted(rows)]
    return chosen


def read_sheet(path: Path) -> list[dict[str, str]]:
    """The rows of a table of verdicts.

    Raises:
        DataError: It is absent or no such table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"cannot be read: {error}", where=path, remedy="run `faultline pseudolabel check`"
        ) from error
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise DataError(
            f"has not the columns {', '.join(COLUMNS)}",
            where=path,
            remedy="save it as a comma-separated table, or run `check --again`",
        )
    return rows


def _chosen_before(folder: LabelFolder, sheet: Path) -> list[Scored]:
    by_id = {label.id: label for label in scored_labels(folder)}
    return [by_id[row["id"]] for row in read_sheet(sheet) if row["id"] in by_id]


def _write_sheet(path: Path, chosen: Sequence[Scored]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in chosen:
        writer.writerow([one.id, one.class_name, one.tier, f"{one.score:.3f}", ""])
    write_text(path, text.getvalue())


def _write_page(folder: LabelFolder, chosen: Sequence[Scored], root: Path) -> Path:
    shown = []
    with progress_bar("views") as progress:
        for number, one in enumerate(chosen, 1):
            shown.append({"label": one, "image": None, "fault": None, **_view(folder, one, root)})
            progress(number, len(chosen))
    pairs = zip(CHANNELS.names, CHANNELS.colours, strict=True)
    channels = [{"name": n, "colour": "#{:02x}{:02x}{:02x}".format(*c)} for n, c in pairs]
    page = folder.audit / PAGE_NAME
    write_text(page, render("spot_check.html.j2", shown=shown, channels=channels[1:]))
    return page


def _view(folder: LabelFolder, one: Scored, root: Path) -> dict[str, str]:
    try:
        label = folder.read(one.id)
        view = label_view(read_image(root / one.id), label.bits, label.confidence)
    except FaultlineError as error:
        return {"fault": str(error)}
    return {"image": jpeg_uri(view, max_width=900)}

"""What a folder of labels knows of itself: settings, scores of all pictures, and the chart."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from faultline.artifacts.figures import new_figure, save_figure
from faultline.errors import ConfigError, DataError
from faultline.files import write_json, write_text
from faultline.pseudolabel.quality import TIERS, Quality
from faultline.pseudolabel.store import LabelFolder

SCORES_NAME = "quality_scores.csv"
SETTINGS_NAME = "settings.json"
CHART_STEM = "tier_distribution"
_TIER_COLOURS = {"A": "#1f8a70", "B": "#b7791f", "C": "#c8443c"}
_FIRST = ("id", "class", "part", "tier", "score")


@dataclass(frozen=True, slots=True)
class Scored:
    """A label and what it is worth.

    Attributes:
        id: Of the picture: its path below the data set's root.
        class_name: Its class in the data set.
        part: "train" or "valid".
        tier: A, B or C.
        score: 0 to 1.
    """

    id: str
    class_name: str
    part: str
    tier: str
    score: float


def settings_key(values: Mapping[str, Any]) -> str:
    """Short hash of settings."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_settings(folder: LabelFolder) -> dict[str, Any]:
    """What the labels were made with; empty where nothing was made yet.

    Raises:
        DataError: The file is damaged.
    """
    path = folder.audit / SETTINGS_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", where=path) from error
    return values if isinstance(values, dict) else {}


def keep_settings(folder: LabelFolder, values: Mapping[str, Any]) -> None:
    """Write what labels are made with.

    Raises:
        ConfigError: The folder holds labels that were made with something else.
    """
    before = read_settings(folder)
    if before and before.get("key") != values["key"]:
        changed = sorted(k for k in values if k != "key" and before.get(k) != values[k])
        raise ConfigError(
            f"holds labels that were made with other settings ({', '.join(changed)} differ)",
            where=folder.root,
            remedy="choose another --output, or remove the folder",
        )
    write_json(folder.audit / SETTINGS_NAME, dict(values))


def data_root(folder: LabelFolder, given: Path | None = None) -> Path:
    """Where the pictures lie: `given`, or where they were when the labels were made.

    Raises:
        DataError: There is no such folder.
    """
    root = given or Path(str(read_settings(folder).get("data", "")))
    if not root.is_dir():
        raise DataError(
            f"the pictures are not at {str(root)!r}",
            where=folder.root,
            remedy="give --data with the folder of the data set",
        )
    return root


def write_scores(folder: LabelFolder, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write `quality_scores.csv`, one row a picture."""
    path = folder.audit / SCORES_NAME
    text = io.StringIO()
    names = list(dict.fromkeys([*_FIRST, *(key for row in rows for key in row)]))
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
    return path


def score_row(id: str, class_name: str, part: str, quality: Quality) -> dict[str, Any]:
    """One row of the table."""
    values = {
        key: round(value, 5) if isinstance(value, float) else value
        for key, value in quality.row().items()
    }
    return {"id": id, "class": class_name, "part": part, **values}


def read_scores(folder: LabelFolder) -> list[dict[str, str]]:
    """The rows of `quality_scores.csv`, as text.

    Raises:
        DataError: It is absent or is no such table.
    """
    path = folder.audit / SCORES_NAME
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"cannot be read: {error}",
            where=path,
            remedy="run `faultline pseudolabel make` to its end",
        ) from error
    if rows and not set(_FIRST) <= set(rows[0]):
        raise DataError(f"lacks a column of {', '.join(_FIRST)}", where=path)
    return rows


def scored_labels(folder: LabelFolder) -> list[Scored]:
    """Every label that the table knows, with the tier that it has now.

    Raises:
        DataError: The table or a tier is absent.
    """
    tiers = folder.tiers()
    return [
        Scored(row["id"], row["class"], row["part"], tiers[stem], float(row["score"]))
        for row in read_scores(folder)
        if (stem := str(Path(row["id"]).with_suffix("").as_posix())) in tiers
    ]


def write_chart(
    folder: LabelFolder, labels: Sequence[Scored], file_format: str = "png", dpi: int = 120
) -> Path:
    """Write the distribution of tiers of each class."""
    figure = tier_figure(labels)
    return save_figure(figure, folder.audit / CHART_STEM, file_format, dpi)


def tier_figure(labels: Sequence[Scored]) -> Figure:
    """Pictures of each class by tier, as stacked bars."""
    names = sorted({label.class_name for label in labels})
    figure = new_figure(7.0, 1.2 + 0.4 * max(1, len(names)))
    axes = figure.subplots()
    left = [0] * len(names)
    for tier in TIERS:
        counts = [sum(1 for x in labels if x.class_name == n and x.tier == tier) for n in names]
        axes.barh(names, counts, left=left, color=_TIER_COLOURS[tier], label=f"tier {tier}")
        for row, (start, count) in enumerate(zip(left, counts, strict=True)):
            if count:
                axes.text(start + count / 2, row, str(count), ha="center", va="center", color="w")
        left = [a + b for a, b in zip(left, counts, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("pictures")
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def tier_lines(labels: Sequence[Scored]) -> list[str]:
    """Pictures of each class by tier, for the console."""
    names = sorted({label.class_name for label in labels})
    width = max([len(name) for name in names] + [len("class")])
    lines = [f"{'class':<{width}}  " + "".join(f"{tier:>6}" for tier in TIERS)]
    for name in [*names, "all"]:
        chosen = [x for x in labels if name in (x.class_name, "all")]
        counts = [sum(1 for x in chosen if x.tier == tier) for tier in TIERS]
        lines.append(f"{name:<{width}}  " + "".join(f"{count:>6}" for count in counts))
    return lines

"""The findings as CSV, for spreadsheets and other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faultline.analysis.findings import Findings
from faultline.files import write_text

HEAT, FEATURES, ERRORS, REGIONS, SIDES = FOLDERS = (
    "gradcam_heatmaps", "feature_stats", "error_patterns", "class_attention_maps", "comparison",
)  # fmt: skip
"""Folders of the output, under the names of document 2, section 11."""


def write_tables(folder: Path, found: Findings) -> None:
    """Write every table that there is something for.

    Raises:
        OutputError: One cannot be written.
    """
    tables: list[tuple[str, list[dict[str, Any]]]] = [
        (f"{FEATURES}/stages.csv", _stages(found)),
        (f"{FEATURES}/cka.csv", [one.to_dict() for one in found.alike]),
        (f"{ERRORS}/pictures.csv", picture_rows(found)),
        (f"{ERRORS}/pairs.csv", [one.to_dict() for one in found.pairs]),
        (f"{ERRORS}/gaps.csv", [one.to_dict() for one in found.gaps]),
        (f"{REGIONS}/heat_share.csv", [one.to_dict() for one in found.attention]),
        (f"{SIDES}/scores.csv", _scores(found)),
        (f"{SIDES}/differences.csv", _differences(found)),
    ]
    for name, rows in tables:
        if rows:
            write_text(folder / name, as_csv(list(rows[0]), rows))
        else:
            (folder / name).unlink(missing_ok=True)  # of an earlier analysis


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV; numbers with six digits, empty where not defined."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in columns])
    return stream.getvalue()


def picture_rows(found: Findings) -> list[dict[str, Any]]:
    """One row a validation picture: its pattern, its truth, and what every run said."""
    together = found.together
    rows = []
    for place, (pattern, alone) in enumerate(found.patterns):
        said = {run: together.words(together.decided[k, place])
                for k, run in enumerate(together.runs)}  # fmt: skip
        rows.append({
            "id": together.ids[place], "group": together.groups[place],
            "truth": together.words(together.truth[place]), "pattern": pattern,
            "alone": together.runs[alone] if alone >= 0 else "", **said,
        })  # fmt: skip
    return rows


def _stages(found: Findings) -> list[dict[str, Any]]:
    names = ("channels", "mean", "spread", "magnitude", "units", "dead", "dead_share")
    return [
        {"run": run, "stage": one.name, **{name: getattr(one, name) for name in names}}
        for run, seen in zip(found.runs, found.observed, strict=True)
        for one in seen.stages
    ]


def _scores(found: Findings) -> list[dict[str, Any]]:
    return [
        {"run": one.run.name, "against": int(one.run.side), "part": one.part, "score": name,
         **value.to_dict()}
        for one in found.scored for name, value in one.scores.items()
    ]  # fmt: skip


def _differences(found: Findings) -> list[dict[str, Any]]:
    return [
        {"first": one.first, "second": one.second, "part": one.part, "score": name,
         **value.to_dict()}
        for one in found.against for name, value in one.differences.items()
    ]  # fmt: skip


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return value

"""The summary as tables: rows of text for pages, and of numbers for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultline.experiments.best import Lead
from faultline.experiments.groups import TEST, VALIDATION, Block, Group, Spread, scores_of
from faultline.experiments.points import FINISHED
from faultline.experiments.runs import Run
from faultline.experiments.scores import main_scores
from faultline.experiments.settings import shown

_FACTS = {
    "parameters": ("parameters", 1.0, ",.0f"),
    "flops": ("GFLOPs", 1e-9, ".2f"),
    "seconds": ("minutes", 1 / 60, ".1f"),
    "steps": ("steps", 1.0, ",.0f"),
    "images_per_second": ("images/s", 1.0, ".1f"),
    "memory_mib": ("MiB", 1.0, ",.0f"),
    "gpu_memory_mib": ("GPU MiB", 1.0, ",.0f"),
    "test_seconds_per_image": ("ms per picture", 1e3, ".1f"),
}
"""Fact -> (title, factor, format) of a column; those that no run has are left out."""


@dataclass(frozen=True)
class Cell:
    """One cell of a page.

    Attributes:
        text: What it shows.
        best: Whether it is marked.
    """

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table of a page: titles of columns, and rows of as many cells."""

    titles: list[str]
    rows: list[list[Cell]]


def group_table(block: Block, leading: Mapping[str, Lead]) -> Table:
    """One row per group: mean and deviation of scores, and what they cost."""
    scores = main_scores(block.kind, block.scores, block.metric.name)
    facts = _known_facts([run for group in block.groups for run in group.runs])
    titles = [*block.keys, "runs", *(f"{block.part} {name}" for name in scores)]
    rows = []
    for index, group in enumerate(block.groups):
        cells = [Cell(group.settings[key]) for key in block.keys]
        cells.append(Cell(_counted(group)))
        for name in scores:
            lead = leading.get(name)
            marked = lead is not None and lead.supported and lead.best == index
            cells.append(Cell(with_deviation(group.spread(block.part, name)), marked))
        cells += [Cell(_fact(name, group.fact(name))) for name in facts]
        rows.append(cells)
    return Table([*titles, *(_FACTS[name][0] for name in facts)], rows)


def run_table(block: Block) -> Table:
    """One row per run."""
    runs = [(group, run) for group in block.groups for run in group.runs]
    scores = main_scores(block.kind, block.scores, block.metric.name)
    facts = _known_facts([run for _, run in runs])
    metric = block.metric.name
    chosen = [] if block.part == VALIDATION else [metric]
    titles = ["run", "status", "seed", *block.keys, *(f"{block.part} {name}" for name in scores)]
    titles += [f"validation {name}" for name in chosen]
    rows = []
    for group, run in runs:
        own = scores_of(run, block.part)
        cells = [run.name, run.status, shown(run.seed), *group.settings.values()]
        cells += [_score(own.get(name)) for name in scores]
        cells += [_score(run.validation.get(name)) for name in chosen]
        cells += [_number(name, run.facts.get(name)) for name in facts]
        rows.append([Cell(text) for text in cells])
    return Table([*titles, *(_FACTS[name][0] for name in facts)], rows)


def runs_csv(blocks: Sequence[Block]) -> str:
    """One row per run, with every number that is known of it."""
    rows = []
    for block in blocks:
        for group in block.groups:
            for run in group.runs:
                rows.append(_run_row(block, group, run))
    return _csv(rows)


def groups_csv(blocks: Sequence[Block], leading: Sequence[Mapping[str, Lead]]) -> str:
    """One row per group and score: mean, deviation, number of runs, and whether it is marked."""
    rows: list[dict[str, Any]] = []
    for block, leads in zip(blocks, leading, strict=True):
        for index, group in enumerate(block.groups):
            place = {"kind": block.kind, "data": block.data, "group": group.label,
                     **group.settings, "part": block.part}  # fmt: skip
            for name in block.scores:
                spread = group.spread(block.part, name)
                if spread is None:
                    continue
                lead = leads.get(name)
                best = int(lead is not None and lead.supported and lead.best == index)
                rows.append({**place, "score": name, "mean": spread.mean, "std": spread.std,
                             "runs": spread.count, "best": best})  # fmt: skip
    return _csv(rows)


def markdown(table: Table) -> list[str]:
    """Lines of a Markdown table."""
    numbers = [_is_number([row[index].text for row in table.rows])
               for index in range(len(table.titles))]  # fmt: skip
    lines = [_markdown_row(table.titles)]
    lines.append("|" + "|".join("---:" if number else "---" for number in numbers) + "|")
    for row in table.rows:
        lines.append(
            _markdown_row([f"**{cell.text}**" if cell.best else cell.text for cell in row])
        )
    return lines


def with_deviation(spread: Spread | None) -> str:
    """`0.731 ± 0.012`; a dash where nothing is known."""
    if spread is None:
        return "-"
    mean = _score(spread.mean)
    return mean if spread.std is None else f"{mean} ± {_score(spread.std)}"


def _run_row(block: Block, group: Group, run: Run) -> dict[str, Any]:
    test = {} if run.test is None else run.test.values
    return {
        "run": run.name,
        "status": run.status,
        "kind": run.kind,
        "data": block.data,
        "model": run.model,
        "seed": run.seed,
        "group": group.label,
        **group.settings,
        "selected_by": run.metric.name,
        **{f"{VALIDATION}/{name}": value for name, value in run.validation.items()},
        **{f"{TEST}/{name}": value for name, value in test.items()},
        **run.facts,
        "test_set": None if run.test is None else Path(run.test.name).name,
        "path": str(run.path),
    }


def _known_facts(runs: Sequence[Run]) -> list[str]:
    return [name for name in _FACTS if any(name in run.facts for run in runs)]


def _counted(group: Group) -> str:
    finished = sum(run.status == FINISHED for run in group.runs)
    return str(finished) if finished == len(group.runs) else f"{finished} of {len(group.runs)}"


def _fact(name: str, spread: Spread | None) -> str:
    return _number(name, None if spread is None else spread.mean)


def _number(name: str, value: float | None) -> str:
    _, factor, style = _FACTS[name]
    return "-" if value is None else format(factor * value, style)


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _is_number(texts: Sequence[str]) -> bool:
    first = [text.split(" ")[0].replace(",", "") for text in texts if text != "-"]
    return bool(first) and all(text.replace(".", "").replace("-", "").isdigit() for text in first)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()

"""What `faultline summarize` does: many run folders in, three pages and two tables out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import faultline
from faultline.evaluation.pages import render
from faultline.evaluation.panels import data_uri
from faultline.experiments.best import Lead, leads
from faultline.experiments.cost import flops_of
from faultline.experiments.groups import Block, make_blocks
from faultline.experiments.learning_curves import choose_runs, plot_runs
from faultline.experiments.runs import Broken, Run, read_runs
from faultline.experiments.tables import (
    group_table,
    groups_csv,
    markdown,
    run_table,
    runs_csv,
)
from faultline.files import write_text

RULE = (
    "Means and standard deviations are over finished runs that differ in nothing but their seed. "
    "A mean is marked only where the 95 % interval of its difference to each of the other groups "
    "excludes 0: Student's t over pairs of equal seed and, where the counts of the test pictures "
    "are there, a bootstrap of these as well. Runs of one seed are never marked."
)


@dataclass(frozen=True)
class Summary:
    """Everything that a page shows.

    Attributes:
        root: What was read.
        blocks: Runs that may be compared, together.
        leading: For each block, the leading group by score.
        broken: Folders that cannot be read.
        notes: What a reader should know.
        curves: A plot of chosen runs; None without.
    """

    root: str
    blocks: list[Block]
    leading: list[dict[str, Lead]]
    broken: list[Broken]
    notes: list[str]
    curves: Path | None = None

    @property
    def runs(self) -> list[Run]:
        """All runs that could be read."""
        return [run for block in self.blocks for group in block.groups for run in group.runs]

    @property
    def counts(self) -> str:
        """How many runs of each status."""
        found = Counter(run.status for run in self.runs)
        listed = ", ".join(f"{count} {status}" for status, count in found.most_common())
        runs = "1 run" if len(self.runs) == 1 else f"{len(self.runs)} runs"
        return f"{runs}: {listed}" if found else "no run could be read"


def summarize(
    paths: Sequence[str | Path],
    *,
    save: str | Path | None = None,
    curves: Sequence[str] = (),
    group_by: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> Summary:
    """Read every run in `paths` and below, and write the tables (and `curves.png`).

    Args:
        paths: Run folders or folders above them.
        save: Output folder; the first of `paths` by default.
        curves: Runs to plot: names, paths, folders of them, or `all`.
        group_by: Settings that make a group; by default all that differ but the seed.
        say: Takes lines of text.

    Raises:
        ConfigError: There is no run, no such run or no such setting.
        OutputError: The folder cannot be written.
    """
    runs, broken = read_runs(paths)
    flops, notes = flops_of(runs)
    runs = [replace(run, facts={**run.facts, "flops": float(flops[run.path])})
            if run.path in flops else run for run in runs]  # fmt: skip
    folder = Path(save) if save is not None else Path(paths[0])
    chosen = choose_runs(runs, curves)
    blocks = make_blocks(runs, group_by)
    summary = Summary(
        root=", ".join(str(path) for path in paths),
        blocks=blocks,
        leading=[leads(block) for block in blocks],
        broken=broken,
        notes=[*_versions(runs), *notes],
        curves=plot_runs(chosen, folder) if chosen else None,
    )
    write_text(folder / "summary.csv", runs_csv(blocks))
    write_text(folder / "groups.csv", groups_csv(blocks, summary.leading))
    write_text(folder / "summary.md", "\n".join(page_lines(summary)) + "\n")
    write_text(folder / "summary.html", html_page(summary))
    for line in broken:
        say(f"left out {line.path}: {line.reason}")
    return summary


def page_lines(summary: Summary) -> list[str]:
    """The summary as lines of Markdown."""
    lines = [f"# Runs in {summary.root}", "", f"{summary.counts}.", ""]
    for block, leading in zip(summary.blocks, summary.leading, strict=True):
        lines += [*group_lines(block, leading), ""]
        lines += ["### Every run", "", *markdown(run_table(block)), ""]
    if summary.curves is not None:
        lines += ["## Curves", "", f"![Curves of chosen runs]({summary.curves.name})", ""]
    if summary.broken:
        lines += ["## Left out", ""]
        lines += [f"- `{one.path}`: {one.reason}" for one in summary.broken] + [""]
    return [*lines, RULE, *(f"\n{note}." for note in summary.notes)]


def group_lines(block: Block, leading: dict[str, Lead]) -> list[str]:
    """The means of a block as lines of Markdown."""
    table = markdown(group_table(block, leading))
    listed = [f"- {line}" for line in _lead_lines(leading)]
    return [f"## {_title(block)}", "", *table, *(["", *listed] if listed else [])]


def html_page(summary: Summary) -> str:
    """The summary as one self-contained page."""
    sections = [
        {
            "title": _title(block),
            "groups": group_table(block, leading),
            "leads": _lead_lines(leading),
            "runs": run_table(block),
        }
        for block, leading in zip(summary.blocks, summary.leading, strict=True)
    ]
    picture = summary.curves
    return render(
        "summary.html.j2",
        title=f"Runs in {summary.root}",
        counts=summary.counts,
        sections=sections,
        curves=None if picture is None else data_uri(picture.read_bytes(), "image/png"),
        broken=[{"path": str(one.path), "reason": one.reason} for one in summary.broken],
        rule=RULE,
        notes=summary.notes,
        version=faultline.__version__,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _title(block: Block) -> str:
    return f"{block.kind.capitalize()}: {block.data}"


def _lead_lines(leading: dict[str, Lead]) -> list[str]:
    return [f"{name}, {'marked' if lead.supported else 'not marked'}: {lead.reason}"
            for name, lead in leading.items()]  # fmt: skip


def _versions(runs: Sequence[Run]) -> list[str]:
    hashes = {run.package for run in runs if run.package}
    if len(hashes) < 2:
        return []
    return [f"The runs were made by {len(hashes)} different versions of this package"]

"""The page of an analysis: one HTML file without references to anything outside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import faultline
from faultline.analysis.charts import Charts
from faultline.analysis.findings import Findings, looked_at
from faultline.analysis.mistakes import ALL_WRONG
from faultline.analysis.sides import SCORES
from faultline.analysis.tables import picture_rows
from faultline.analysis.words import empty_sentences, gap_sentences, headline, region_sentences
from faultline.evaluation.curves import Chart
from faultline.evaluation.pages import render
from faultline.evaluation.panels import data_uri
from faultline.evaluation.words import counted, interval, number, percent

_MOST = 60
Section = dict[str, Any]


def analysis_page(found: Findings, charts: Charts) -> str:
    """The page."""
    subject = found.plan.subject
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    sections = [
        _section("Where the runs look", [_HEAT, *empty_sentences(found)], charts.grid),
        _section("Single pictures", [], charts.examples),
        _section("Object or background", region_sentences(found), charts.regions,
                 [_attention_table(found)]),
        _section("Features", [_features(found)], charts.features, [_stage_table(found)]),
        _section("Mistakes", _mistake_sentences(found), charts.errors,
                 [_pair_table(found), _confusion_table(found), _hard_table(found)]),
        _section("Training against validation", gap_sentences(found.gaps), [], [_gap_table(found)]),
        _section("Scores", _side_sentences(found), charts.sides,
                 [_score_table(found), _difference_table(found)]),
    ]  # fmt: skip
    return render(
        "analysis.html.j2",
        title=f"What {counted(len(found.runs), 'run')} learnt on {subject.root.name}",
        meta=[", ".join(found.runs), written],
        looked_at=looked_at(found.plan),
        headline=headline(found),
        sections=sections,
        problems=[{"file": file, "reason": reason} for file, reason in found.problems()],
        version=faultline.__version__,
        written=written,
    )


_HEAT = (
    "Grad-CAM of the last stage (Selvaraju et al. 2017): evidence for the class in the title of "
    "the column, whether the run named it or not."
)


def _section(
    title: str, sentences: Sequence[str], charts: Sequence[Chart], tables: Sequence[Section] = ()
) -> Section:
    figures = [
        {"title": one.title, "caption": one.caption, "uri": data_uri(one.png, "image/png")}
        for one in charts
    ]
    used = [table for table in tables if table["rows"]]
    return {"title": title, "sentences": list(sentences), "figures": figures, "tables": used}


def _table(title: str, columns: list[str], rows: list[list[str]]) -> Section:
    left = len(rows) - _MOST
    note = f"{left} more rows are in the CSV." if left > 0 else ""
    return {"title": title, "columns": columns, "rows": rows[:_MOST], "note": note}


def _attention_table(found: Findings) -> Section:
    rows = [
        [row.run, row.class_name, row.region, str(row.pictures), percent(row.heat),
         percent(row.area), f"{100 * row.gain:+.0f}",
         "–" if row.low != row.low else f"{100 * row.low:+.0f} to {100 * row.high:+.0f}",
         row.verdict]
        for row in found.attention
    ]  # fmt: skip
    columns = ["Run", "Class", "Region", "Pictures", "Heat in it", "Its area", "Difference, points",
               "95 % interval", "Looks at"]  # fmt: skip
    return _table("Share of the heat", columns, rows)


def _stage_table(found: Findings) -> Section:
    rows = [
        [run, one.name, str(one.channels), number(one.mean), number(one.spread),
         f"{one.dead} of {one.units}", percent(one.dead_share, 1)]
        for run, seen in zip(found.runs, found.observed, strict=True) for one in seen.stages
    ]  # fmt: skip
    columns = ["Run", "Stage", "Channels", "Mean", "Spread", "Dead", "Share"]
    return _table("Activations", columns, rows)


def _features(found: Findings) -> str:
    pictures = min(len(one.pictures) for one in found.observed)
    alone = "" if len(found.runs) > 1 else " One run alone has nothing to be compared with."
    return (
        f"Over {counted(pictures, 'picture')}, from the forward pass that gives the answers; "
        f"features of a picture are the means of channels over its places.{alone}"
    )


def _mistake_sentences(found: Findings) -> list[str]:
    total = len(found.patterns)
    listed = ", ".join(f"{name} {count}" for name, count in found.counted().most_common())
    return [
        f"Of {counted(total, 'validation picture')}: {listed}.",
        "No run was trained on these pictures, but epochs and thresholds were chosen on them.",
    ]


def _pair_table(found: Findings) -> Section:
    rows = [
        [one.first, one.second, percent(one.disagreement), number(one.kappa, 2),
         number(one.error_overlap, 2), number(one.confusion_overlap, 2)]
        for one in found.pairs
    ]  # fmt: skip
    columns = ["Run", "Run", "Answers differ", "Cohen's kappa", "Same pictures wrong",
               "Same confusions"]  # fmt: skip
    return _table("Every two runs", columns, rows)


def _confusion_table(found: Findings) -> Section:
    rows = [[words, *map(str, counts)] for words, counts in found.confusions]
    title = "Mistakes that every run makes" if len(found.runs) > 1 else "Most frequent mistakes"
    return _table(title, ["Mistake", *found.runs], rows)


def _hard_table(found: Findings) -> Section:
    rows = [
        [row["id"], row["truth"], row["pattern"], row["alone"] or "–",
         *(row[run] for run in found.runs)]
        for row in picture_rows(found)
        if row["pattern"] == ALL_WRONG or row["alone"]
    ]  # fmt: skip
    columns = ["Picture", "Truth", "Pattern", "Which run", *found.runs]
    return _table("Hard pictures, and those where one run stands alone", columns, rows)


def _gap_table(found: Findings) -> Section:
    rows = [
        [one.run, f"{percent(one.train, 1)} of {one.train_pictures}",
         f"{percent(one.valid, 1)} of {one.valid_pictures}", f"{100 * one.gap:+.1f}", one.status]
        for one in found.gaps
    ]  # fmt: skip
    return _table("Accuracy", ["Run", "Training", "Validation", "Gap, points", "Status"], rows)


def _side_sentences(found: Findings) -> list[str]:
    if not any(run.side for run in found.plan.subject.runs):
        return ["Give runs to compare with by --against for differences with intervals."]
    tested = any(one.part == "test" for one in found.against)
    return [] if tested else [
        "No two opposite runs have been scored by `faultline evaluate` on the same test pictures: "
        "compared on validation alone, on which epochs and thresholds were chosen."
    ]  # fmt: skip


def _score_table(found: Findings) -> Section:
    rows = [
        [one.run.name, "against" if one.run.side else "first", one.part,
         *(f"{number(one.scores[name].value)} ({interval(one.scores[name].to_dict())})"
           for name in SCORES)]
        for one in found.scored
    ]  # fmt: skip
    return _table("Every run", ["Run", "Side", "Part", *SCORES.values()], rows)


def _difference_table(found: Findings) -> Section:
    rows = [
        [f"{one.first} minus {one.second}", one.part, SCORES.get(name, f"F1 of {name}"),
         f"{value.value:+.3f}", f"{value.low:+.3f} to {value.high:+.3f}",
         "yes" if value.excludes_zero else "no"]
        for one in found.against for name, value in one.differences.items()
    ]  # fmt: skip
    columns = ["Difference", "Part", "Score", "Value", "95 % interval", "Shown"]
    return _table("First minus against, on the same pictures", columns, rows)

"""The numbers of an ensemble: `results.json`, `stages.csv` and the plot."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faultline.artifacts import provenance
from faultline.artifacts.figures import save_figure
from faultline.config.schema import Config
from faultline.ensemble.audit import AUDIT_NAME, Audit
from faultline.ensemble.decisions import scores_of
from faultline.ensemble.fitting import Fitted, Scored, Skipped
from faultline.ensemble.members import Member
from faultline.ensemble.plan import Division, Rules
from faultline.ensemble.plots import stage_plot
from faultline.evaluation.classification.results import score_tables
from faultline.files import write_json, write_text
from faultline.metrics import (
    ClassificationScores,
    macro_f1_of_counts,
    paired_difference_interval,
)
from faultline.metrics.inputs import Floats
from faultline.tasks import CLASSIFICATION

RESULTS_NAME, TABLE_NAME, PLOT_NAME = "results.json", "stages.csv", "stages"
SHOWN = ("subset_accuracy", "macro_f1")
Results = dict[str, Any]


def run_results(
    configs: dict[str, Config], rules: Rules, division: Division, members: Sequence[Member],
    fitted: Sequence[Scored], skipped: Sequence[Skipped], best: Fitted | None,
    test: Sequence[Floats] | None, audit: Audit,
) -> Results:  # fmt: skip
    """What `results.json` holds; without `test` there is no number of the test part in it."""
    prepared = division.prepared
    config = next(iter(configs.values()))
    rows = [
        _stage_row(one, division, rules, None if test is None else test[number])
        for number, one in enumerate(fitted)
    ]
    return {
        "schema": 1,
        "task": CLASSIFICATION,
        "status": "finished" if test is not None else "blocked",
        "kind": prepared.label_space.kind.value,
        "images": {name: len(getattr(prepared, name)) for name in ("train", "valid", "test")},
        "chosen": None if best is None else best.candidate.label,
        "chosen_stage": None if best is None else best.candidate.number,
        "stages": sorted(rows, key=lambda row: int(row["stage"])),
        "skipped": [
            {"stage": one.candidate.number, "name": one.candidate.label, "reason": one.reason}
            for one in skipped
        ],
        "gain": None if test is None or best is None else _gain(fitted, best, test, division),
        "members": [
            {
                "name": member.name,
                "seconds": member.seconds,
                "mask_iou": member.mask_iou,
                "runs": {name: str(path) for name, path in member.runs.items()},
            }
            for member in members
        ],
        "leakage": {"file": AUDIT_NAME, **_counts(audit)},
        "rules": rules.to_dict(),
        "data": {
            "name": Path(str(config.data.root)).name,
            "root": str(config.data.root),
            "fingerprint": prepared.fingerprint,
            "test_fingerprint": division.test_fingerprint,
            "label_space": prepared.label_space.to_dict(),
        },
        "problems": [{"file": one.file, "reason": one.reason} for one in prepared.problems],
        "config": {name: dataclasses.asdict(one) for name, one in configs.items()},
        "provenance": provenance.collect(
            seed=rules.seed, data_fingerprint=prepared.fingerprint,
            precision=config.trainer.precision,
        ),
    }  # fmt: skip


def _counts(audit: Audit) -> dict[str, int]:
    return {f"{status}s": audit.count(status) for status in ("violation", "halt", "warning")}


def _stage_row(one: Scored, division: Division, rules: Rules, test: Floats | None) -> Results:
    prepared, candidate = division.prepared, one.candidate
    return {
        "stage": candidate.number,
        "name": candidate.label,
        "settings": one.settings(),
        "facts": one.facts(),
        "threshold": one.threshold.to_dict(),
        "train": one.train_brief.to_dict(),
        "valid": _tables(one, one.valid, division, prepared.valid, rules.seed),
        "test": None if test is None else _tables(one, test, division, prepared.test, rules.seed),
    }


def _scores(one: Scored, answers: Floats, division: Division, items: Any) -> ClassificationScores:
    space = division.prepared.label_space
    return scores_of(answers, division.rows(items).truth, space, one.threshold)


def _tables(one: Scored, answers: Floats, division: Division, items: Any, seed: int) -> Results:
    scores = _scores(one, answers, division, items)
    return score_tables(scores, [item.group for item in items], one.threshold, seed=seed)


def _gain(
    fitted: Sequence[Scored], best: Fitted, test: Sequence[Floats], division: Division
) -> Results:
    """Macro-F1 on test of what was chosen minus that of the member best on validation."""
    alone = max(
        (one for one in fitted if one.candidate.number == 1),
        key=lambda one: one.valid_brief.macro_f1,
    )
    items = division.prepared.test
    both = [
        _scores(one, test[fitted.index(one)], division, items).counts() for one in (best, alone)
    ]
    groups = [item.group for item in items]
    found = paired_difference_interval(both[0], both[1], macro_f1_of_counts, groups=groups)
    return {"over": alone.candidate.label, "macro_f1": found.to_dict()}


def write_results(folder: Path, results: Results, config: Config) -> None:
    """Write results, table and plot.

    Raises:
        OutputError: They cannot be written.
    """
    write_text(folder / TABLE_NAME, _table(results))
    if results["stages"]:
        settings = config.evaluation
        save_figure(
            stage_plot(results), folder / "plots" / PLOT_NAME, settings.plot_format, settings.dpi
        )
    # Last: whoever finds it finds the rest.
    write_json(folder / RESULTS_NAME, results)


def _table(results: Results) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = [
        f"{part}_{name}{end}"
        for part in ("valid", "test")
        for name in SHOWN
        for end in ("", "_low", "_high")
    ]
    writer.writerow(["stage", "name", *columns, "chosen", "skipped"])
    for row in results["stages"]:
        cells = [
            "" if row[part] is None else f"{row[part]['summary'][name][end]:.6f}"
            for part in ("valid", "test")
            for name in SHOWN
            for end in ("value", "low", "high")
        ]
        chosen = int(row["name"] == results["chosen"])
        writer.writerow([row["stage"], row["name"], *cells, chosen, ""])
    for row in results["skipped"]:
        empty = [""] * len(columns)
        writer.writerow([row["stage"], row["name"], *empty, 0, row["reason"]])
    return stream.getvalue()


def table_lines(results: Results) -> list[str]:
    """The stages as lines for the console."""
    width = max((len(row["name"]) for row in results["stages"]), default=4)
    head = f"  stage  {'name':<{width}}  {'accuracy':>17}  {'macro-F1':>17}"
    lines = [head, f"         {'':<{width}}  {'valid':>8}{'test':>9}  {'valid':>8}{'test':>9}"]
    for row in results["stages"]:
        cells = [_cell(row[part], name) for name in SHOWN for part in ("valid", "test")]
        mark = "  chosen" if row["name"] == results["chosen"] else ""
        lines.append(
            f"  {row['stage']:>5}  {row['name']:<{width}}  {cells[0]:>8}{cells[1]:>9}  "
            f"{cells[2]:>8}{cells[3]:>9}{mark}"
        )
    return lines


def _cell(part: Results | None, name: str) -> str:
    return "-" if part is None else f"{part['summary'][name]['value']:.3f}"

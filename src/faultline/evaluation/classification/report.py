"""The report of a classification: one HTML file that an engineer can send to a client."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

import faultline
from faultline.artifacts.bundle import Bundle
from faultline.evaluation import plots
from faultline.evaluation.classification import words
from faultline.evaluation.classification.pictures import DrawnExample
from faultline.evaluation.classification.scoring import ClassRun
from faultline.evaluation.curves import Chart, CurveFigure, Curves
from faultline.evaluation.pages import render
from faultline.evaluation.panels import data_uri, jpeg_uri
from faultline.evaluation.report_facts import Facts, data_sentences, duration, moment, reproduce
from faultline.evaluation.words import counted, interval, number, percent
from faultline.metrics.ranking import precision_recall

Results = dict[str, Any]

_MOST_CURVES = 20
_WORDS = {"right": "Found", "missed": "Missed", "false": "False alarm"}
_CARDS = (
    ("macro_f1", "Macro-F1"), ("micro_f1", "Micro-F1"), ("subset_accuracy", "Wholly right"),
    ("macro_average_precision", "Mean average precision"),
)  # fmt: skip


def report_page(
    results: Results,
    bundle: Bundle,
    drawn: Sequence[DrawnExample],
    charts: Sequence[Chart],
    parameters: int,
    without: str | None,
) -> str:
    """The whole report as HTML with no reference to anything outside it.

    Args:
        results: As `summarise` returned them.
        bundle: What was evaluated.
        drawn: Examples to show.
        charts: Plots to show.
        parameters: Number of weights of the model.
        without: Why there is no Grad-CAM, if there is none.
    """
    facts = [
        ("Data set", results["data"]["name"]),
        ("Pictures scored", f"{results['images']:,} in {results['groups']:,} groups"),
        ("Classes", ", ".join(row["name"] for row in results["classes"])),
        ("Split", str(results["data"]["split_hash"] or "of another data set")[:16]),
    ]
    return page(
        results,
        eyebrow="Classification report",
        title=f"Defects named on {results['data']['name']}",
        meta=[
            f"{counted(results['images'], 'picture')} ({results['split']})",
            f"model {bundle.model_name}",
        ],
        charts=charts,
        examples=_examples(drawn, results),
        example_sentences=_example_sentences(without),
        data={"sentences": data_sentences(results), "facts": facts},
        model_card=model_card(results, bundle, parameters),
        reproduce=reproduce(results, bundle),
        files="metrics_test.json, results.json and per_image.csv",
    )


def page(
    results: Results,
    *,
    charts: Sequence[Chart],
    meta: list[str],
    more_tables: Sequence[dict[str, Any]] = (),
    **values: Any,
) -> str:
    """The page of one evaluation or of a cross-validation."""
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return render(
        "classification.html.j2",
        meta=[*meta, written],
        verdict=words.verdict(results),
        cards=_cards(results),
        tables=[_class_table(results), _summary_table(results),
                *_share_table(results), *_balance_table(results), *more_tables],
        figures=[_chart(chart) for chart in charts],
        problems=results["problems"],
        limits=words.limits(results),
        version=faultline.__version__,
        written=written,
        **values,
    )  # fmt: skip


def class_curves(run: ClassRun, results: Results) -> Curves:
    """Matrix, precision over recall of each class, and reliability."""
    scores, matrix = run.scores, results["matrix"]
    confusion = matrix["kind"] == "confusion"
    shown = [index for index in range(len(scores.names)) if scores.truth[:, index].any()]
    lines = {
        scores.names[index]: precision_recall(scores.probability[:, index], scores.truth[:, index])
        for index in shown[:_MOST_CURVES]
    }
    calibration = results["calibration"]
    return [
        CurveFigure(
            "matrix",
            "Confusion matrix" if confusion else "Co-occurrence",
            "Pictures by truth (row) and answer (column)." if confusion else
            "Pictures that show the row's class and are said to show the column's. A picture of "
            "several classes stands in several cells, so cells off the diagonal are mistakes "
            "only where the classes do not occur together.",
            plots.matrix_figure(matrix["names"], matrix["rows"]),
        ),
        CurveFigure(
            "pr_classes",
            "Precision and recall of each class",
            "At every threshold.",
            plots.class_curves_figure(lines),
        ),
        CurveFigure(
            "reliability",
            "Reliability",
            words.calibration_sentence(results),
            plots.reliability_figure(
                np.asarray(calibration["confidence"]),
                np.asarray(calibration["observed"]),
                np.asarray(calibration["count"]),
                calibration_error=calibration["ece"],
                counted="Answers",
            ),
        ),
    ]  # fmt: skip


def _cards(results: Results) -> list[dict[str, str]]:
    summary = results["summary"]
    return [
        {
            "name": name,
            "value": number(summary[key]["value"]),
            "interval": f"95 %: {interval(summary[key])}" if interval(summary[key]) else "",
        }
        for key, name in _CARDS
    ]


def _class_table(results: Results) -> dict[str, Any]:
    rows = []
    for row in results["classes"]:
        ends = interval({"low": row["f1_low"], "high": row["f1_high"]})
        threshold = "" if row["threshold"] is None else f"{row['threshold']:.3f}"
        rows.append([
            row["name"], f"{row['support']:,}", f"{row['predicted']:,}", number(row["precision"]),
            number(row["recall"]), number(row["f1"]), ends, number(row["average_precision"]),
            number(row["auroc"]), threshold,
        ])  # fmt: skip
    columns = ["Class", "Pictures", "Named", "Precision", "Recall", "F1", "95 %", "AP", "AUROC",
               "Threshold"]  # fmt: skip
    return {"title": "Each class", "intro": "", "columns": columns, "rows": rows,
            "notes": words.class_notes(results)}  # fmt: skip


def _summary_table(results: Results) -> dict[str, Any]:
    summary = results["summary"]
    names = ("precision", "recall", "f1", "average_precision", "auroc")
    rows = [
        [way.capitalize(), *(number(summary[key]["value"]) if (key := f"{way}_{name}") in summary
                             else "" for name in names)]
        for way in ("macro", "micro")
    ]  # fmt: skip
    notes = [
        "Macro: mean over the classes, rare ones counting as much as common ones. Micro: all "
        "answers together.",
        f"Wholly right (subset accuracy): {percent(summary['subset_accuracy']['value'], 1)} of "
        f"the pictures. Hamming loss: {percent(summary['hamming_loss']['value'], 2)} of the "
        "single answers are wrong.",
    ]
    return {"title": "All classes together", "intro": "", "rows": rows, "notes": notes,
            "columns": ["", "Precision", "Recall", "F1", "AP", "AUROC"]}  # fmt: skip


def _share_table(results: Results) -> list[dict[str, Any]]:
    shares = results["class_shares"]
    if not shares:
        return []
    parts = list(shares[0]["counts"])
    rows = [
        [row["name"], *(f"{row['counts'][part]:,} ({percent(row['shares'][part], 1)})"
                        for part in parts)]
        for row in shares
    ]  # fmt: skip
    return [{"title": "Classes in each part of the split", "intro": "", "rows": rows,
             "columns": ["Class", *parts],
             "notes": ["Shares are of the pictures of the part."]}]  # fmt: skip


def _balance_table(results: Results) -> list[dict[str, Any]]:
    balance = results["balance"]
    if balance is None or all(row["train"] is None for row in balance["classes"]):
        return []
    factors = sorted({key for row in balance["classes"] for key in row["factors"]})
    rows = [
        [
            row["name"], f"{row['train']:,}", percent(row["train_share"], 1),
            percent(row["drawn_share"], 1),
            *(f"{row['factors'][key]:.3f}" if key in row["factors"] else "" for key in factors),
            number(row["precision"]), number(row["recall"]), number(row["f1"]),
        ]
        for row in balance["classes"]
    ]  # fmt: skip
    intro = (
        f"Loss {balance['loss']}, sampler {balance['sampler']}. Drawn: share of the samples of an "
        "epoch that show the class, as the sampler draws them."
    )
    return [{"title": "Class balance and what became of it", "intro": intro, "rows": rows,
             "columns": ["Class", "Trained on", "Share", "Drawn", *factors, "Precision", "Recall",
                         "F1"],
             "notes": ["To see the effect of a setting, train with and without it and compare "
                       "the last columns of the two reports."]}]  # fmt: skip


def _example_sentences(without: str | None) -> list[str]:
    lines = ["Chosen by rank, not by eye: the surest hits of each class, then its worst mistakes."]
    if without is None:
        return [*lines, "Beside each picture, where the evidence for the class was found (Grad-CAM "
                "of the last stage)."]  # fmt: skip
    return [*lines, without]


def _examples(drawn: Sequence[DrawnExample], results: Results) -> list[dict[str, Any]]:
    groups = []
    for index, row in enumerate(results["classes"]):
        pictures = [
            {
                "uri": jpeg_uri(one.pixels, max_width=900),
                "name": one.id,
                "caption": one.caption,
                "verdict": one.example.verdict,
                "word": _WORDS[one.example.verdict],
            }
            for one in drawn
            if one.example.class_index == index
        ]
        if pictures:
            groups.append({"title": row["name"], "pictures": pictures})
    return groups


def model_card(results: Results, bundle: Bundle, parameters: int) -> Facts:
    """What the model is and what made it."""
    training = bundle.provenance.get("training") or {}
    settings = ", ".join(f"{key}={value}" for key, value in bundle.model_settings.items())
    spec = bundle.input
    facts = [
        ("Model", bundle.model_name + (f" ({settings})" if settings else "")),
        ("Parameters", f"{parameters:,}"),
        ("Intended use", "Naming defects in pictures like those that it was trained on, for an "
         "expert to review."),
        ("Pictures are brought to", f"{spec.height} x {spec.width} pixels"
         + (", padded" if spec.keep_aspect else "")),
        ("Trained", moment(bundle.provenance.get("created"))),
    ]  # fmt: skip
    if "seconds" in training:
        facts.append(("Training time", duration(float(training["seconds"]))))
    facts += [(f"Pictures for {part}", f"{len(seen):,}") for part, seen in bundle.seen.items()]
    criterion = training.get("criterion") or {}
    if criterion:
        named = ", ".join(f"{key}={_rounded(value)}" for key, value in criterion.items())
        facts.append(("Loss", f"{(training.get('loss') or {}).get('name')} ({named})"))
    best = bundle.metrics.get("validation") or {}
    if isinstance(best.get("macro_f1"), float):
        facts.append(("On validation", f"macro-F1 {best['macro_f1']:.3f} after epoch "
                      f"{best.get('epoch')}"))  # fmt: skip
    facts.append(("Speed here", f"{1000 * results['seconds_per_image']:.1f} ms per picture on "
                  f"{results['provenance']['device']['name']}"))  # fmt: skip
    return facts


def _rounded(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_rounded(one) for one in value) + "]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _chart(chart: Chart) -> dict[str, str]:
    uri = data_uri(chart.png, "image/png")
    return {"title": chart.title, "caption": chart.caption, "uri": uri}

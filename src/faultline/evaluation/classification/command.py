"""What `faultline evaluate` does with weights that classify."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faultline.artifacts.unseen import check_unseen
from faultline.data.prepare_checks import at_positions_of
from faultline.errors import MissingExtraError
from faultline.evaluation.classification.gradcam import GradCam
from faultline.evaluation.classification.pictures import DrawnExample, draw_class_examples
from faultline.evaluation.classification.report import class_curves, report_page
from faultline.evaluation.classification.results import Results, summarise
from faultline.evaluation.classification.scoring import ClassRun, score_pictures
from faultline.evaluation.classification.table import predictions_csv
from faultline.evaluation.command import EvaluateRequest, Outcome, TestSet
from faultline.evaluation.curves import Chart, save_curves
from faultline.evaluation.layers import check_same_classes
from faultline.evaluation.segmentation import shown
from faultline.files import check_writable, write_json, write_text
from faultline.predict.class_predictor import ClassPredictor
from faultline.progress import progress_bar
from faultline.types import LabelSpace

METRICS_NAME = "metrics_test.json"
RESULTS_NAME = "results.json"
TABLE_NAME = "per_image.csv"
REPORT_NAME = "report.html"


def evaluate_classes(request: EvaluateRequest) -> Outcome:
    """Score classes; write results, table, plots, example pictures and the report.

    `results.json` of a run keeps what training wrote, with the scores under `test`.

    Raises:
        LeakageError: The weights have seen some of the pictures.
        DataError: There are no pictures to score on, or they have other classes.
        OutputError: The folder cannot be written.
    """
    test = request.test_set()
    return score_classes(request, test, request.folder(test))


def score_classes(request: EvaluateRequest, test: TestSet, folder: Path) -> Outcome:
    """Score classes on `test`, and write everything to `folder`; see `evaluate_classes`."""
    bundle = request.bundle
    test = _with_classes_of(bundle.label_space, test)
    check_unseen(bundle, test.items, by_group=test.same_data_set)
    check_writable(folder)
    request.say(f"{len(test.items)} pictures of {test.root} ({test.split})")
    predictor = ClassPredictor(
        bundle, request.device, request.precision, request.threshold, request.tta
    )
    with progress_bar("pictures") as progress:
        run = score_pictures(predictor, test.items, test.label_space, progress=progress)
    results = summarise(bundle, predictor, test, run, request.config, request.trained)
    settings = request.config.evaluation
    explain, without = _explainer(predictor, request.say)
    drawn = draw_class_examples(run, folder / "overlays", count=settings.examples, explain=explain)
    charts = save_curves(
        class_curves(run, results), folder / "plots", settings.plot_format, settings.dpi
    )
    results["explained"] = without is None
    results["files"] = _write(folder, predictor, run, results, drawn, charts, without)
    write_json(folder / METRICS_NAME, results)
    _write_results(folder / RESULTS_NAME, results)
    return Outcome(folder, results, (*score_lines(results), f"report {folder / REPORT_NAME}"))


def _with_classes_of(model: LabelSpace, test: TestSet) -> TestSet:
    """The same pictures, labelled with the classes of the model, some of which none may show.

    Raises:
        DataError: They have a class that the model lacks, or classes of another kind.
    """
    theirs = test.label_space
    if (theirs.kind, theirs.names) == (model.kind, model.names):
        return test
    if theirs.kind is not model.kind or not set(theirs.names) <= set(model.names):
        check_same_classes(model, theirs)
    items = at_positions_of(model, test.items, theirs)
    return dataclasses.replace(test, items=items, label_space=model, parts=None)


def _explainer(
    predictor: ClassPredictor, say: Callable[[str], None]
) -> tuple[GradCam | None, str | None]:
    """Grad-CAM, or one line on why there is none."""
    try:
        return GradCam(predictor), None
    except MissingExtraError as error:
        line = f"no Grad-CAM: {error}"
        say(line)
        return None, line


def _write(
    folder: Path,
    predictor: ClassPredictor,
    run: ClassRun,
    results: Results,
    drawn: list[DrawnExample],
    charts: list[Chart],
    without: str | None,
) -> dict[str, Any]:
    """Write table and report; returns paths relative to `folder`."""
    write_text(folder / TABLE_NAME, predictions_csv(run))
    parameters = sum(weights.numel() for weights in predictor.model.parameters())
    page = report_page(results, predictor.bundle, drawn, charts, parameters, without)
    write_text(folder / REPORT_NAME, page)
    return {
        "report": REPORT_NAME,
        "per_image": TABLE_NAME,
        "overlays": [one.path.relative_to(folder).as_posix() for one in drawn],
        "plots": [chart.path.relative_to(folder).as_posix() for chart in charts],
    }


def _write_results(path: Path, results: Results) -> None:
    """Add the scores to `results.json`, with the configuration and provenance they stand on."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    kept = known if isinstance(known, dict) else {}
    scores = {key: results[key] for key in ("split", "images", "groups", "summary", "classes",
                                            "matrix", "calibration", "threshold")}  # fmt: skip
    write_json(path, {**kept, "config": results["config"], "provenance": results["provenance"],
                      "test": scores})  # fmt: skip


def score_lines(results: Results) -> list[str]:
    """Scores together and of each class, for the console."""
    summary = results["summary"]
    interval = summary["macro_f1"]
    ends = f" ({shown(interval['low'])} to {shown(interval['high'])})"
    first = (
        f"macro-F1 {shown(interval['value'])}{ends}  micro-F1 {shown(summary['micro_f1']['value'])}"
        f"  all right {shown(summary['subset_accuracy']['value'])}"
        f"  Hamming loss {shown(summary['hamming_loss']['value'])}"
    )
    width = max(len(row["name"]) for row in results["classes"])
    rows = [
        f"  {row['name']:<{width}}  F1 {shown(row['f1'])}  precision {shown(row['precision'])}  "
        f"recall {shown(row['recall'])}  AP {shown(row['average_precision'])}  "
        f"{row['support']} pictures"
        for row in results["classes"]
    ]
    absent = [row["name"] for row in results["classes"] if not row["support"]]
    warning = (
        f"WARNING: no picture shows {', '.join(absent)}: this says nothing of whether that is found"
    )
    return [*([warning] if absent else []), first, *rows]

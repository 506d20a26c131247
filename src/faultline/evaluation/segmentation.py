"""What `faultline evaluate` does with weights that outline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from faultline.evaluation.class_tables import class_lines
from faultline.evaluation.command import EvaluateRequest, Outcome, TestSet, data_name
from faultline.evaluation.evaluate import evaluate
from faultline.progress import progress_bar


def evaluate_masks(request: EvaluateRequest) -> Outcome:
    """Score masks and write the report.

    Raises:
        LeakageError: The weights have seen some of the pictures.
        DataError: There are no pictures to score on.
    """
    test = request.test_set()
    return score_masks(request, test, request.folder(test))


def score_masks(request: EvaluateRequest, test: TestSet, folder: Path) -> Outcome:
    """Score masks on `test`, and write the report to `folder`; see `evaluate_masks`."""
    config = request.config
    request.say(f"{len(test.items)} pictures of {test.root} ({test.split})")
    with progress_bar("pictures") as progress:
        metrics = evaluate(
            request.bundle, test.items, test.label_space, folder,
            device=request.device, precision=request.precision, threshold=request.threshold,
            tta=request.tta, radius=config.evaluation.radius, tau=float(config.evaluation.tau),
            overlays=3 * config.evaluation.examples,
            plot_format=config.evaluation.plot_format, plot_dpi=config.evaluation.dpi,
            data_name=data_name(test.root), data_root=test.root, split=test.split,
            problems=test.problems, same_data_set=test.same_data_set, progress=progress,
        )  # fmt: skip
    pooled = metrics["pooled"]
    names = ("iou", "dice", "precision", "recall", "f1_tolerance")
    scores = "  ".join(f"{name} {shown(pooled[name]['value'])}" for name in names)
    together = metrics["multiclass"]
    lines = [scores] if together is None else class_lines(together)
    lines = [*nothing_to_find(metrics), *lines]
    return Outcome(folder, metrics, (*lines, f"report {folder / 'report.html'}"))


def nothing_to_find(metrics: dict[str, Any]) -> list[str]:
    """A warning for the console, where no picture of a test set shows a class."""
    absent = [
        name for name, found in metrics["classes"].items()
        if math.isnan(found["pooled"]["recall"]["value"])
    ]  # fmt: skip
    if not absent:
        return []
    return [
        f"WARNING: none of the {metrics['images']} pictures shows {', '.join(absent)}: scores tell "
        "about false alarms there, and nothing about what is found"
    ]


def shown(value: Any) -> str:
    """A number with three digits; a dash where it is not defined."""
    return "-" if value is None or value != value else f"{value:.3f}"

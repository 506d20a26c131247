"""Evaluation: from weights and labelled images that they have not seen to numbers and a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.unseen import check_unseen
from faultline.config.validate import figure_format
from faultline.data.manifest import Item, Problem
from faultline.errors import ConfigError
from faultline.evaluation.curves import draw_curves, save_curves
from faultline.evaluation.drawings import draw_examples
from faultline.evaluation.layers import check_same_classes
from faultline.evaluation.report import report_page
from faultline.evaluation.results import HeldOut, per_image_csv, summarise
from faultline.evaluation.scoring import Scores, score_items
from faultline.files import check_writable, write_json, write_text
from faultline.predict.predictor import Predictor
from faultline.progress import Progress
from faultline.types import LabelSpace

METRICS_NAME = "metrics_test.json"
TABLE_NAME = "per_image.csv"
REPORT_NAME = "report.html"
OVERLAYS = "overlays"
PLOTS = "plots"
RANKED_BY = ("iou", "IoU")


def evaluate(
    bundle: Bundle,
    items: Sequence[Item],
    label_space: LabelSpace,
    output_dir: str | Path,
    *,
    device: str | torch.device = "auto",
    precision: str = "auto",
    threshold: float | None = None,
    tta: bool = False,
    tile: int | None = None,
    radius: float = 2.0,
    tau: float = 4.0,
    resamples: int = 1000,
    overlays: int = 6,
    plot_format: str = "png",
    plot_dpi: int = 150,
    data_name: str = "the test set",
    data_root: str | Path | None = None,
    split: str = "test",
    problems: Sequence[Problem] = (),
    same_data_set: bool = False,
    workers: int = 2,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score `bundle` on labelled `items` and write everything to `output_dir`.

    Writes `metrics_test.json`, `per_image.csv`, `overlays/*.png`, `plots/{pr,threshold,
    reliability,scores}.<format>` and `report.html`, each in one step. Items that cannot be read
    are listed and left out.

    Args:
        bundle: What is scored.
        items: Labelled images that had no part in making it.
        label_space: What the labels of `items` mean.
        output_dir: Made if absent.
        device: See `Predictor`; likewise `precision`, `tta` and `tile`.
        precision: See `Predictor`.
        threshold: Wins over the bundle's and is recorded as set by hand.
        tta: See `Predictor`.
        tile: See `Predictor`.
        radius: Tolerance in pixels of precision, recall and F1.
        tau: Widening of centre lines in pixels for clIoU.
        resamples: Bootstrap draws of the intervals.
        overlays: Images drawn, a third each of the best, median and worst; 0 for none.
        plot_format: Any that matplotlib writes.
        plot_dpi: Dots per inch of plots.
        data_name: Name of the test set in the report.
        data_root: Its folder, for the record.
        split: Its part that is scored, for the record.
        problems: Files that the import left out, to be listed.
        same_data_set: The bundle was trained on another split of this data set, so that groups
            mean the same in both and are compared too.
        workers: Threads that decode ahead.
        progress: Called with (done, total) after every image.

    Returns:
        What `metrics_test.json` holds, NaN where a metric is not defined.

    Raises:
        LeakageError: The bundle was fitted or tuned on one of `items`.
        DataError: No item could be scored, or the labels are of other classes.
        ConfigError: A setting is out of range.
        BundleError: The weights do not fit their model.
        OutputError: The folder cannot be written.
    """
    folder = Path(output_dir)
    figure_format(plot_format)
    if overlays < 0 or plot_dpi < 1:
        raise ConfigError(
            f"overlays={overlays}, plot_dpi={plot_dpi}: overlays must be at least 0 and plot_dpi "
            "at least 1"
        )
    check_same_classes(bundle.label_space, label_space)
    check_unseen(bundle, items, by_group=same_data_set)
    check_writable(folder)
    predictor = Predictor(bundle, device, precision, threshold, tta, tile)
    scores = score_items(
        predictor, items, label_space, radius=radius, tau=tau, workers=workers, progress=progress
    )
    root = None if data_root is None else Path(data_root)
    test = HeldOut(items, label_space, data_name, split, root, tuple(problems), same_data_set)
    results = summarise(bundle, predictor, test, scores, resamples)
    results["files"] = _write(folder, predictor, scores, results, overlays, plot_format, plot_dpi)
    write_json(folder / METRICS_NAME, results)
    return results


def _write(
    folder: Path,
    predictor: Predictor,
    scores: Scores,
    results: dict[str, Any],
    overlays: int,
    plot_format: str,
    plot_dpi: int,
) -> dict[str, Any]:
    """Write pictures, plots, table and report; returns their paths relative to `folder`."""
    space = predictor.bundle.label_space
    metric, metric_name = RANKED_BY
    drawings = draw_examples(
        predictor, scores, space, folder / OVERLAYS, count=overlays, metric=metric
    )
    charts = save_curves(draw_curves(scores, results), folder / PLOTS, plot_format, plot_dpi)
    write_text(folder / TABLE_NAME, per_image_csv(scores))
    page = report_page(
        results,
        scores,
        drawings,
        charts,
        predictor.bundle,
        parameters=sum(weights.numel() for weights in predictor.model.parameters()),
        ranked_by=metric_name,
    )
    write_text(folder / REPORT_NAME, page)
    return {
        "report": REPORT_NAME,
        "per_image": TABLE_NAME,
        "overlays": [drawing.path.relative_to(folder).as_posix() for drawing in drawings],
        "plots": [chart.path.relative_to(folder).as_posix() for chart in charts],
    }

"""Plots and pictures of a diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from faultline.artifacts.figures import new_figure, save_figure
from faultline.evaluation.diagnosis.probes import Probe
from faultline.evaluation.panels import without_ignored
from faultline.evaluation.plots import BLUE, MUTED, RED
from faultline.evaluation.prompted.pictures import panel_row
from faultline.predict.overlay import draw_overlay, heat_map
from faultline.predict.pictures import write_picture
from faultline.predict.predictor import Pixels
from faultline.types import LabelKind, LabelSpace

Answer = tuple[Pixels, np.ndarray[tuple[int, ...], np.dtype[np.float32]], Pixels, Pixels]
"""Picture (H, W, 3), probability, mask and truth, each (H, W)."""

_BARS = 50


def histogram_plot(probe: Probe, stem: Path) -> Path:
    """Where predictions lie, for background and foreground, with the threshold in use."""
    figure = new_figure(6.0, 3.2)
    axes = figure.add_subplot()
    counts = probe.histogram.counts[:, : _BARS * (probe.histogram.bins // _BARS)]
    bars = counts.reshape(2, _BARS, -1).sum(axis=2)
    centres = (np.arange(_BARS) + 0.5) / _BARS
    for row, colour, name in ((0, MUTED, "background"), (1, RED, "foreground")):
        axes.bar(centres, bars[row], width=0.9 / _BARS, color=colour, alpha=0.6, label=name)
    axes.axvline(probe.threshold, color=BLUE, linewidth=1.4, label="threshold")
    axes.set_yscale("symlog")
    axes.set(xlabel="Predicted probability", ylabel="Pixels", xlim=(0, 1), title=probe.name)
    axes.legend(frameon=False, fontsize=8)
    return save_figure(figure, stem)


def threshold_plot(probes: Mapping[str, Probe], stem: Path) -> Path:
    """IoU over the threshold, one curve per class or prompt."""
    figure = new_figure(6.0, 3.2)
    axes = figure.add_subplot()
    for probe in probes.values():
        curve = probe.histogram.curve()
        axes.plot(curve.threshold[1:-1], curve.iou[1:-1], label=probe.name, linewidth=1.4)
    axes.set(xlabel="Threshold", ylabel="IoU", xlim=(0, 1), ylim=(0, 1))
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return save_figure(figure, stem)


def worst_pictures(
    probe: Probe, answer: Callable[[str], Answer | None], folder: Path, name: str, count: int = 2
) -> list[tuple[Path, str]]:
    """(file, caption) of the worst answers: picture, label, probability, prediction."""
    drawn = []
    space = LabelSpace(LabelKind.BINARY, ("foreground",))
    for number, seen in enumerate(probe.worst(count), 1):
        found = answer(seen.id)
        if found is None:
            continue
        image, probability, mask, truth = found
        label = draw_overlay(image, without_ignored(truth), space)
        views = (image, label, heat_map(probability), draw_overlay(image, mask, space))
        path = folder / f"worst-{name}-{number}.png"
        write_picture(path, panel_row(views, ("Picture", "Label", "Probability", "Prediction")))
        iou = "-" if seen.iou != seen.iou else f"{seen.iou:.3f}"
        caption = f"{probe.name} on {seen.id}: IoU {iou}, highest probability {seen.high:.3f}"
        drawn.append((path, caption))
    return drawn

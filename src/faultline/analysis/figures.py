"""Plots of the analysis: features, similarity, mistakes in common, where heat falls, scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from faultline.analysis.alike import Alike
from faultline.analysis.attention import BACKGROUND, ON_OBJECT, Attention
from faultline.analysis.features import StageFacts
from faultline.analysis.mistakes import Pair
from faultline.analysis.regions import OBJECT
from faultline.analysis.sides import SCORES, Scored
from faultline.artifacts.figures import new_figure
from faultline.evaluation.plots import AMBER, BLUE, GREEN, GRID, INK, MUTED, RED
from faultline.metrics.inputs import Floats

_COLOURS = (BLUE, RED, GREEN, AMBER, "#8338ec", "#0096c7", "#d62886", "#6a994e")
_VERDICT = {ON_OBJECT: GREEN, BACKGROUND: RED}


def activation_figure(stages: Mapping[str, Sequence[StageFacts]]) -> Figure:
    """Magnitude of every channel by stage and run (boxes), above the share of dead channels."""
    names = sorted({one.name for found in stages.values() for one in found})
    figure = new_figure(2.2 + 0.42 * len(names) * (1 + len(stages)), 5.4)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    width = 0.8 / len(stages)
    for number, (run, found) in enumerate(stages.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        for one in found:
            place = names.index(one.name) + (number + 0.5) * width - 0.4
            _box(top, place, width, np.maximum(one.by_channel, 1e-8), colour)
            if one.units:
                bottom.bar(place, 100 * one.dead_share, 0.85 * width, color=colour)
        bottom.bar(0, 0, color=colour, label=run)
    top.set_yscale("log")
    top.set_ylabel("mean |activation| of a channel", fontsize=8, color=INK)
    bottom.set_ylabel("dead channels, %", fontsize=8, color=INK)
    bottom.set_xticks(range(len(names)), names)
    bottom.set_ylim(0, max(1.0, bottom.get_ylim()[1]))
    _legend(figure, bottom)
    for axes in (top, bottom):
        _plain(axes, "y")
    return figure


def similarity_figure(runs: Sequence[str], found: Sequence[Alike]) -> Figure:
    """Linear CKA of every two runs, one matrix for each stage; debiased below the diagonal."""
    stages = list(dict.fromkeys(one.stage for one in found))
    side = 1.2 + 0.5 * len(runs)
    figure = new_figure(side * len(stages) + _words(runs), side + 0.4 + _words(runs))
    axes = figure.subplots(1, len(stages), squeeze=False)[0]
    for place, stage in zip(axes, stages, strict=True):
        table = np.full((len(runs), len(runs)), np.nan)
        np.fill_diagonal(table, 1)
        for one in found:
            if one.stage == stage:
                a, b = sorted((runs.index(one.first), runs.index(one.second)))
                table[a, b], table[b, a] = one.cka, one.debiased
        _matrix(place, runs, table, first=place is axes[0])
        place.set_title(stage, fontsize=9, color=INK)
    return figure


def overlap_figure(runs: Sequence[str], pairs: Sequence[Pair]) -> Figure:
    """Three matrices of every two runs: mistakes in common by kind and by picture, and kappa."""
    kinds: list[tuple[str, Callable[[Pair], float]]] = [
        ("same confusions", lambda one: one.confusion_overlap),
        ("same pictures wrong", lambda one: one.error_overlap),
        ("Cohen's kappa", lambda one: one.kappa),
    ]
    side = 1.3 + 0.5 * len(runs)
    figure = new_figure(3 * side + _words(runs), side + 0.4 + _words(runs))
    axes = figure.subplots(1, 3)
    for place, (title, value) in zip(axes, kinds, strict=True):
        table = np.full((len(runs), len(runs)), np.nan)
        np.fill_diagonal(table, 1)
        for one in pairs:
            a, b = runs.index(one.first), runs.index(one.second)
            table[a, b] = table[b, a] = value(one)
        _matrix(place, runs, table, first=place is axes[0])
        place.set_title(title, fontsize=9, color=INK)
    return figure


def attention_figure(rows: Sequence[Attention]) -> Figure:
    """Heat on the object beyond a blind map's, by class and run, with 95 % intervals."""
    shown = [row for row in rows if row.region == OBJECT]
    names = list(dict.fromkeys(row.class_name for row in shown))
    runs = list(dict.fromkeys(row.run for row in shown))
    figure = new_figure(7.2, 1.3 + 0.24 * len(names) * (len(runs) + 0.6))
    axes = figure.add_subplot()
    step = 0.8 / len(runs)
    marks = ("o", "s", "^", "D", "v", "P", "X", "*")
    for row in shown:
        place = names.index(row.class_name) - 0.4 + (runs.index(row.run) + 0.5) * step
        colour = _VERDICT.get(row.verdict, MUTED)
        reach = [[max(0.0, row.gain - row.low)], [max(0.0, row.high - row.gain)]]
        bars = reach if np.isfinite(reach).all() else None
        axes.errorbar([100 * row.gain], [place], fmt=marks[runs.index(row.run) % len(marks)],
                      xerr=None if bars is None else 100 * np.asarray(bars), color=colour,
                      markersize=5, elinewidth=1.2, capsize=2)  # fmt: skip
    for number, run in enumerate(runs):
        axes.plot([], [], marks[number % len(marks)], color=MUTED, label=run)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("heat on the object minus its share of the picture, percentage points\n"
                    "green: on the object; red: on the background; grey: not shown",
                    fontsize=8, color=INK)  # fmt: skip
    _plain(axes, "x")
    _legend(figure, axes)
    return figure


def scores_figure(scored: Sequence[Scored]) -> Figure:
    """Accuracy and macro-F1 of every run with 95 % intervals; a colour for each side."""
    parts = list(dict.fromkeys(one.part for one in scored))
    runs = list(dict.fromkeys(one.run.name for one in scored))
    figure = new_figure(4.2 * len(SCORES), 1.1 + 0.34 * len(runs) * len(parts))
    for axes, (score, title) in zip(figure.subplots(1, len(SCORES)), SCORES.items(), strict=True):
        for one in scored:
            found = one.scores[score]
            place = runs.index(one.run.name) + 0.3 * (parts.index(one.part) - (len(parts) - 1) / 2)
            reach = np.array([[found.value - found.low], [found.high - found.value]])
            axes.errorbar(
                [found.value], [place], fmt="o" if one.part == "valid" else "s", markersize=5,
                xerr=np.maximum(reach, 0) if np.isfinite(reach).all() else None,
                color=AMBER if one.run.side else BLUE, elinewidth=1.2, capsize=2,
            )  # fmt: skip
        axes.set_yticks(range(len(runs)), runs)
        axes.set_ylim(len(runs) - 0.5, -0.5)
        axes.set_xlabel(title, fontsize=9, color=INK)
        _plain(axes, "x")
    return figure


def _box(axes: Axes, place: float, width: float, values: Floats, colour: str) -> None:
    drawn = axes.boxplot(
        values, positions=[place], widths=0.85 * width, patch_artist=True, showfliers=False,
        manage_ticks=False, medianprops={"color": INK},
    )  # fmt: skip
    for box in drawn["boxes"]:
        box.set(facecolor=colour, alpha=0.6, edgecolor=INK, linewidth=0.7)


def _words(names: Sequence[str]) -> float:
    """Inches that the longest name needs beside a matrix."""
    return 0.3 + 0.07 * max(map(len, names))


def _matrix(axes: Axes, names: Sequence[str], table: Floats, first: bool) -> None:
    axes.imshow(np.clip(table, 0, 1), cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(table):
        text = "-" if np.isnan(value) else f"{value:.2f}"
        colour = "white" if value > 0.55 else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=7.5, color=INK)
    axes.set_yticks(range(len(names)), names if first else [""] * len(names), fontsize=7.5,
                    color=INK)  # fmt: skip
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _plain(axes: Axes, grid: str) -> None:
    axes.tick_params(colors=MUTED, labelsize=8, length=3)
    axes.grid(True, axis="x" if grid == "x" else "y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)),
                  frameon=False, fontsize=8, labelcolor=INK)  # fmt: skip

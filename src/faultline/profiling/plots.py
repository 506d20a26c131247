"""A profile on one picture: memory, speed, and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from faultline.artifacts.figures import new_figure

_LAYERS = 12
_FORWARD, _TRAINING = "#1f5fa8", "#c8443c"
_TIERS = {"LIGHT": "#1f8a70", "MEDIUM": "#b7791f", "HIGH": "#c8443c", "HEAVY": "#7b2d8b"}


def profile_figure(found: dict[str, Any]) -> Figure:
    """Three views of what `profile_subject` returned."""
    figure = new_figure(13.0, 4.2)
    memory, speed, layers = figure.subplots(1, 3, width_ratios=(1, 1, 1.4))
    _memory(memory, found["memory"])
    _speed(speed, found["throughput"], found["unit"])
    _layers(layers, found["layers"])
    where = f"{found['measured']} on {found['device']['name']}"
    figure.suptitle(f"{found['name']} {where}", size=10)
    return figure


def backbones_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Training memory over the batch size, one line per backbone, coloured by tier."""
    figure = new_figure(8.0, 5.0)
    axes = figure.subplots()
    for row in rows:
        points = [(peak["batch"], peak["bytes"] / 1e9) for peak in row["memory"] if peak["bytes"]]
        if points:
            batches, sizes = zip(*points, strict=True)
            axes.plot(batches, sizes, "o-", color=_TIERS.get(row["tier"], "#6b7785"), markersize=3)
            axes.annotate(row["title"], points[-1], fontsize=7, xytext=(4, 0),
                          textcoords="offset points", va="center")  # fmt: skip
    axes.set(xlabel="Batch", ylabel="Training memory, GB", xscale="log", yscale="log")
    axes.set_xscale("log", base=2)
    axes.margins(x=0.25)
    axes.grid(visible=True, alpha=0.3)
    return figure


def _memory(axes: Axes, peaks: Sequence[dict[str, Any]]) -> None:
    known = [(peak["batch"], peak["bytes"] / 1e6) for peak in peaks if peak["bytes"]]
    if known:
        axes.plot(*zip(*known, strict=True), "o-", color=_FORWARD)
    axes.set(xlabel="Batch", ylabel="MB", title="Training memory")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)


def _speed(axes: Axes, rows: Sequence[dict[str, Any]], unit: str) -> None:
    places = range(len(rows))
    for key, colour, shift in (("forward", _FORWARD, -0.2), ("training", _TRAINING, 0.2)):
        bars = axes.bar([p + shift for p in places], [row[key] for row in rows], 0.38,
                        color=colour, label=key)  # fmt: skip
        labels = [f"{100 * row[f'{key}_share']:.0f} %" for row in rows]
        axes.bar_label(bars, labels, fontsize=8)
    axes.set_xticks(list(places), [row["precision"] for row in rows])
    axes.set(
        ylabel=f"{unit.capitalize()}s per second", title="Speed (share of the convolution peak)"
    )
    axes.legend(frameon=False, fontsize=8)


def _layers(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    shown = [row for row in rows if row["kind"]][:_LAYERS]
    axes.barh([row["name"] for row in shown], [row["milliseconds"] for row in shown],
              color=_FORWARD)  # fmt: skip
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set(xlabel="ms", title="Forward, by layer")

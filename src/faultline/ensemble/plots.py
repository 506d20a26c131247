"""One plot of all stages: what they score on validation and on test, with intervals."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from faultline.artifacts.figures import new_figure

_VALID, _TEST = "#8a8f98", "#1d78d8"
METRIC = "macro_f1"


def stage_plot(results: dict[str, Any]) -> Figure:
    """Macro-F1 of each stage, 95 % intervals on test (on validation where test is withheld)."""
    rows = results["stages"]
    figure = new_figure(8.0, 1.6 + 0.32 * len(rows))
    axes = figure.add_subplot()
    names = [f"{row['stage']}  {row['name']}" for row in rows]
    places = list(range(len(rows)))
    tested = all(row["test"] is not None for row in rows)
    parts = [("valid", _VALID, "validation", -0.13)]
    if tested:
        parts.append(("test", _TEST, "test", 0.13))
    for part, colour, label, shift in parts:
        found = [row[part]["summary"][METRIC] for row in rows]
        values = [one["value"] for one in found]
        reach = [
            [max(0.0, one["value"] - one["low"]) for one in found],
            [max(0.0, one["high"] - one["value"]) for one in found],
        ]
        axes.errorbar(
            values, [place + shift for place in places], xerr=reach, fmt="o", color=colour,
            label=label, markersize=5, elinewidth=1.2, capsize=2,
        )  # fmt: skip
    axes.set_yticks(places, names)
    for place, row in enumerate(rows):
        if row["name"] == results["chosen"]:
            axes.axhspan(place - 0.45, place + 0.45, color=_TEST, alpha=0.08, zorder=0)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("macro-F1, 95 % interval; shaded: chosen on validation")
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    return figure

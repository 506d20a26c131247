"""Writes the pictures and plots of the analysis, and hands them to the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from faultline.analysis import figures
from faultline.analysis.findings import Findings
from faultline.analysis.pictures import example_sheet, grid_sheet, hard_sheet
from faultline.analysis.tables import ERRORS, FEATURES, HEAT, REGIONS, SIDES
from faultline.evaluation.curves import Chart, CurveFigure, save_curves
from faultline.evaluation.drawings import slug
from faultline.predict.pictures import write_picture

EXAMPLES = 3
HARD = 24


@dataclass
class Charts:
    """Plots by section of the page; None or empty where there was nothing to draw."""

    grid: list[Chart] = field(default_factory=list)
    examples: list[Chart] = field(default_factory=list)
    regions: list[Chart] = field(default_factory=list)
    features: list[Chart] = field(default_factory=list)
    errors: list[Chart] = field(default_factory=list)
    sides: list[Chart] = field(default_factory=list)


def draw(folder: Path, found: Findings) -> Charts:
    """Write everything below `folder`.

    Raises:
        OutputError: Something cannot be written.
    """
    settings = found.plan.subject.config.evaluation

    def save(place: str, stem: str, title: str, caption: str, figure: Figure | None) -> list[Chart]:
        if figure is None:
            return []
        one = CurveFigure(stem, title, caption, figure)
        return save_curves([one], folder / place, settings.plot_format, settings.dpi)

    charts = Charts()
    sample, names = found.plan.sample, found.plan.subject.space.names
    grid, cells = grid_sheet(found.runs, found.observed, sample, names)
    for (run, index), pixels in cells.items():
        write_picture(folder / HEAT / slug(found.runs[run]) / f"{slug(names[index])}.png", pixels)
    charts.grid = save(HEAT, "grid", "Mean activation maps", _GRID, grid)
    for index, name in enumerate(names):
        figure = example_sheet(found.runs, found.observed, sample, index, EXAMPLES)
        charts.examples += save(f"{HEAT}/examples", slug(name), name, _EXAMPLES, figure)
    if found.attention:
        figure = figures.attention_figure(found.attention)
        charts.regions = save(REGIONS, "heat_share", "Heat on the object", _REGIONS, figure)
    stages = {run: one.stages for run, one in zip(found.runs, found.observed, strict=True)
              if one.stages}  # fmt: skip
    if stages:
        figure = figures.activation_figure(stages)
        charts.features = save(FEATURES, "activation_distributions", "Activations by stage",
                               _ACTIVATIONS, figure)  # fmt: skip
    if found.alike:
        figure = figures.similarity_figure(found.runs, found.alike)
        charts.features += save(FEATURES, "cka", "Similarity of features", _CKA, figure)
    if found.pairs:
        figure = figures.overlap_figure(found.runs, found.pairs)
        charts.errors = save(ERRORS, "confusion_overlap", "Mistakes in common", _OVERLAP, figure)
    hard = hard_sheet(found.together, found.plan.subject.valid, HARD)
    charts.errors += save(ERRORS, "hard", "Pictures that every run gets wrong", _HARD, hard)
    charts.sides = save(SIDES, "scores", "Scores of the runs", _SCORES,
                        figures.scores_figure(found.scored))  # fmt: skip
    return charts


_GRID = (
    "Rows are runs, columns classes; every map is the mean over the pictures of the class, each "
    "scaled to a maximum of 1, over the mean of these pictures, all squeezed to squares."
)
_EXAMPLES = "Single pictures, and the evidence that every run found in them for this class."
_REGIONS = (
    "Right of the line a run looks at the object more than a map that is equally warm everywhere; "
    "95 % intervals over pictures."
)
_ACTIVATIONS = (
    "Above: mean magnitude of each channel of a stage's output. Below: channels behind its "
    "activation functions that were never above zero, in any place of any picture."
)
_CKA = (
    "Above the diagonal linear CKA: 1 is the same features but for rotation and scale. It is too "
    "high where there are few pictures and many channels; below the diagonal the unbiased "
    "estimate, about 0 for unrelated features."
)
_OVERLAP = (
    "Mistakes by kind in common (minimum over maximum), pictures that both get wrong out of those "
    "that either does, and agreement of answers beyond chance."
)
_HARD = "The surest mistakes first."
_SCORES = (
    "95 % intervals. Circles: validation, on which epochs and thresholds were chosen; squares: "
    "test, as `faultline evaluate` scored it. Amber: runs of --against."
)

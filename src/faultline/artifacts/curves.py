"""Curves of loss, of IoU and of F1 from a run's `metrics.csv`."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from faultline.artifacts.figures import new_figure, save_figure
from faultline.artifacts.run import RunFolder
from faultline.config.validate import figure_format
from faultline.errors import OutputError

_AXES = ("epoch", "step")
_PLOTS = {"loss": "Loss", "iou": "IoU", "f1": "F1"}


@dataclass(frozen=True, slots=True)
class History:
    """What was logged while training.

    Attributes:
        axis: What the curves run over: "epoch", "step" or "row".
        curves: Column name -> (position, value) pairs by rising position. Several values at one
            position are averaged.
    """

    axis: str
    curves: dict[str, list[tuple[float, float]]]

    def named(self, word: str) -> dict[str, list[tuple[float, float]]]:
        """Curves whose name contains `word` as one of its parts: "iou" is in "valid/iou@0.5"."""
        return {n: c for n, c in self.curves.items() if any(p == word for p in _parts(n)) and c}


def read_history(path: str | Path) -> History:
    """Read a `metrics.csv`, also one that is missing, empty, or still being written.

    A last line without its end is left out, and so is every value that is not a finite number.

    Raises:
        OutputError: The file is there but cannot be read.
    """
    rows = list(csv.DictReader(_whole_lines(Path(path))))
    axis = next(
        (name for name in _AXES if any(_number(row.get(name)) is not None for row in rows)), "row"
    )
    sums: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for index, row in enumerate(rows):
        position = float(index) if axis == "row" else _number(row.get(axis))
        if position is not None:
            for name, value in _values(row):
                sums[name][position].append(value)
    return History(axis, {name: _averaged(points) for name, points in sums.items()})


def plot_curves(
    run: RunFolder | str | Path,
    *,
    file_format: str = "png",
    dpi: int = 150,
    folder: str | Path | None = None,
) -> list[Path]:
    """Plot loss, IoU and F1 of a run; what was never logged is left out.

    Args:
        run: A run, or a `metrics.csv`.
        file_format: Any format that Matplotlib writes: png, tiff, pdf, svg, ...
        dpi: Dots per inch, for raster formats.
        folder: Where to write; by default `plots/` of the run, or beside the file.

    Returns:
        The files written: `loss`, `iou` and `f1.<format>`, fewer where nothing was logged.

    Raises:
        ConfigError: The format is unknown.
        OutputError: A file cannot be written.
    """
    figure_format(file_format)
    if isinstance(run, RunFolder):
        source, target = run.metrics_csv, run.plots
    else:
        source = Path(run)
        source = source / "metrics.csv" if source.is_dir() else source
        target = source.parent / "plots"
    history = read_history(source)
    written = []
    for word, title in _PLOTS.items():
        curves = history.named(word)
        if curves:
            figure = _draw(curves, title, history.axis)
            written.append(save_figure(figure, Path(folder or target) / word, file_format, dpi))
    return written


def _draw(curves: Mapping[str, list[tuple[float, float]]], title: str, axis: str) -> Figure:
    figure = new_figure()
    axes = figure.add_subplot()
    for name, points in sorted(curves.items()):
        positions, values = zip(*points, strict=True)
        axes.plot(positions, values, label=name, marker="o" if len(points) < 3 else None)
    axes.set(xlabel=axis.capitalize(), ylabel=title, title=title)
    if title in ("IoU", "F1"):
        axes.set_ylim(0, 1)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    return figure


def _whole_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(f"cannot be read: {error.strerror or error}", where=path) from error
    # NUL bytes are what a crash can leave at the end of a file; the csv reader refuses them.
    lines = text.replace("\0", "").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]


def _values(row: Mapping[str | None, object]) -> Iterable[tuple[str, float]]:
    for name, text in row.items():
        number = _number(text)
        if name and name not in _AXES and number is not None:
            yield name, number


def _number(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _averaged(points: Mapping[float, list[float]]) -> list[tuple[float, float]]:
    return [(position, sum(v) / len(v)) for position, v in sorted(points.items())]


def _parts(name: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in name.lower()).split()

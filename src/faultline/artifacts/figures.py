"""Writes Matplotlib figures in any format it knows, without touching its global state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from faultline.config.validate import figure_format
from faultline.errors import ConfigError
from faultline.files import atomic_path

# Uncompressed, one page of line art at 1200 dpi is more than 100 MB.
_OPTIONS: dict[str, dict[str, Any]] = {
    name: {"pil_kwargs": {"compression": "tiff_lzw"}} for name in ("tif", "tiff")
}


def new_figure(width: float = 7.0, height: float = 4.2) -> Figure:
    """An empty figure of `width` x `height` inches, drawn by Agg, free of pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, stem: Path, file_format: str = "png", dpi: int = 150) -> Path:
    """Write `figure` to `stem` + its format's suffix, in one step; return the path.

    Args:
        figure: What to write.
        stem: Path without suffix.
        file_format: Any that Matplotlib knows: png, tiff, pdf, svg, ...
        dpi: Dots per inch, for raster formats.

    Raises:
        ConfigError: The format is unknown or `dpi` is not positive.
        OutputError: The file cannot be written.
    """
    name = figure_format(file_format)
    if dpi < 1:
        raise ConfigError(f"dpi is {dpi}, must be at least 1")
    path = stem.with_name(f"{stem.name}.{name}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=name, dpi=dpi, **_OPTIONS.get(name, {}))
    return path

"""The command that looks into trained classifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faultline.cli.app import app
from faultline.cli.options import ConfigFile, Device, Overrides, Precision, say


@app.command()
def analyse(
    weights: Annotated[
        list[Path], typer.Option("--weights", help="Run of a classifier; may be repeated.")
    ],
    overrides: Overrides = None,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", help="Run to compare them with; may be repeated."),
    ] = None,
    config: ConfigFile = None,
    save: Annotated[
        Path, typer.Option("--save", help="Output folder. Give the same one again to resume.")
    ] = Path("outputs/analysis"),
    per_class: Annotated[
        int, typer.Option("--per-class", help="Pictures of each class to look into.")
    ] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the choice of pictures.")] = 42,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Show what classifiers have learnt: where they look, which channels are dead, where they err.

    Looks at pictures of training and validation only, never at those that test. Writes
    analysis.html, analysis.json, plots and tables.

    Examples:

      faultline analyse --weights runs/conv_next/latest

      faultline analyse --weights runs/conv_next/latest --weights runs/swin/latest data=canes/ \
data.masks=masks/ --save analysis/

      faultline analyse --weights runs/v2/latest --against runs/v1/latest --per-class 20
    """
    from faultline.analysis.command import AnalyseRequest
    from faultline.analysis.command import analyse as look_into

    look_into(AnalyseRequest(
        overrides or (), weights, save, against or (), per_class, seed, device, precision, config,
        say,
    ))  # fmt: skip

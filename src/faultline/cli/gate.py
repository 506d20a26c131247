"""The commands `faultline gate ...`; each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faultline.cli.options import Device, say

gate_app = typer.Typer(
    no_args_is_help=True,
    help="Ask whether a picture shows a plant at all.",
    rich_markup_mode=None,
)


@gate_app.command()
def calibrate(
    gold: Annotated[Path, typer.Argument(help="Gold set: <class>/<stem>_mask.png.")],
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder for the report; default: the gold set.")
    ] = None,
    adjust: Annotated[
        bool,
        typer.Option("--adjust", help="Lower thresholds so that gold pictures are not rejected."),
    ] = False,
) -> None:
    """Choose the least share of plant for each class on gold masks.

    Exits with 1 unless at least 98 % of the gold pictures pass.

    Examples:

      faultline gate calibrate gold/ --output gate/
    """
    from faultline.pseudolabel.gate.calibrate import run_calibration

    if not run_calibration(gold, output, adjust=adjust, say=say).passed:
        raise typer.Exit(1)


@gate_app.command()
def run(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT", help="Pictures, folders, globs.")
    ],
    weights: Annotated[
        list[Path], typer.Option("--weights", help="A segmenter's run; up to three vote.")
    ],
    save: Annotated[Path, typer.Option("--save", help="Folder for the results.")] = Path("gate"),
    thresholds: Annotated[
        Path | None,
        typer.Option("--thresholds", help="A calibration report; 15 % of plant without."),
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Class of the pictures, where it is known.")
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect", help="pass or reject: exit with 1 unless > 97 % pass, or all are rejected."
        ),
    ] = None,
    lesion: Annotated[
        float, typer.Option("--min-lesion", help="Probability from which a sign counts.")
    ] = 0.3,
    device: Device = "auto",
) -> None:
    """Say for each picture whether it shows a plant, and why.

    Examples:

      faultline gate run pictures/ --weights runs/segmenter/latest \
--thresholds gate/calibration_report.json
    """
    from faultline.pseudolabel.gate.run import GateRequest, run_gate

    result = run_gate(GateRequest(
        inputs, weights, thresholds, save, class_name, expect, lesion, device, say
    ))  # fmt: skip
    if result.failed or result.met is False:
        raise typer.Exit(1)

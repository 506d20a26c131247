"""The commands `faultline ensemble ...`; each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faultline.cli.options import ConfigFile, Device, Overrides, Precision, say

ensemble_app = typer.Typer(
    no_args_is_help=True,
    help="Combine classifiers without leakage: out-of-fold stages and an audit.",
    rich_markup_mode=None,
)


@ensemble_app.command()
def run(
    overrides: Overrides = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Base model; give two or more.")
    ] = None,
    config: ConfigFile = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            help="Output folder; the default follows from the settings. "
            "Give the same one again to resume.",
        ),
    ] = None,
    folds: Annotated[int, typer.Option("--folds", help="Folds of the training part.")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Seed of folds and stages.")] = 42,
    stages: Annotated[
        str, typer.Option("--stages", help="Stages to make, such as 1-6,9 (default: all).")
    ] = "",
    halt_gap: Annotated[
        float,
        typer.Option(
            "--halt-gap",
            help="Accuracy on training minus validation from which the audit halts.",
        ),
    ] = 0.10,
    student: Annotated[
        str | None,
        typer.Option("--student", help="Model that stage 7 teaches (default: the first --model)."),
    ] = None,
) -> None:
    """Train base models out of fold, fit the stages on that, audit, and score on test.

    Run the same command again to resume. Exits with 1, without any test result, where the audit
    finds a violation.

    Examples:

      faultline ensemble run data=leaves/ --model conv_next --model ghostnet_v2

      faultline ensemble run data=leaves/ --model conv_next --model swin --stages 1-3 \
trainer.max_epochs=10 data.image_size=128
    """
    from faultline.ensemble.command import run_command

    code = run_command(
        models or (), overrides or (), config=config, save=save, folds=folds, seed=seed,
        stages=stages, halt_gap=halt_gap, student=student, say=say,
    )  # fmt: skip
    if code:
        raise typer.Exit(code)


@ensemble_app.command()
def predict(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT", help="Pictures, folders or globs.")
    ],
    weights: Annotated[
        Path, typer.Option("--weights", help="Folder of a finished `faultline ensemble run`.")
    ],
    save: Annotated[Path, typer.Option("--save", help="Output folder.")] = Path("outputs/ensemble"),
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Name what pictures show with the ensemble that validation chose; one member at a time.

    Examples:

      faultline ensemble predict --weights runs/leaves/ photos/ --save out/
    """
    from faultline.ensemble.command import predict_command

    code = predict_command(
        weights, inputs, save, device=device, precision=precision, say=say
    )  # fmt: skip
    if code:
        raise typer.Exit(code)

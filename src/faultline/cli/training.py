"""Commands that train: one run, folds, a run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from faultline.cli.app import app
from faultline.cli.options import ConfigFile, ModelName, Overrides, say


class _DocumentFlags(TyperCommand):
    """Understands the flags of the prompted-segmentation document (`--use_weighted_loss`)."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from faultline.config.document_flags import from_document_flags

        return super().parse_args(ctx, from_document_flags(args))


@app.command(cls=_DocumentFlags)
def train(
    overrides: Overrides = None,
    config: ConfigFile = None,
    model: ModelName = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Resume the interrupted run in this folder.")
    ] = None,
) -> None:
    """Train a model and keep its best weights in a run folder.

    The flags of the prompted-segmentation document (--data_dir, --epochs, --lr,
    --use_weighted_loss, --tune_threshold and so on) are understood too.

    Examples:

      faultline train data=photos/ model=scratch_ed_plus trainer.max_time=15m

      faultline train --config settings.yaml --model scratch_ed data=photos/

      faultline train --resume runs/scratch_ed_plus/latest
    """
    from faultline.training.fit import train as run_training
    from faultline.training.kinds import training_config
    from faultline.training.terminal import refuse_beside_resume, tell_end

    refuse_beside_resume(resume, overrides, config, model)
    settings = training_config(overrides or (), file=config, model=model)
    result = run_training(settings, say=say, resume=resume)
    raise typer.Exit(tell_end(result, "faultline train", say))


@app.command()
def crossvalidate(
    overrides: Overrides = None,
    config: ConfigFile = None,
    model: ModelName = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            help="Output folder; the default follows from the settings. "
            "Give the same one again to resume.",
        ),
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Compare with this other cross-validation.")
    ] = None,
) -> None:
    """Train a classifier for each fold (data.folds, 5 by default); score the held-out pictures.

    Run the same command again to resume.

    Examples:

      faultline crossvalidate data=steel/ data.folds=5 model.name=conv_next

      faultline crossvalidate data=steel/ data.folds=5 loss=bce --against runs/first/
    """
    from faultline.evaluation.classification.folds_command import run_folds

    if not run_folds(overrides or (), config, model, save, against, say):
        raise typer.Exit(130)


@app.command()
def reproduce(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    save: Annotated[
        Path | None, typer.Option("--save", help="Folder for the second training's run.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Compare with this run; train nothing.")
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            help="Allowed score difference where bit-identical results are impossible.",
        ),
    ] = 0.02,
) -> None:
    """Train a run's settings again and compare weights, history, scores, data and machine.

    Exits with 0 if the result is the same again, with 1 if not.

    Examples:

      faultline reproduce runs/scratch_ed_plus/latest

      faultline reproduce runs/a/latest --against runs/b/latest
    """
    from faultline.experiments.reproduce import reproduce as train_again

    found = train_again(run, save=save, against=against, tolerance=tolerance, say=say)
    for line in found.lines():
        say(line)
    if not found.reproduced:
        raise typer.Exit(1)

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
        Path | None, typer.Option("--resume", help="Go on with this interrupted run folder.")
    ] = None,
) -> None:
    """Train a model and keep its best weights in a run folder.

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
        Path | None, typer.Option("--save", help="Output folder; the same one goes on.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Compare with this other cross-validation.")
    ] = None,
) -> None:
    """Train a classifier on every fold and score it on what each fold held out.

    The same call goes on where an interrupted one stopped.

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
        Path | None, typer.Option("--save", help="Folder of runs for the second training.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Compare with this run; train nothing.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Of the score, where bits cannot repeat.")
    ] = 0.02,
) -> None:
    """Train a run's settings again and compare weights, history, scores, data and machine.

    Exit code 0 if it came out again, else 1.

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

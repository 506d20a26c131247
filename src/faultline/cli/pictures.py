"""Commands about data: check, draw and divide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faultline.cli.app import app
from faultline.cli.options import ConfigFile, Overrides, say


@app.command()
def doctor(
    overrides: Overrides = None,
    config: ConfigFile = None,
    save: Annotated[Path | None, typer.Option("--save", help="Folder for the findings.")] = None,
    system: Annotated[
        bool | None,
        typer.Option(
            "--system/--no-system",
            help="Run every model, loss, split, ... once, and tell of each; done in brief "
            "where no data set is given.",
        ),
    ] = None,
) -> None:
    """Check this machine and, with data=FOLDER, a data set. Exit code 1 if a result would suffer.

    Without a data set every part of the package runs once.

    Examples:

      faultline doctor

      faultline doctor --system

      faultline doctor data=photos/ --save doctor/
    """
    from faultline.evaluation.doctor.command import run_doctor

    raise typer.Exit(run_doctor(overrides or (), config, save, system=system))


@app.command()
def synthesize(
    folder: Annotated[Path, typer.Argument(help="New folder for the data set.")],
    kind: Annotated[
        str, typer.Option(help="cracks, shapes or counted-shapes (lone or repeated).")
    ] = "cracks",
    train_count: Annotated[
        int | None, typer.Option("--train", help="Training pictures: 60 cracks, 1600 shapes.")
    ] = None,
    valid_count: Annotated[
        int | None, typer.Option("--valid", help="Validation pictures: 12 or 100.")
    ] = None,
    test_count: Annotated[
        int | None, typer.Option("--test", help="Test pictures: 12 or 200.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same files.")] = 0,
    height: Annotated[int | None, typer.Option(help="Height in pixels: 320 or 128.")] = None,
    width: Annotated[int | None, typer.Option(help="Width in pixels: 480 or 128.")] = None,
    shapes: Annotated[
        str | None, typer.Option(help="Shapes, by commas: circle,ring,...; all by default.")
    ] = None,
    noise: Annotated[float | None, typer.Option(help="Grain of shapes, in grey levels.")] = None,
    blur: Annotated[float | None, typer.Option(help="Blur of shapes, in pixels.")] = None,
    occlusion: Annotated[
        float | None, typer.Option(help="Largest share of a shape that others cover.")
    ] = None,
    imbalance: Annotated[
        float | None, typer.Option(help="The first shape over the last, in frequency.")
    ] = None,
) -> None:
    """Make a data set of drawn cracks or shapes, with exact masks, to try things on.

    Examples:

      faultline synthesize cracks/ --train 60 --valid 12 --test 12

      faultline synthesize shapes/ --kind shapes --imbalance 10
    """
    from faultline.data.synthetic.command import synthesize as make

    counts = {"train": train_count, "valid": valid_count, "test": test_count}
    own = {"kinds": shapes and tuple(shapes.split(",")), "noise": noise, "blur": blur,
           "occlusion": occlusion, "imbalance": imbalance}  # fmt: skip
    make(folder, kind, counts, seed, (height, width), own, say)


@app.command()
def split(
    overrides: Overrides = None,
    config: ConfigFile = None,
    save: Annotated[Path | None, typer.Option("--save", help="JSON file for the split.")] = None,
) -> None:
    """Divide a data set, groups kept whole, and show how often each class occurs in each part.

    Examples:

      faultline split data=steel/ data.split_strategy=stratified_70_15_15 --save split.json

      faultline split data=tiles/ data.folds=5 data.fold=0 data.group_by=near_duplicates
    """
    from faultline.data.split_command import make_split

    make_split(overrides or (), config, save, say)

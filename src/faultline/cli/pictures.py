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
    save: Annotated[
        Path | None, typer.Option("--save", help="Output folder for the report.")
    ] = None,
    system: Annotated[
        bool | None,
        typer.Option(
            "--system/--no-system",
            help="Also self-test every model, loss, split and so on, and report each. "
            "Without data= a summary is shown anyway.",
        ),
    ] = None,
) -> None:
    """Check this machine and, with data=FOLDER, a data set. Exits with 1 if it finds an error.

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
        str,
        typer.Option(
            help="cracks, shapes, or counted-shapes (class: one of its kind, or one of several)."
        ),
    ] = "cracks",
    train_count: Annotated[
        int | None,
        typer.Option("--train", help="Training pictures (default 60 for cracks, 1600 for shapes)."),
    ] = None,
    valid_count: Annotated[
        int | None,
        typer.Option(
            "--valid", help="Validation pictures (default 12 for cracks, 100 for shapes)."
        ),
    ] = None,
    test_count: Annotated[
        int | None,
        typer.Option("--test", help="Test pictures (default 12 for cracks, 200 for shapes)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same files.")] = 0,
    height: Annotated[
        int | None, typer.Option(help="Height in pixels (default 320 for cracks, 128 for shapes).")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Width in pixels (default 480 for cracks, 128 for shapes).")
    ] = None,
    shapes: Annotated[
        str | None, typer.Option(help="Shapes, comma-separated: circle,ring,... (default: all).")
    ] = None,
    noise: Annotated[float | None, typer.Option(help="Grain of shapes, in grey levels.")] = None,
    blur: Annotated[float | None, typer.Option(help="Blur of shapes, in pixels.")] = None,
    occlusion: Annotated[
        float | None, typer.Option(help="Largest share of a shape that others cover.")
    ] = None,
    imbalance: Annotated[
        float | None,
        typer.Option(help="How many times more often the first shape occurs than the last."),
    ] = None,
) -> None:
    """Draw a data set of cracks or shapes, with exact masks, to try things out.

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

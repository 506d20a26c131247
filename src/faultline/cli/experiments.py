"""Commands that compare and measure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faultline.cli.app import app
from faultline.cli.options import AsJson, ConfigFile, Device, Precision, say


@app.command()
def ablate(
    grid: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="GRID|KEY=VALUE,VALUE",
            help="Name or YAML file of a grid, then settings; lists of values are swept over.",
        ),
    ] = None,
    config: ConfigFile = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Resume the ablation in this folder.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show the plan; run nothing.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", help="Runs at the same time (by Ray, one process each).")
    ] = 1,
    ray: Annotated[
        str | None,
        typer.Option("--ray", help="Address of a Ray cluster with a shared file system, or auto."),
    ] = None,
) -> None:
    """Train and evaluate every point of a grid over seeds, and tabulate the results.

    Finished runs are not repeated: run the same command again to resume.

    Examples:

      faultline ablate models data=photos/ trainer.max_time=10m

      faultline ablate data=photos/ model.name=unet,unet_mini seed=0,1 --dry-run
    """
    from faultline.experiments.command import run_ablation

    code = run_ablation(
        grid or (), file=config, resume=resume, dry_run=dry_run, jobs=jobs, address=ray, say=say
    )
    if code:
        raise typer.Exit(code)


@app.command()
def summarize(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or above them.")],
    save: Annotated[
        Path | None, typer.Option("--save", help="Output folder (default: the first RUNS folder).")
    ] = None,
    curves: Annotated[
        str, typer.Option("--curves", help="Runs to plot, comma-separated: names, folders, or all.")
    ] = "",
    group_by: Annotated[
        str,
        typer.Option(
            "--group-by",
            help="Settings to group runs by, comma-separated (default: all but the seed).",
        ),
    ] = "",
) -> None:
    """Tabulate runs of any kind: scores over seeds, what they cost, and which is best.

    Writes summary.csv, summary.md, summary.html and groups.csv. Reads unfinished runs too.

    Examples:

      faultline summarize runs/ --curves all

      faultline summarize runs/ --group-by model.name,loss.name --save tables/
    """
    from faultline.experiments.summarize import summarize as tabulate

    summary = tabulate(
        runs, save=save, curves=[name for name in curves.split(",") if name],
        group_by=[key for key in group_by.split(",") if key], say=say,
    )  # fmt: skip
    say(f"{summary.counts}; tables in {(save or runs[0]) / 'summary.html'}")


@app.command()
def profile(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="backbones|KEY=VALUE",
            help="model=NAME and its settings, device=, precision=; or the word backbones.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Picture side or HEIGHTxWIDTH (default 256; 224 for backbones)."),
    ] = None,
    batch: Annotated[str, typer.Option(help="Batch sizes, comma-separated.")] = "1,2,4,8",
    names: Annotated[str, typer.Option(help="Backbones, comma-separated (default: all).")] = "",
    nano: Annotated[bool, typer.Option("--nano", help="Backbones in their nano size.")] = False,
    save: Annotated[
        Path | None, typer.Option("--save", help="Output folder (default: outputs/profile/NAME).")
    ] = None,
    as_json: AsJson = False,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Measure what a model costs: operations, memory by batch size, speed, time by layer.

    Examples:

      faultline profile model=unet model.base_channels=32 --size 256

      faultline profile model=convnext_cbam model.size=full --size 256x1600 --batch 1

      faultline profile backbones --names swin,conv_next --size 224

      faultline profile task=speech model=paraformer --batch 1,8
    """
    from faultline.profiling.command import run_profile

    run_profile(
        words or (), size=size, batches=batch, names=names, nano=nano, device=device,
        precision=precision, save=save, as_json=as_json, say=say,
    )  # fmt: skip

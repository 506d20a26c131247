"""The commands `faultline pseudolabel ...`; each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faultline.cli.options import ConfigFile, Device, Overrides, say

pseudolabel_app = typer.Typer(
    no_args_is_help=True,
    help="Masks for leaf pictures that nobody annotated, with quality tiers.",
    rich_markup_mode=None,
)

ChannelMap = Annotated[
    Path | None,
    typer.Option("--channel-map", help="YAML that says which channels a class's signs are in."),
]
Sam = Annotated[
    Path | None, typer.Option("--sam", help="Folder with a Segment Anything model, as a source.")
]
Labels = Annotated[Path, typer.Argument(help="Folder of labels, the --output of make.")]
ClassifierRuns = Annotated[
    list[Path] | None,
    typer.Option("--weights", help="A classifier's run; give several to average them."),
]
DataRoot = Annotated[
    Path | None, typer.Option("--data", help="Folder of the pictures, if they moved.")
]


@pseudolabel_app.command()
def make(
    output: Annotated[Path, typer.Option("--output", help="Folder of the labels.")],
    overrides: Overrides = None,
    weights: ClassifierRuns = None,
    channel_map: ChannelMap = None,
    sam: Sam = None,
    config: ConfigFile = None,
    device: Device = "auto",
) -> None:
    """Make masks with quality tiers of the training and validation pictures of class folders.

    Run the same command again to resume. Exits with 1 if a picture got no label.

    Examples:

      faultline pseudolabel make data=canes/ --weights runs/classifier/latest --output masks/

      faultline pseudolabel make data=canes/ --weights runs/a/latest --weights runs/b/latest \
--output masks/
    """
    from faultline.pseudolabel.make import MakeRequest, make_labels

    made = make_labels(MakeRequest(
        overrides or (), weights or (), output, channel_map, sam, device, config, say
    ))  # fmt: skip
    if made.failed:
        raise typer.Exit(1)


@pseudolabel_app.command()
def check(
    labels: Labels,
    per_cell: Annotated[
        int, typer.Option("--per-cell", help="Labels of each class and tier.")
    ] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the sample.")] = 42,
    data: DataRoot = None,
    again: Annotated[
        bool, typer.Option("--again", help="Draw anew, and forget verdicts given so far.")
    ] = False,
) -> None:
    """Draw labels at random to look at: a page, and a table for accept, marginal or reject.

    Examples:

      faultline pseudolabel check masks/
    """
    from faultline.pseudolabel.spot_check import spot_check

    spot_check(labels, per_cell=per_cell, seed=seed, data=data, again=again, say=say)


@pseudolabel_app.command()
def verdict(
    labels: Labels,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="The table, if it is not where it was made.")
    ] = None,
) -> None:
    """Apply the rules of the spot check. Exits with 1 if training may not go on.

    Tier A needs 90 % accepted; tier B becomes C below 70 %; more than 30 % in C block.

    Examples:

      faultline pseudolabel verdict masks/
    """
    from faultline.pseudolabel.verdict import give_verdict

    if give_verdict(labels, sheet=sheet, say=say).blocks:
        raise typer.Exit(1)


@pseudolabel_app.command()
def refine(
    labels: Labels,
    weights: Annotated[
        Path, typer.Option("--weights", help="A segmenter that was trained on these labels.")
    ],
    data: DataRoot = None,
    channel_map: ChannelMap = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin again from round 1, after a manual fix.")
    ] = False,
    device: Device = "auto",
    plot_format: Annotated[
        str, typer.Option("--plot-format", help="Of the charts: png, tiff, pdf, ...")
    ] = "png",
    dpi: Annotated[int, typer.Option("--dpi", help="Resolution of the charts.")] = 120,
) -> None:
    """Refine the labels of the training pictures by a trained segmenter: one round of up to 3.

    Exits with 1 if refinement does not converge.

    Examples:

      faultline pseudolabel refine masks/ --weights runs/segmenter/latest
    """
    from faultline.pseudolabel.refine import RefineRequest
    from faultline.pseudolabel.refine import refine as run_round
    from faultline.pseudolabel.refine_rules import BLOCKED

    outcome = run_round(RefineRequest(
        labels, weights, data, channel_map, restart, device, plot_format, dpi, say
    ))  # fmt: skip
    if outcome.status == BLOCKED:
        raise typer.Exit(1)


@pseudolabel_app.command()
def gold(
    output: Annotated[Path, typer.Option("--output", help="Folder of the gold set.")],
    overrides: Overrides = None,
    per_class: Annotated[
        int, typer.Option("--per-class", help="Pictures of each class; hard classes get 5 more.")
    ] = 15,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the sample.")] = 42,
    weights: ClassifierRuns = None,
    channel_map: ChannelMap = None,
    sam: Sam = None,
    config: ConfigFile = None,
    device: Device = "auto",
) -> None:
    """Sample pictures to outline by hand, with draft masks to start from.

    Run it again to count what is corrected. Exits with 1 if a draft failed.

    Examples:

      faultline pseudolabel gold data=canes/ --output gold/
    """
    from faultline.pseudolabel.gold import GoldRequest, make_gold

    state = make_gold(GoldRequest(
        overrides or (), output, per_class, seed, weights or (), channel_map, sam, device, config,
        say,
    ))  # fmt: skip
    if any(one["fault"] for one in state["pictures"].values()):
        raise typer.Exit(1)

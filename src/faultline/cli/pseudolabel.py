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


@pseudolabel_app.command()
def make(
    output: Annotated[Path, typer.Option("--output", help="Folder of the labels.")],
    overrides: Overrides = None,
    weights: Annotated[
        list[Path] | None,
        typer.Option("--weights", help="A classifier's run; give several to average them."),
    ] = None,
    channel_map: ChannelMap = None,
    sam: Sam = None,
    config: ConfigFile = None,
    device: Device = "auto",
) -> None:
    """Make masks with quality tiers of the training and validation pictures of class folders.

    Run the same command again to resume. Exits with 1 if a picture got no label.

    Examples:

      faultline pseudolabel make data=leaves/ --weights runs/classifier/latest --output masks/

      faultline pseudolabel make data=leaves/ --weights runs/a/latest --weights runs/b/latest \\
          --output masks/
    """
    from faultline.pseudolabel.make import MakeRequest, make_labels

    made = make_labels(MakeRequest(
        overrides or (), weights or (), output, channel_map, sam, device, config, say
    ))  # fmt: skip
    if made.failed:
        raise typer.Exit(1)

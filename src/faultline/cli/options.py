"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings, for example data=photos/ model=unet_mini"),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="YAML of settings (nested, or flat upper-case keys)."),
]
Weights = Annotated[
    Path, typer.Option("--weights", help="A .safetensors bundle, or the run folder that holds it.")
]
Threshold = Annotated[
    float | None, typer.Option("--threshold", help="Use this threshold; recorded as set by hand.")
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", help="Model name. With --weights: fail unless the weights are of this model."
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Precision = Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)

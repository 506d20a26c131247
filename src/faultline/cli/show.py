"""Commands that show what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from faultline.cli.app import app, list_app
from faultline.cli.options import AsJson, ConfigFile, Overrides, say


@app.command()
def config(overrides: Overrides = None, file: ConfigFile = None) -> None:
    """Show every setting with its value, as it would be used.

    Example:

      faultline config model=unet_mini trainer.max_time=5m
    """
    from faultline.config import load_config, to_yaml

    print(to_yaml(load_config(overrides or (), file=file)), end="")


@app.command()
def contracts(
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Page whose generated parts are brought up to date."),
    ] = None,
) -> None:
    """Show what crosses the borders of the package: records, losses, every stage of every model.

    Examples:

      faultline contracts

      faultline contracts --save docs/contracts.md
    """
    from faultline.evaluation.contract_page import new_page, renewed, save_page

    if save is None:
        print(renewed(new_page()), end="")
        return
    save_page(save)
    say(f"tables in {save}")


@list_app.command("models")
def list_models(as_json: AsJson = False) -> None:
    """Models."""
    from faultline.models import MODELS

    _list(MODELS, as_json)


@list_app.command("backbones")
def list_backbones(as_json: AsJson = False) -> None:
    """Backbones."""
    from faultline.models.backbones import BACKBONES

    _list(BACKBONES, as_json)


@list_app.command("losses")
def list_losses(as_json: AsJson = False) -> None:
    """Losses."""
    from faultline.losses import LOSSES

    _list(LOSSES, as_json)


@list_app.command("augmentations")
def list_augmentations(as_json: AsJson = False) -> None:
    """Augmentations."""
    from faultline.data.transforms import AUGMENTATIONS

    _list(AUGMENTATIONS, as_json)


@list_app.command("grids")
def list_grids(as_json: AsJson = False) -> None:
    """Grids of `faultline ablate`."""
    import json

    from faultline.experiments.grid import grid_rows

    rows = grid_rows()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        print(f"{row['name']:<{width}}  {row['about']}")
        print(f"{'':<{width}}  {' '.join(row['words'])}")
        if row["variants"]:
            print(f"{'':<{width}}  {', '.join(row['variants'])}")


@list_app.command("importers")
def list_importers(as_json: AsJson = False) -> None:
    """Importers of labelled data."""
    from faultline.data.importers import IMPORTERS

    _list(IMPORTERS, as_json)


def _list(registry: Any, as_json: bool) -> None:
    import json

    rows = [entry.describe() for entry in registry]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        print(f"{row['name']:<{width}}  {row['summary']}")
        if row["settings"]:
            shown = ", ".join(f"{key}={value!r}" for key, value in row["settings"].items())
            print(f"{'':<{width}}  {shown}")

"""Commands that show what there is."""

from __future__ import annotations

from collections.abc import Callable
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
        typer.Option("--save", help="Page to update in place, such as docs/contracts.md."),
    ] = None,
) -> None:
    """Show the package's interfaces: records, losses, shapes at every stage of every network.

    Examples:

      faultline contracts

      faultline contracts --save docs/contracts.md
    """
    from faultline.evaluation.contract_page import PARTS, new_page, renewed, save_page
    from faultline.speech.contract_page import PARTS as OF_SPEECH

    parts = {**PARTS, **OF_SPEECH}
    if save is None:
        print(renewed(new_page(parts), parts), end="")
        return
    save_page(save, parts)
    say(f"tables in {save}")


@list_app.command("models")
def list_models(as_json: AsJson = False) -> None:
    """Models, with the task that each is made for."""
    from faultline.models import MODELS

    _list(MODELS, as_json, _made_for)


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


def _made_for(model: dict[str, Any]) -> str:
    """The tasks of a model, by its tags, as `faultline.training.kinds` has them."""
    from faultline.models.registry import NETWORK_ONLY
    from faultline.tasks import SEGMENTATION, TASKS

    named = [tag for tag in model["tags"] if tag in TASKS]
    none = "no task" if NETWORK_ONLY in model["tags"] else SEGMENTATION
    return ", ".join(named) or none


def _list(
    registry: Any, as_json: bool, kind: Callable[[dict[str, Any]], str] = lambda row: ""
) -> None:
    import json

    rows = [entry.describe() for entry in registry]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    names, kinds = [row["name"] for row in rows], [kind(row) for row in rows]
    width, space = max(map(len, names), default=0), max(map(len, kinds), default=0)
    for name, what, row in zip(names, kinds, rows, strict=True):
        column = f"{what:<{space}}  " if space else ""
        print(f"{name:<{width}}  {column}{row['summary']}")
        # What has no default is given by Faultline itself.
        settings = {key: value for key, value in row["settings"].items() if value != "required"}
        if settings:
            shown = ", ".join(f"{key}={value!r}" for key, value in settings.items())
            print(f"{'':<{width}}  {shown}")

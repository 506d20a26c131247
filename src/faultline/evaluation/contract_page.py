"""The tables of `docs/contracts.md` that are made from the code, and the page that holds them.

A generated part stands between two marks, `<!-- generated: NAME -->` and `<!-- end of NAME -->`;
everything outside is written by hand and kept.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from faultline.artifacts.bundle import Bundle
from faultline.data.collate import Batch
from faultline.data.dataset import Sample
from faultline.errors import ConfigError, MissingExtraError
from faultline.files import write_text
from faultline.losses import LOSSES
from faultline.losses.targets import Pixels
from faultline.models import MODELS, PromptedNetwork, count_parameters, create_model
from faultline.models.stages import Shape, Stage, run_stages
from faultline.predict.probability import Prediction
from faultline.registry import Entry
from faultline.types import LabelSpace

Parts = Mapping[str, Callable[[], str]]
"""Name -> maker of each part; rooms above this one have parts of their own."""

SIZE = (320, 480)
CLASSIFIER_SIZE = (224, 224)
_OUTSIDE = ("weights",)
"""Settings that name a network from elsewhere; a page must not download any."""
RECORDS: tuple[type, ...] = (LabelSpace, Sample, Batch, Pixels, Prediction, Bundle)


def save_page(path: Path, parts: Parts | None = None) -> None:
    """Bring the generated parts of the page at `path` up to date; a new page holds them alone.

    Args:
        path: The page.
        parts: Name -> maker of each part; `PARTS` alone by default.

    Raises:
        ConfigError: The page has none of the marks, or one without its end.
        OutputError: It cannot be written.
    """
    text = path.read_text("utf-8") if path.is_file() else new_page(parts)
    write_text(path, renewed(text, parts, where=path))


def new_page(parts: Parts | None = None) -> str:
    """A page of the marks alone."""
    marks = (f"{_opening(name)}\n{_closing(name)}" for name in parts or PARTS)
    return "# Contracts\n\n" + "\n\n".join(marks)


def renewed(text: str, parts: Parts | None = None, where: Path | None = None) -> str:
    """`text` with every marked part made anew.

    Raises:
        ConfigError: See `save_page`.
    """
    parts = parts or PARTS
    if not any(_opening(name) in text for name in parts):
        raise ConfigError(
            "holds no mark of a generated part",
            where=where,
            remedy=f"put {' or '.join(map(_opening, parts))} and its end where the tables belong",
        )
    for name, make in parts.items():
        before, opening, rest = text.partition(_opening(name))
        _, closing, after = rest.partition(_closing(name))
        if opening and not closing:
            raise ConfigError(
                f"{_opening(name)} has no end", where=where, remedy=f"add {_closing(name)}"
            )
        if opening:
            text = f"{before}{opening}\n\n{make()}\n\n{closing}{after}"
    return text.rstrip() + "\n"


def records_tables(records: Iterable[type]) -> str:
    """A table of fields for each record that crosses a border, from its docstring."""
    return "\n\n".join(
        f"`{record.__module__}.{record.__name__}`\n\n"
        + table(("Field", "Content"), [(f"`{name}`", text) for name, text in fields_of(record)])
        for record in records
    )


def fields_of(record: type) -> list[tuple[str, str]]:
    """Name and text of every entry in the `Attributes:` of a docstring."""
    _, _, section = (inspect.getdoc(record) or "").partition("Attributes:\n")
    section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return [(name, " ".join(text.split())) for name, text in entries]


def losses_part() -> str:
    """A table of all losses: label kinds that they are defined for, settings, what they are."""
    return table(
        ("Loss", "Kinds", "Settings", "What it is"),
        [_loss_row(entry) for entry in own_entries(LOSSES)],
    )


def _loss_row(entry: Entry[Any]) -> tuple[str, ...]:
    kinds = ", ".join(getattr(entry.builder, "kinds", ())) or "-"
    return f"`{entry.name}`", kinds, settings_text(entry, without=("kind",)), entry.summary


def settings_text(entry: Entry[Any], without: Sequence[str] = ()) -> str:
    """The settings of a builder with their defaults, but for those named `without`."""
    settings = entry.describe()["settings"]
    shown = [f"`{key}={value}`" for key, value in settings.items() if key not in without]
    return ", ".join(shown) or "none"


def models_part() -> str:
    """A section for each model: parameters, and the shapes of every stage."""
    return "\n\n".join(model_section(entry) for entry in own_entries(MODELS))


def model_section(entry: Entry[nn.Module]) -> str:
    """Heading, summary, size and stages of a model with its default settings."""
    head = f"### {entry.name}\n\n{entry.summary}"
    chosen = [
        name
        for name, parameter in entry.settings().items()
        if parameter.default is inspect.Parameter.empty or name in _OUTSIDE
    ]
    if chosen:
        return f"{head}\n\nIts stages are those of the network that `{chosen[0]}` names."
    try:
        model, stages = _measured(entry)
    except MissingExtraError as error:
        return f"{head}\n\nIts stages cannot be shown here: {error}."
    return (
        f"{head}\n\nFor a picture of {_picture_size(entry)[0]} x {_picture_size(entry)[1]}; "
        f"{count_parameters(model):,} parameters.\n\n" + stages_table(stages)
    )


def stages_table(stages: Iterable[Stage]) -> str:
    """A row for each stage: shapes without their batch axis, and parameters."""
    rows = [
        (f"`{s.name}`", _shown(s.inputs), _shown(s.outputs), f"{s.parameters:,}") for s in stages
    ]
    return table(("Stage", "In", "Out", "Parameters"), rows)


def _measured(entry: Entry[nn.Module]) -> tuple[nn.Module, list[Stage]]:
    # Shapes do not depend on weights.
    settings = {"pretrained": False} if "pretrained" in entry.settings() else {}
    with torch.device("meta"):
        model = create_model(entry.name, **settings).eval()
        if isinstance(model, PromptedNetwork):
            model.ask(("crack",))
        return model, run_stages(model, torch.zeros(1, 3, *_picture_size(entry)))


def _picture_size(entry: Entry[nn.Module]) -> tuple[int, int]:
    return CLASSIFIER_SIZE if "classification" in entry.tags else SIZE


def _shown(shapes: Sequence[Shape]) -> str:
    """Shapes without their batch axis."""
    return " and ".join(str(shape[1:]) for shape in shapes) or "-"


def own_entries(registry: Iterable[Entry[Any]]) -> list[Entry[Any]]:
    """Entries of this package: plugins document themselves."""
    return [entry for entry in registry if entry.builder.__module__.startswith("faultline.")]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _opening(name: str) -> str:
    return f"<!-- generated: {name} -->"


def _closing(name: str) -> str:
    return f"<!-- end of {name} -->"


PARTS: Parts = {
    "records": lambda: records_tables(RECORDS),
    "losses": losses_part,
    "models": models_part,
}

"""Which pictures weights that answer prompts are scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from faultline.config.paths import same_folder
from faultline.config.schema import Config
from faultline.data.manifest import Problem
from faultline.data.prompt_items import PromptItem, PromptParts
from faultline.data.prompt_labels import read_labels
from faultline.data.prompt_prepare import prepare_prompted, prompt_item
from faultline.data.prompt_sources import sources_of
from faultline.data.prompts import PromptTable
from faultline.errors import DataError


@dataclass(frozen=True)
class PromptTestSet:
    """Pictures to score on.

    Attributes:
        items: The pictures, with the labels of their classes.
        name: For people.
        split: Which part they are.
        same_data_set: Whether the weights were trained on other parts of these sources.
        problems: Files that were left out.
        parts: All parts, where the weights come from these sources.
    """

    items: list[PromptItem]
    name: str
    split: str
    same_data_set: bool
    problems: Sequence[Problem] = ()
    parts: PromptParts | None = None


def find_prompt_test_set(
    config: Config, trained: Config | None, table: PromptTable, part: str = "test"
) -> PromptTestSet:
    """The pictures that `config` means, labelled with the classes of `table`.

    Args:
        config: Settings in force.
        trained: Those that the weights were trained with, if known.
        table: Classes that the weights know.
        part: Part of the training's own sources: `test` or `valid`.

    Raises:
        DataError: There are none, or none shows a class that the weights know.
    """
    config = _own_folder_wins(config, trained)
    if trained is not None and _same_sources(config, trained):
        return _kept_by_training(config, part)
    return _of_others(config, table)


def _own_folder_wins(config: Config, trained: Config | None) -> Config:
    """`data=FOLDER` beside trained sources asks for that folder alone."""
    asked = config.data.root is not None
    same = trained is not None and same_folder(trained.data.root, config.data.root)
    listed = trained is not None and trained.data.sources == config.data.sources
    if asked and not same and listed:
        return replace(config, data=replace(config.data, sources=[]))
    return config


def _same_sources(config: Config, trained: Config) -> bool:
    ours, theirs = _roots(config), _roots(trained)
    return bool(ours) and ours == theirs


def _roots(config: Config) -> list[Path]:
    return sorted(source.root.expanduser().resolve() for source in sources_of(config.data))


def _kept_by_training(config: Config, part: str) -> PromptTestSet:
    parts = prepare_prompted(config.data, config.prompts, config.seed)
    items = parts.test if part == "test" else parts.valid
    if not items:
        raise DataError(
            "the training kept no test pictures",
            remedy="add data=FOLDER with labelled pictures that were not trained on",
        )
    name = ", ".join(parts.weights)
    return PromptTestSet(items, name, part, True, parts.problems, parts)


def _of_others(config: Config, table: PromptTable) -> PromptTestSet:
    items: list[PromptItem] = []
    problems: list[Problem] = []
    splits: list[str] = []
    sources = sources_of(config.data)
    for source in sources:
        labels = read_labels(source, table)
        problems += labels.problems
        found = list(labels.items.values())
        split = next((n for n in ("test", "valid") if any(i.split == n for i in found)), None)
        splits.append(split or "all of it")
        chosen = [item for item in found if split is None or item.split == split]
        items += [prompt_item(item, source, labels, table) for item in chosen]
    known = set(table.classes)
    if not any(known & set(item.parts) for item in items):
        raise DataError(
            f"no picture shows a class that these weights know ({', '.join(table.classes)})",
            where=", ".join(str(source.root) for source in sources),
            remedy="name the class in the source ({root: ..., class: crack}), or evaluate on "
            "data that was labelled with these classes",
        )
    kept = [_only_known(item, known) for item in items]
    name = ", ".join(source.name for source in sources)
    return PromptTestSet(kept, name, " and ".join(dict.fromkeys(splits)), False, problems)


def _only_known(item: PromptItem, known: set[str]) -> PromptItem:
    parts = {name: part for name, part in item.parts.items() if name in known}
    return replace(item, parts=parts)

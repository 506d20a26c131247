"""From sources to training, validation and test items of prompted segmentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from faultline.config.schema import DataConfig, PromptsConfig
from faultline.data.manifest import Item, Problem
from faultline.data.prompt_items import PromptItem, PromptParts
from faultline.data.prompt_labels import SourceLabels, classes_in, read_labels
from faultline.data.prompt_sources import Source, sources_of
from faultline.data.prompts import PromptTable, load_table, shared_wordings
from faultline.data.splits import check_disjoint, grouped_split
from faultline.errors import ConfigError, DataError

ROLES = ("train", "valid", "test")


def prompt_table(settings: PromptsConfig) -> PromptTable:
    """The table that `settings` ask for, with their held-out wordings.

    Raises:
        ConfigError: It cannot be used.
    """
    return load_table(settings.table).holding_out(settings.held_out)


def prepare_prompted(data: DataConfig, settings: PromptsConfig, seed: int) -> PromptParts:
    """Read every source and split it by group; the same seed gives the same split.

    A source with splits of its own keeps them as `prepare` does: a shipped `valid` without a
    `test` becomes the test set, and a share of `train` validates. Other sources are split by
    group, class by class.

    Raises:
        DataError: A source cannot be used, or a class has nothing to learn from.
        LeakageError: The same picture, or group, is in two parts.
        ConfigError: Sources or prompt table are wrong.
    """
    table, sources = prompt_table(settings), sources_of(data)
    labels = {source.name: read_labels(source, table) for source in sources}
    classes = classes_in(labels)
    table = _trained_table(table, classes)
    parts = PromptParts(table, [], [], [], {source.name: source.weight for source in sources})
    for source in sources:
        one = labels[source.name]
        parts.problems += [Problem(f"{source.name}/{p.file}", p.reason) for p in one.problems]
        parts.notes += one.notes
        items = [prompt_item(item, source, one, table) for item in one.items.values()]
        for role, chosen in _split(items, source.data, seed, parts.notes, source.name).items():
            getattr(parts, role).extend(chosen)
    _check(parts)
    return parts


def _trained_table(table: PromptTable, classes: Sequence[str]) -> PromptTable:
    trained = table.with_classes(classes).only(classes)
    clashes = shared_wordings(trained.classes)
    if clashes:
        raise ConfigError(
            f"the prompt table gives one wording to two trained classes: {'; '.join(clashes)}",
            remedy="correct the file that prompts.table names",
        )
    return trained


def prompt_item(item: Item, source: Source, labels: SourceLabels, table: PromptTable) -> PromptItem:
    """A picture of a source with its labels, and with what it is taken not to show."""
    shown = labels.parts[item.id]
    blocked = {*shown, *labels.unsure.get(item.id, ())}
    absent = tuple(
        name
        for name in table.classes
        if not any(table.related(name, other) for other in blocked)
        and _may_be_absent(name, source, labels)
    )
    named = replace(item, id=f"{source.name}/{item.id}", group=f"{source.name}/{item.group}")
    return PromptItem(named, source.name, dict(shown), absent)


def _may_be_absent(name: str, source: Source, labels: SourceLabels) -> bool:
    """Whether a picture without a label of the class is taken not to show it."""
    if name in labels.classes or source.absent == "all":
        return True
    return source.absent != "none" and name in source.absent


def _split(
    items: list[PromptItem], data: DataConfig, seed: int, notes: list[str], name: str
) -> dict[str, list[PromptItem]]:
    roles = {role: [one for one in items if one.item.split == role] for role in ROLES}
    loose = [one for one in items if one.item.split is None]
    if loose and not roles["train"]:
        roles["train"] = loose
        if not roles["test"] and data.test_fraction > 0:
            roles["train"], roles["test"] = split_by_class(loose, data.test_fraction, seed)
            notes.append(f"{name}: {len(roles['test'])} pictures, by group and class, are kept "
                         "as the test set")  # fmt: skip
    if roles["valid"] and not roles["test"] and data.validation != "split":
        roles["test"], roles["valid"] = roles["valid"], []
        notes.append(f"{name}: the {len(roles['test'])} pictures of `valid` are the test set")
    if data.validation == "train":
        roles["valid"] = []
    if not roles["valid"] and roles["train"]:
        roles["train"], roles["valid"] = split_by_class(roles["train"], data.valid_fraction, seed)
        notes.append(f"{name}: {len(roles['valid'])} training pictures, by group, validate")
    return roles


def split_by_class(
    items: Sequence[PromptItem], fraction: float, seed: int
) -> tuple[list[PromptItem], list[PromptItem]]:
    """Hold out about `fraction` of the items of every class; groups stay whole.

    A group counts for the rarest class that any of its pictures shows.

    Raises:
        DataError: There are fewer than two groups.
    """
    common = Counter(name for one in items for name in one.parts)
    kind: dict[str, str] = {}
    for one in items:
        rarest = min(one.parts, key=lambda name: (common[name], name), default="")
        before = kind.get(one.group, "")
        if not before or (rarest and common[rarest] < common[before]):
            kind[one.group] = rarest
    held: set[str] = set()
    for name in sorted(set(kind.values())):
        own = [one.item for one in items if kind[one.group] == name]
        if len({item.group for item in own}) >= 2:
            held |= {item.group for item in grouped_split(own, fraction, seed)[1]}
    if not held:
        held = {item.group for item in grouped_split([i.item for i in items], fraction, seed)[1]}
    kept = [one for one in items if one.group not in held]
    return kept, [one for one in items if one.group in held]


def _check(parts: PromptParts) -> None:
    for role in ("train", "valid"):
        found = getattr(parts, role)
        if not found:
            raise DataError(f"no pictures are left for {role}", remedy="give more pictures")
    filled = {role: [one.item for one in getattr(parts, role)] for role in ROLES}
    check_disjoint(**{role: items for role, items in filled.items() if items})
    trained = {name for one in parts.train for name in one.parts}
    blind = [name for name in parts.classes if name not in trained]
    if len(blind) == len(parts.classes):
        raise DataError(
            "none of the training pictures shows any class",
            remedy="check the labels with `faultline doctor data=FOLDER`",
        )
    parts.notes += [f"class {name!r} has no training picture that shows it" for name in blind]
    chosen = {name for one in parts.valid for name in one.parts}
    if not chosen:
        raise DataError(
            "no validation picture shows any class, so neither the best epoch nor a threshold "
            "can be chosen",
            remedy="raise data.valid_fraction, or change seed",
        )
    if parts.test and not any(one.parts for one in parts.test):
        parts.notes.append(
            f"WARNING: none of the {len(parts.test)} test pictures shows any class: scores on them "
            "will tell about false answers and nothing about what is found"
        )
    parts.notes += [
        f"class {name!r} has no validation picture: it takes the shared threshold"
        for name in parts.classes
        if name in trained and name not in chosen
    ]

"""One folder per class, each with pictures and mask files (as magnetic-tile defects are shipped).

The masks of folders whose name counts as foreground are used; the pictures of the others show
something else, and are negatives. Binary, unless `data.kind=multiclass` makes a class of every
such folder whose masks outline anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from faultline.data.importers.class_folders import find_class_units
from faultline.data.importers.collect import Collector
from faultline.data.importers.label_spaces import BACKGROUND
from faultline.data.importers.layout import Unit
from faultline.data.importers.masks import Labelled, build, no_masks
from faultline.data.importers.options import IMPORTERS, ImportOptions
from faultline.data.importers.pairing import Pairing, pair_unit
from faultline.data.manifest import Item, Manifest
from faultline.data.mask_rules import rule_of_class
from faultline.errors import ConfigError, DataError
from faultline.types import LabelKind, LabelSpace


@IMPORTERS.register("class_masks", summary="one folder per class, with pictures and mask files")
def import_class_masks(root: Path, options: ImportOptions) -> Manifest:
    """Read class folders with masks; `positive` chooses the folders whose masks count.

    Raises:
        DataError: No folder has masks, no folder name is positive, or masks fit no rule.
        ConfigError: Several labels per pixel are asked for.
    """
    if options.kind == "multilabel":
        raise ConfigError(
            "class folders with masks give one label per pixel, not several",
            remedy="set data.kind=binary or multiclass, and choose folders with data.positive",
        )
    units = find_class_units(root)
    pairings = [pair_unit(unit) for _, unit in units]
    if not any(pairing.has_masks for pairing in pairings):
        raise no_masks(root, pairings)
    chosen = options.choose(
        [name for (name, _), pairing in zip(units, pairings, strict=True) if pairing.pairs],
        "class folder",
        root,
    )
    collector = Collector(root)
    rows: list[Labelled] = []
    others: set[str] = set()
    for (name, unit), pairing in zip(units, pairings, strict=True):
        if name in chosen:
            rows += _positive_rows(unit, pairing, collector)
        elif pairing.pairs:
            rows += [Labelled(pair.image, None, unit.split) for pair in pairing.pairs]
            others.add(name)
    one_class = replace(options, kind="binary", classes=())
    manifest = build(collector, "class_masks", rows, one_class, names=chosen)
    if options.kind == "multiclass":
        chosen = _told_apart(manifest, chosen)
    manifest.notes.append(f"foreground: the masks of {', '.join(chosen)}")
    if others:
        manifest.notes.append(f"negatives, whatever they show: {', '.join(sorted(others))}")
    return manifest


def _told_apart(manifest: Manifest, names: Sequence[str]) -> list[str]:
    """Make a class of each of the folders `names` that outlines anything; gives those.

    Raises:
        DataError: There is none.
    """
    shown = {_folder_of(item) for item in manifest.items if item.positive}
    classes = [name for name in names if name in shown]
    if not classes:
        raise DataError(
            "no mask outlines anything",
            where=manifest.root,
            remedy="look at the masks, or set data.mask_rule",
        )
    positions = {name: position for position, name in enumerate(classes, 1)}
    manifest.label_space = LabelSpace(LabelKind.MULTICLASS, (BACKGROUND, *classes))
    manifest.items = [_of_class(item, positions) for item in manifest.items]
    return classes


def _of_class(item: Item, positions: Mapping[str, int]) -> Item:
    """The item, its foreground being the class of its folder; without one it is a negative."""
    position = positions.get(_folder_of(item))
    if item.mask_file is None or position is None:
        return replace(item, mask_file=None)
    rule = rule_of_class(item.mask_file.rule, position)
    return replace(item, mask_file=replace(item.mask_file, rule=rule))


def _folder_of(item: Item) -> str:
    """Name of the class folder: an id is `[split/]class/[Imgs/]x.jpg`."""
    parts = PurePosixPath(item.id).parts
    return parts[1] if item.split is not None else parts[0]


def _positive_rows(unit: Unit, pairing: Pairing, collector: Collector) -> list[Labelled]:
    for orphan in pairing.orphans:
        collector.problem(orphan, "a mask without a picture of its name")
    for file in pairing.unclear:
        collector.problem(file, "may be picture or mask -> put the masks into a folder masks/")
    rows = []
    for pair in pairing.pairs:
        if len(pair.masks) == 1:
            rows.append(Labelled(pair.image, pair.masks[0][0], unit.split))
        else:
            names = ", ".join(mask.name for mask, _ in pair.masks)
            collector.problem(pair.image, f"several masks: {names}" if names else "no mask")
    return rows

"""One folder per class: the name of the folder says what its pictures show.

Mask files beside the pictures (as magnetic-tile defects are shipped) are not read here; see
`class_masks`, which reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faultline.data.importers.collect import Collector
from faultline.data.importers.layout import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    Unit,
    find_pictures,
    split_folders,
    subfolders,
    unit_of,
)
from faultline.data.importers.options import IMPORTERS, ImportOptions
from faultline.data.importers.pairing import Pairing, pair_unit
from faultline.data.manifest import Manifest
from faultline.errors import ConfigError, DataError
from faultline.types import LabelKind, LabelSpace

_NOT_CLASSES = frozenset({*IMAGE_FOLDERS, *MASK_FOLDERS})

ClassUnit = tuple[str, Unit, Pairing]


def find_class_units(root: Path) -> list[tuple[str, Unit]]:
    """(class name, unit) of the folders below `root`, or below its splits."""
    places: list[tuple[str | None, Path]] = [*split_folders(root)] or [(None, root)]
    return [
        (folder.name, unit_of(folder, split))
        for split, place in places
        for folder in subfolders(place)
    ]


def has_classes(root: Path) -> bool:
    """Whether two folders or more, none of them named for pictures or masks, hold pictures."""
    units = [(name, unit) for name, unit in find_class_units(root)]
    if any(name.lower() in _NOT_CLASSES for name, _ in units):
        return False
    return len({name for name, unit in units if find_pictures(unit.images)}) >= 2


@IMPORTERS.register("class_folders", summary="one folder per class; its name is the label")
def import_class_folders(root: Path, options: ImportOptions) -> Manifest:
    """Read class folders, `class/x.jpg` or `split/class/x.jpg`, as labels of whole pictures.

    `classes` gives the order of the classes, and leaves out folders that it does not name.

    Raises:
        DataError: Fewer than two folders hold pictures, or one of `classes` has none.
        ConfigError: Another kind than multiclass is asked for.
    """
    if options.kind not in ("auto", "multiclass"):
        raise ConfigError(
            f"one folder per class gives one label per picture, not {options.kind}",
            remedy="leave data.kind=auto",
        )
    units = [(name, unit, pair_unit(unit)) for name, unit in find_class_units(root)]
    names = _class_names(root, units, options)
    collector = Collector(root)
    for name, unit, pairing in units:
        if name in names:
            _add(collector, names.index(name), unit, pairing)
    space = LabelSpace(LabelKind.MULTICLASS, tuple(names))
    notes = _notes(units, names)
    return Manifest(root, "class_folders", space, collector.items, collector.problems, notes)


def _class_names(root: Path, units: Sequence[ClassUnit], options: ImportOptions) -> list[str]:
    found = sorted({name for name, _, pairing in units if pairing.pairs})
    names = list(options.classes) or found
    absent = [name for name in names if name not in found]
    if absent:
        raise DataError(
            f"no pictures for {', '.join(absent)}; there are: {', '.join(found) or 'none'}",
            where=root,
            remedy="set data.classes to the names of folders",
        )
    if len(names) < 2:
        raise DataError(
            f"pictures of {len(names)} classes: there is nothing to tell apart",
            where=root,
            remedy="put the pictures of each class into a folder of its own",
        )
    return names


def _add(collector: Collector, index: int, unit: Unit, pairing: Pairing) -> None:
    for file in pairing.unclear:
        collector.problem(file, "may be picture or mask -> put the masks into a folder masks/")
    facts = collector.inspect([pair.image for pair in pairing.pairs])
    for path, fact in facts.items():
        collector.add(path, fact, unit.split, targets=(index,))


def _notes(units: Sequence[ClassUnit], names: Sequence[str]) -> list[str]:
    notes = [f"classes are the folders {', '.join(names)}"]
    used = [(unit, pairing) for name, unit, pairing in units if name in names]
    left = sorted({name for name, _, pairing in units if pairing.pairs} - set(names))
    if left:
        notes.append(f"not in data.classes, left out: {', '.join(left)}")
    masks = sum(len(pair.masks) for _, pairing in used for pair in pairing.pairs)
    if masks:
        notes.append(f"{masks} mask files are not used (data.format=class_masks uses them)")
    deep = sum(_deeper(unit) for unit, _ in used)
    if deep:
        notes.append(f"{deep} pictures lie deeper below their class folder: left out")
    return notes


def _deeper(unit: Unit) -> int:
    """Pictures below the folder of a unit that are neither in it nor masks."""
    inside = [path for path in find_pictures(unit.images, deep=True) if path.parent != unit.images]
    if unit.masks is None:
        return len(inside)
    return sum(not path.is_relative_to(unit.masks) for path in inside)

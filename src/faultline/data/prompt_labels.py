"""One source's labels, class by class, whatever form they are shipped in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from faultline.data.importers import import_dataset
from faultline.data.importers.detect import detect_format
from faultline.data.importers.layout import find_units
from faultline.data.importers.pairing import pair_unit
from faultline.data.manifest import Item, Manifest, Problem
from faultline.data.masks import load_mask
from faultline.data.prompt_items import Part, Pixels, plane_of
from faultline.data.prompt_sources import Source
from faultline.data.prompts import PromptTable, comparable
from faultline.errors import DataError, FaultlineError
from faultline.types import IGNORE_INDEX, LabelKind

_NOT_A_CLASS = ("foreground", "defect", "background")
_NOTHING = frozenset({"free", "normal", "good", "ok", "healthy", "background", "no defect", "none"})
"""Names of class folders (behind a prefix such as `MT_`) whose pictures show nothing."""


@dataclass
class SourceLabels:
    """What a source holds.

    Attributes:
        items: Pictures by id.
        parts: Id -> class -> label, for the classes that the picture shows.
        unsure: Id -> classes that it may show without a label.
        classes: Every class that is labelled in this source.
        problems: Files left out.
        notes: How it was read.
    """

    items: dict[str, Item] = field(default_factory=dict)
    parts: dict[str, dict[str, Part]] = field(default_factory=dict)
    unsure: dict[str, set[str]] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, item: Item) -> None:
        """Take a picture in, once."""
        self.items.setdefault(item.id, item)
        self.parts.setdefault(item.id, {})


def read_labels(source: Source, table: PromptTable) -> SourceLabels:
    """Import a source and find the label of every class.

    Raises:
        DataError: There is nothing usable, or a name tells no class.
        ConfigError: A setting contradicts another.
    """
    form, notes = source.data.format, list[str]()
    if form == "auto":
        form, notes = detect_format(source.root)
    labels = SourceLabels(notes=[f"{source.name}: {note}" for note in notes])
    prompts = prompts_in_names(source) if form == "masks" else []
    if prompts:
        _read_prompts(labels, source, table, prompts)
    elif form == "class_masks":
        _read_folders(labels, source, table)
    else:
        _read_named(labels, source, table, form)
    if not labels.classes:
        raise DataError("the labels show no class", where=source.root)
    return labels


def prompts_in_names(source: Source) -> list[str]:
    """Prompts in the names of mask files (`x__segment_crack.png`) that count as foreground."""
    found = {
        prompt
        for unit in find_units(source.root)
        for pair in pair_unit(unit).pairs
        for _, prompt in pair.masks
        if prompt
    }
    wanted = [comparable(part) for part in source.data.positive.split(",") if part.strip()]
    everything = "*" in source.data.positive
    return sorted(p for p in found if everything or any(w in comparable(p) for w in wanted))


def _read_prompts(
    labels: SourceLabels, source: Source, table: PromptTable, prompts: list[str]
) -> None:
    """One mask per picture and prompt; several prompts of one class are one label."""
    for prompt in prompts:
        name = source.class_name or table.class_of(prompt) or comparable(prompt)
        manifest = _manifest(source, "masks", positive=prompt, exact=True)
        _take_over(labels, manifest, source)
        for item in manifest.items:
            labels.add(item)
            if item.positive is not False:
                labels.parts[item.id].setdefault(name, Part(item, manifest.label_space))
        _add_class(labels, name)
    # A picture that lacks one of the masks is used for the others.
    used = set(labels.items)
    labels.problems = [p for p in labels.problems if p.file not in used]


def _read_folders(labels: SourceLabels, source: Source, table: PromptTable) -> None:
    """One folder per class: the mask of a picture is of the class of its folder."""
    manifest = _manifest(source, "class_masks", positive=source.data.positive)
    _take_over(labels, manifest, source)
    for item in manifest.items:
        labels.add(item)
        folder = _class_folder(item)
        name = None if _shows_nothing(folder) else _class_name(folder, source, table)
        if name is None:
            continue
        if item.mask_file is None:
            labels.unsure.setdefault(item.id, set()).add(name)
        elif item.positive is not False:
            labels.parts[item.id][name] = Part(item, manifest.label_space)
            _add_class(labels, name)


def _read_named(labels: SourceLabels, source: Source, table: PromptTable, form: str) -> None:
    """COCO, masks in colour or of indices, and masks of one kind: the label space names them."""
    # Index masks hold one class per pixel; everything else may hold several.
    several = form != "masks" or (bool(source.data.mask_colours) and not source.data.classes)
    kind = "multilabel" if several and source.data.kind == "auto" else source.data.kind
    manifest = _manifest(source, form, positive=source.data.positive, kind=kind)
    if any(item.image_level for item in manifest.items):
        raise DataError(
            "the labels are of whole pictures, and prompts need masks",
            where=source.root,
            remedy="use task=classification for this data set, or add masks",
        )
    _take_over(labels, manifest, source)
    space = manifest.label_space
    first = 1 if space.kind is LabelKind.MULTICLASS else 0
    names = {
        plane: _class_name(space.names[plane], source, table, alone=len(space.names) - first == 1)
        for plane in range(first, len(space.names))
    }
    for item in manifest.items:
        labels.add(item)
        own = labels.parts[item.id]
        for plane in _planes_shown(item, manifest, list(names), labels.problems):
            own[names[plane]] = Part(item, space, plane)
    for name in names.values():
        _add_class(labels, name)


def _manifest(
    source: Source, form: str, *, positive: str, kind: str | None = None, exact: bool = False
) -> Manifest:
    data = source.data
    return import_dataset(
        source.root,
        format=form,
        positive=positive,
        on_error=data.on_error,
        mask_colours=data.mask_colours or None,
        mask_rule=data.mask_rule,
        kind=kind or "auto",
        classes=data.classes,
        group_by=data.group_by,
        duplicate_distance=data.duplicate_distance,
        exact=exact,
    )


def _take_over(labels: SourceLabels, manifest: Manifest, source: Source) -> None:
    labels.problems += [problem for problem in manifest.problems if problem not in labels.problems]
    for note in manifest.notes:
        text = f"{source.name}: {note}"
        if text not in labels.notes:
            labels.notes.append(text)


def _add_class(labels: SourceLabels, name: str) -> None:
    if name not in labels.classes:
        labels.classes.append(name)


def _class_name(name: str, source: Source, table: PromptTable, *, alone: bool = False) -> str:
    """Class of the table that a data set's name means, or a new one called like it.

    Raises:
        DataError: The name says nothing ("foreground"), and the source names no class.
    """
    if source.class_name is not None and (alone or name in _NOT_A_CLASS):
        return source.class_name
    found = table.class_of(name)
    if found is not None:
        return found
    if name in _NOT_A_CLASS:
        told = table.class_of(source.name)
        if told is not None:
            return told
        raise DataError(
            f"the label name {name!r} does not say which class it is",
            where=source.root,
            remedy="name it in the source: {root: ..., class: crack}",
        )
    return comparable(name).replace(" ", "_") or name


def _class_folder(item: Item) -> str:
    """Folder that stands for the class: the deepest one that is no folder of pictures or masks."""
    folders = PurePosixPath(item.id).parts[:-1]
    plain = [name for name in folders if name.lower() not in ("imgs", "images", "img", "masks")]
    return plain[-1] if plain else ""


def _shows_nothing(folder: str) -> bool:
    words = comparable(folder)
    return words in _NOTHING or words.rpartition(" ")[2] in _NOTHING


def _planes_shown(
    item: Item, manifest: Manifest, planes: list[int], problems: list[Problem]
) -> list[int]:
    """Classes that an item shows; masks that hold several are decoded to find out."""
    if item.mask_file is None:
        shown = {region.class_index for region in item.regions}
        return [plane for plane in planes if plane in shown]
    if item.positive is False:
        return []
    if len(planes) == 1 and item.positive:
        return planes
    try:
        mask = load_mask(item, manifest.label_space)
    except FaultlineError as error:
        problems.append(Problem(item.id, error.what))
        return []
    space = manifest.label_space
    return [p for p in planes if _any_foreground(plane_of(mask, space, p))]


def _any_foreground(mask: Pixels) -> bool:
    return bool(((mask > 0) & (mask != IGNORE_INDEX)).any())


def classes_in(labels: Mapping[str, SourceLabels]) -> list[str]:
    """Every class of several sources, in order of appearance."""
    return list(dict.fromkeys(name for one in labels.values() for name in one.classes))

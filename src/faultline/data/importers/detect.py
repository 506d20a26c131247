"""Which format a folder is in, told from what lies in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from faultline.data.importers.bare_splits import other_test_set
from faultline.data.importers.class_folders import find_class_units, has_classes
from faultline.data.importers.coco_files import USUAL_NAME, CocoSource, find_sources
from faultline.data.importers.coco_json import load_coco
from faultline.data.importers.json_files import find_json
from faultline.data.importers.layout import Unit, find_pictures, find_units
from faultline.data.importers.pairing import pair_unit
from faultline.data.importers.severstal_csv import (
    SeverstalTable,
    find_tables,
    nearly_table,
    read_table,
)
from faultline.errors import DataError


def detect_format(
    root: Path, task: str = "segmentation", unused: Collection[str] = ()
) -> tuple[str, list[str]]:
    """Name of the importer for a folder, and notes on what was decided.

    COCO outlines are preferred to mask files, and mask files to COCO boxes. Class folders with
    masks tell where something is, or what a picture shows: `task` decides. Splits in `unused` may
    be labelled in any form.

    Raises:
        DataError: There are no pictures, or no labels of a known form; splits are labelled in
            different forms; a table that lacks a column is named.
    """
    sources = find_sources(root)
    if not sources and not find_pictures(root, deep=True):
        raise DataError(
            "the folder holds no pictures",
            where=root,
            remedy="give a folder of pictures with labels",
        )
    masked = [unit for unit in find_units(root) if pair_unit(unit).has_masks]
    if sources and masked:
        return _prefer(sources, masked, root, unused)
    if sources:
        return "coco", []
    if find_tables(root)[0]:
        return "severstal", []
    return _without_table(root, task, bool(masked)), []


def _without_table(root: Path, task: str, has_masks: bool) -> str:
    """The importer for labels that only files and folders tell."""
    if has_masks:
        return "masks"
    class_units = find_class_units(root)
    if task != "classification" and any(pair_unit(unit).has_masks for _, unit in class_units):
        return "class_masks"
    if any(source.has_pairs for source in find_json(root)):
        return "json_per_picture"
    if has_classes(root):
        return "class_folders"
    table = nearly_table(root)
    if table is not None:
        read_table(SeverstalTable(table, None, root))  # says which columns are missing
    raise DataError(
        f"{len(find_pictures(root, deep=True))} pictures, but no annotation file and no masks",
        where=root,
        remedy=f"put {USUAL_NAME} beside the pictures, masks of the same stem in masks/, or the "
        "pictures of each class into a folder of its own; "
        "data.format=pictures reads them without labels",
    )


def _prefer(
    sources: Sequence[CocoSource], masked: Sequence[Unit], root: Path, unused: Collection[str]
) -> tuple[str, list[str]]:
    paths = [source.path for source in sources]
    names = ", ".join(path.relative_to(root).as_posix() for path in paths)
    outlined = any(load_coco(path).has_outlines for path in paths)
    by_form = {
        "coco": {source.split for source in sources},
        "masks": {unit.split for unit in masked},
    }
    _refuse_two_forms(root, by_form, "coco" if outlined else "masks", unused)
    if outlined:
        note = f"labels: COCO ({names}); the mask files are not used (data.format=masks uses them)"
        return "coco", [note]
    note = f"labels: mask files; COCO ({names}) has only boxes (data.format=coco uses them)"
    return "masks", [note]


_FORMS = {"coco": "COCO annotation files", "masks": "mask files"}


def _refuse_two_forms(
    root: Path, by_form: Mapping[str, set[str | None]], chosen: str, unused: Collection[str]
) -> None:
    """Refuse to lose the splits that are labelled in the other form alone.

    Raises:
        DataError: There are such splits.
    """
    other = "masks" if chosen == "coco" else "coco"
    if None in by_form["coco"] | by_form["masks"]:
        return  # labels of one form are of the whole data set
    lost = _named(by_form[other] - by_form[chosen] - set(unused))
    if not lost:
        return
    alone = _named(by_form[chosen] - by_form[other] - set(unused))
    remedy = f"convert the labels of {', '.join(lost)}, so that all splits have one form"
    if not alone:
        remedy = f"set data.format={other}, in which every split is labelled"
    raise DataError(
        f"{', '.join(lost)} is labelled with {_FORMS[other]} alone, and "
        f"{', '.join(_named(by_form[chosen]))} with {_FORMS[chosen]}: a data set is read in one "
        "form, so pictures would be lost",
        where=root,
        remedy=remedy + other_test_set(lost),
    )


def _named(splits: Collection[str | None]) -> list[str]:
    return sorted(split for split in splits if split is not None)

"""Which format a folder is in, told from what lies in it."""

from __future__ import annotations

from pathlib import Path

from faultline.data.importers.class_folders import find_class_units, has_classes
from faultline.data.importers.coco_files import USUAL_NAME, find_sources
from faultline.data.importers.coco_json import load_coco
from faultline.data.importers.json_files import find_json
from faultline.data.importers.layout import find_pictures, find_units
from faultline.data.importers.pairing import pair_unit
from faultline.data.importers.severstal_csv import (
    SeverstalTable,
    find_tables,
    nearly_table,
    read_table,
)
from faultline.errors import DataError


def detect_format(root: Path, task: str = "segmentation") -> tuple[str, list[str]]:
    """Name of the importer for a folder, and notes on what was decided.

    COCO outlines are preferred to mask files, and mask files to COCO boxes. Class folders with
    masks tell where something is, or what a picture shows: `task` decides.

    Raises:
        DataError: There are no pictures, or no labels of a known form; a table that lacks a
            column is named.
    """
    sources = find_sources(root)
    if not sources and not find_pictures(root, deep=True):
        raise DataError(
            "the folder holds no pictures",
            where=root,
            remedy="give a folder of pictures with labels",
        )
    has_masks = any(pair_unit(unit).has_masks for unit in find_units(root))
    if sources and has_masks:
        return _prefer([source.path for source in sources], root)
    if sources:
        return "coco", []
    if find_tables(root)[0]:
        return "severstal", []
    return _without_table(root, task, has_masks), []


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


def _prefer(paths: list[Path], root: Path) -> tuple[str, list[str]]:
    names = ", ".join(path.relative_to(root).as_posix() for path in paths)
    if any(load_coco(path).has_outlines for path in paths):
        note = f"labels: COCO ({names}); the mask files are not used (data.format=masks uses them)"
        return "coco", [note]
    note = f"labels: mask files; COCO ({names}) has only boxes (data.format=coco uses them)"
    return "masks", [note]

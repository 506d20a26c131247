"""Where a data set keeps its splits, pictures and masks, told from folder and file names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from faultline.data.images import IMAGE_SUFFIXES
from faultline.data.manifest import SPLIT_ALIASES, SPLIT_ORDER, canonical_split
from faultline.errors import DataError

SPLIT_WORDS = (*SPLIT_ORDER, *SPLIT_ALIASES)
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "rgb")
MASK_FOLDERS = (
    "masks", "mask", "labels", "label", "annotations", "annotation", "segmentations",
    "segmentation", "segmentationclass", "groundtruth", "ground_truth", "gt",
)  # fmt: skip
_SPLIT_TOKEN = re.compile(
    rf"(?:^|[_\-.])(({'|'.join(SPLIT_WORDS)})(?:\d{{4}})?)(?=[_\-.]|$)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Unit:
    """One folder of pictures with their masks.

    Attributes:
        split: Split that it stands for, None where there are no splits.
        images: Folder of the pictures.
        masks: Folder of the masks; None where they lie among the pictures.
    """

    split: str | None
    images: Path
    masks: Path | None


def subfolders(folder: Path) -> list[Path]:
    """Folders directly below, sorted by name, hidden ones left out."""
    below = (path for path in _listed(folder) if not path.name.startswith("."))
    return sorted(path for path in below if path.is_dir())


def find_pictures(folder: Path, *, deep: bool = False) -> list[Path]:
    """Picture files in a folder (`deep`: also below it), sorted, hidden ones left out."""
    found: list[Path] = []
    for path in folder.rglob("*") if deep else _listed(folder):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if not hidden:
                found.append(path)
    return sorted(found)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"cannot be listed: {error.strerror or error}", where=folder, remedy="check permissions"
        ) from error


def split_folders(root: Path) -> list[tuple[str, Path]]:
    """(split, folder) of the folders below `root` that are named after a split."""
    found = [(path.name.lower(), path) for path in subfolders(root)]
    return [(_split(name), path) for name, path in found if name in SPLIT_WORDS]


def split_in_name(stem: str) -> tuple[str | None, str]:
    """Split that a file name speaks of, and the word itself: `instances_val2017` is a `valid`."""
    match = _SPLIT_TOKEN.search(stem)
    return (_split(match[2].lower()), match[1]) if match else (None, "")


def _split(word: str) -> str:
    return canonical_split(word) or word


def named_folder(folder: Path, names: Iterable[str]) -> Path | None:
    """The first folder directly below whose name, in any case, is one of `names`."""
    below = {path.name.lower(): path for path in subfolders(folder)}
    return next((below[name] for name in names if name in below), None)


def mask_folder(folder: Path) -> Path | None:
    """The folder of masks directly below: it bears a usual name and holds pictures."""
    below = {path.name.lower(): path for path in subfolders(folder)}
    for name in MASK_FOLDERS:
        if name in below and find_pictures(below[name], deep=True):
            return below[name]
    return None


def unit_of(folder: Path, split: str | None) -> Unit:
    """How one folder keeps its pictures and masks."""
    images = named_folder(folder, IMAGE_FOLDERS)
    return Unit(split, images or folder, mask_folder(folder))


def find_units(root: Path) -> list[Unit]:
    """One unit per split; a folder without splits is one unit.

    Understood: `<split>/images` + `<split>/masks`, `images/<split>` + `masks/<split>`, both
    without splits, and pictures and masks in one folder. Folder names may vary as usual.
    """
    splits = split_folders(root)
    if splits:
        return [unit_of(folder, split) for split, folder in splits]
    images, masks = named_folder(root, IMAGE_FOLDERS), mask_folder(root)
    inside = split_folders(images) if images else []
    if not inside or masks is None:
        return [unit_of(root, None)]
    below = {path.name.lower(): path for path in subfolders(masks)}
    return [
        Unit(split, folder, below.get(folder.name.lower(), masks / folder.name))
        for split, folder in inside
    ]

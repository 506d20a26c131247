"""Finding COCO annotation files in a folder, and the pictures that they list."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from faultline.data.importers.bare_splits import BareSplit, refuse_bare_splits
from faultline.data.importers.coco_json import is_coco, load_json
from faultline.data.importers.layout import (
    IMAGE_FOLDERS,
    find_pictures,
    named_folder,
    split_folders,
    split_in_name,
    subfolders,
)
from faultline.errors import DataError

USUAL_NAME = "_annotations.coco.json"
_ANNOTATION_FOLDERS = ("annotations", "annotation", "labels")
_MANY = 20  # this many JSON files are one a picture (labelme), not COCO


@dataclass(frozen=True, slots=True)
class CocoSource:
    """An annotation file, the split it is for, and the folders its pictures may lie in."""

    split: str | None
    path: Path
    folders: tuple[Path, ...]

    def find(self, file_name: str, root: Path) -> Path | None:
        """The picture that an entry names, None where there is none.

        Raises:
            DataError: The name leads out of the data set.
        """
        name = file_name.replace("\\", "/")
        relative = PurePosixPath(name)
        outside = False
        # Entries often keep the folders of the machine that wrote them: try the bare name too.
        for candidate in dict.fromkeys((str(relative).lstrip("/"), relative.name)):
            for folder in self.folders:
                path = Path(os.path.normpath(folder / candidate))
                if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root)):
                    outside = True
                elif path.is_file():
                    return path
        if outside:
            raise DataError("the name leads out of the data set", where=file_name)
        return None


def find_sources(root: Path) -> list[CocoSource]:
    """COCO files of a data set: one a split, or one for all of it; empty where there are none.

    Understood: `<split>/_annotations.coco.json` (also in `<split>/images`, and any other single
    COCO file there), `annotations/instances_<split>.json`, and one file without splits.

    Raises:
        DataError: Several files claim one split, or the one with the usual name is not JSON.
    """
    found = [
        CocoSource(split, path, _picture_folders(folder, root))
        for split, folder in split_folders(root)
        if (path := _single(_candidates(folder), folder)) is not None
    ]
    return found or _sources_of_root(root)


def check_every_split(root: Path, sources: Sequence[CocoSource], unused: Collection[str]) -> None:
    """Refuse a split whose pictures no annotation file speaks of, where others have one.

    Args:
        root: The data set.
        sources: Its annotation files.
        unused: Splits that nobody asks for.

    Raises:
        DataError: There is such a split; folders without pictures do not count.
    """
    named = {source.split for source in sources}
    if None in named:
        return  # one file speaks of all pictures, wherever they lie
    bare = [
        BareSplit(split, folder, len(pictures))
        for split, folder in _split_folders_of_pictures(root)
        if split not in {*named, *unused} and (pictures := find_pictures(folder, deep=True))
    ]
    files = [source.path for source in sources]
    refuse_bare_splits(root, bare, "COCO annotation file", files, f"add {USUAL_NAME} to it")


def _split_folders_of_pictures(root: Path) -> list[tuple[str, Path]]:
    """Folders named after a split, with or without a year, below `root` and its `images/`."""
    images = named_folder(root, IMAGE_FOLDERS)
    found = [*subfolders(root), *(subfolders(images) if images else ())]
    splits = [(*split_in_name(folder.name), folder) for folder in found]
    return [(split, folder) for split, word, folder in splits if split and word == folder.name]


def _sources_of_root(root: Path) -> list[CocoSource]:
    candidates = _candidates(root)
    by_split: dict[str | None, list[Path]] = {}
    for path in candidates:
        by_split.setdefault(split_in_name(path.stem)[0], []).append(path)
    sources = []
    for split, paths in by_split.items():
        single = _single(paths, root)
        if single is not None:
            sources.append(CocoSource(split, single, _folders_of_split(single, root)))
    named = [source for source in sources if source.split is not None]
    # A file for all beside files for splits is their union: the splits say more.
    return named or sources


def _folders_of_split(path: Path, root: Path) -> tuple[Path, ...]:
    word = split_in_name(path.stem)[1]
    folders = [*_picture_folders(root, root)]
    if word:
        images = named_folder(root, IMAGE_FOLDERS)
        folders[:0] = [base / word for base in (root, images) if base is not None]
        folders += [root / word / name for name in IMAGE_FOLDERS[:1]]
    return tuple(dict.fromkeys([*folders, path.parent]))


def _picture_folders(folder: Path, root: Path) -> tuple[Path, ...]:
    images = named_folder(folder, IMAGE_FOLDERS)
    return tuple(dict.fromkeys([folder, *([images] if images else []), root]))


def _candidates(folder: Path) -> list[Path]:
    """JSON files in a folder, its pictures' folder and its annotations' folder."""
    folders = [
        folder,
        named_folder(folder, IMAGE_FOLDERS),
        named_folder(folder, _ANNOTATION_FOLDERS),
    ]
    found: list[Path] = []
    for place in folders:
        files = sorted(place.glob("*.json")) if place is not None else []
        if len(files) > _MANY:
            files = [file for file in files if "coco" in file.name or "instances" in file.name]
        found += [file for file in files if file.is_file() and not file.name.startswith(".")]
    return found


def _single(paths: list[Path], folder: Path) -> Path | None:
    """The COCO file among JSON files."""
    usual = [path for path in paths if path.name == USUAL_NAME]
    if usual:
        return usual[0]
    coco = [path for path in paths if _is_coco_file(path)]
    if len(coco) > 1:
        raise DataError(
            f"several COCO files: {', '.join(path.name for path in coco)}",
            where=folder,
            remedy=f"keep one for each split, or call it {USUAL_NAME}",
        )
    if not coco and len(paths) == 1:
        load_json(paths[0])  # a single file that is not JSON is worth an error
    return coco[0] if coco else None


def _is_coco_file(path: Path) -> bool:
    try:
        return is_coco(load_json(path))
    except DataError:
        return False

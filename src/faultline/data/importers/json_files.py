"""Finding annotation files that speak of one picture each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from faultline.data.importers.layout import (
    IMAGE_FOLDERS,
    find_pictures,
    named_folder,
    split_folders,
)

ANNOTATION_FOLDERS = ("annotations", "annotation", "ann", "labels", "json", "jsons")


@dataclass
class JsonSource:
    """Pictures of one split with their annotation files.

    Attributes:
        split: Split that it stands for, None where there are no splits.
        pairs: Annotation file of each picture, None where it has none.
        orphans: Annotation files without a picture.
    """

    split: str | None
    pairs: dict[Path, Path | None] = field(default_factory=dict)
    orphans: list[Path] = field(default_factory=list)

    @property
    def has_pairs(self) -> bool:
        """Whether any picture has an annotation file."""
        return any(file is not None for file in self.pairs.values())


def find_json(root: Path) -> list[JsonSource]:
    """One source per split; a folder without splits is one source.

    Understood: `images/x.jpg` with `annotations/x.json` or `annotations/x.jpg.json`, and both
    files in one folder; split folders may lie above. Folder names may vary as usual.
    """
    splits: list[tuple[str | None, Path]] = [*split_folders(root)] or [(None, root)]
    return [_source(split, folder) for split, folder in splits]


def _source(split: str | None, folder: Path) -> JsonSource:
    images = named_folder(folder, IMAGE_FOLDERS) or folder
    notes = named_folder(folder, ANNOTATION_FOLDERS) or images
    files = {path.stem: path for path in sorted(notes.glob("*.json")) if path.name[0] != "."}
    source = JsonSource(split)
    for picture in find_pictures(images):
        # Supervisely keeps the ending of the picture in the name, labelme does not.
        source.pairs[picture] = files.get(picture.name) or files.get(picture.stem)
    used = set(source.pairs.values())
    source.orphans = [path for path in files.values() if path not in used]
    return source

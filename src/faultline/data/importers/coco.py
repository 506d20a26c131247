"""COCO data sets: pictures with polygons, run lengths or boxes.

- A listed picture without annotations is a negative, as in COCO.
- `iscrowd` areas count as foreground: many tools set the flag on every run-length mask.
- A box without an outline is filled, and a note says so.
- A picture of which one annotation is bad is left out, since its label would be incomplete.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from faultline.data.images import ImageFacts
from faultline.data.importers.coco_files import (
    USUAL_NAME,
    CocoSource,
    check_every_split,
    find_sources,
)
from faultline.data.importers.coco_json import CocoFile, Key, Record, is_key, load_coco
from faultline.data.importers.collect import Collector
from faultline.data.importers.label_spaces import class_position, named_space
from faultline.data.importers.layout import find_pictures
from faultline.data.importers.options import IMPORTERS, ImportOptions
from faultline.data.manifest import Manifest, Region
from faultline.data.regions import Rle, rle_from_box, rle_from_segmentation, turn_rle
from faultline.errors import DataError
from faultline.types import LabelSpace


@IMPORTERS.register("coco", summary="COCO JSON for each split: polygons, RLE, boxes")
def import_coco(root: Path, options: ImportOptions) -> Manifest:
    """Read a COCO data set; one annotation file a split, or one for all.

    Raises:
        DataError: There is no annotation file, or none for a split; one is not COCO, or no
            category is positive.
    """
    sources = find_sources(root)
    if not sources:
        raise DataError(
            "no COCO annotation file was found",
            where=root,
            remedy=f"put {USUAL_NAME} beside the pictures of each split",
        )
    check_every_split(root, sources, options.unused)
    files = [load_coco(source.path) for source in sources]
    names = [name for file in files for name in file.categories.values()]
    chosen = options.choose(names, "category", sources[0].path if len(sources) == 1 else root)
    reader = _Reader(root, named_space(chosen, options), frozenset(chosen))
    for source, file in zip(sources, files, strict=True):
        reader.read(source, file)
    return reader.manifest(names)


class _Reader:
    """Turns annotation files into items; counts what the notes should mention."""

    def __init__(self, root: Path, space: LabelSpace, chosen: frozenset[str]) -> None:
        self.collector = Collector(root)
        self.space = space
        self.chosen = chosen
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []

    def read(self, source: CocoSource, file: CocoFile) -> None:
        """Add the pictures of one annotation file."""
        for name, reason in file.bad:
            path = None if name is None else self._find(source, name)
            if name is not None and path is None:
                reason = f"{name}: {reason}"
            self.collector.problem(path or source.path, reason)
        paths = self._pictures(source, file)
        facts = self.collector.inspect(list(paths))
        for path, key in paths.items():
            if path in facts:
                self._add(path, facts[path], source.split, file, key)
        self._note_unlisted(source, file)
        self._note_other_categories(source, file)

    def manifest(self, names: list[str]) -> Manifest:
        """Everything that was read."""
        others = sorted(set(names) - self.chosen)
        if others:
            self.notes.append(
                f"foreground: {', '.join(sorted(self.chosen))}; not counted: {', '.join(others)}"
            )
        if self.counts["boxes"]:
            self.notes.append(
                f"WARNING: {self.counts['boxes']} annotations have only a box; it is filled, so "
                "labels are wider than what they show"
            )
        if self.counts["crowd"]:
            self.notes.append(
                f"{self.counts['crowd']} annotations are marked iscrowd; they count as foreground"
            )
        collector = self.collector
        return Manifest(
            collector.root, "coco", self.space, collector.items, collector.problems, self.notes
        )

    def _pictures(self, source: CocoSource, file: CocoFile) -> dict[Path, Key]:
        paths: dict[Path, Key] = {}
        for key, entry in file.images.items():
            name = entry["file_name"]
            path = self._find(source, name)
            if path is None:
                self.collector.problem(
                    source.folders[0] / Path(name).name,
                    f"listed in {source.path.name}, but there is no such file",
                )
            elif path in paths:
                self.collector.problem(path, f"listed twice in {source.path.name}")
            else:
                paths[path] = key
        return paths

    def _find(self, source: CocoSource, name: str) -> Path | None:
        try:
            return source.find(name, self.collector.root)
        except (DataError, OSError, ValueError):
            return None

    def _add(
        self, path: Path, facts: ImageFacts, split: str | None, file: CocoFile, key: Key
    ) -> None:
        try:
            orientation = _label_orientation(file.images[key], facts)
            regions = [
                region
                for annotation in file.annotations.get(key, ())
                if (region := self._region(annotation, file, facts, orientation)) is not None
            ]
        except DataError as error:
            self.collector.problem(path, error)
            return
        self.collector.add(path, facts, split, regions=tuple(regions), positive=bool(regions))

    def _region(
        self, annotation: Record, file: CocoFile, facts: ImageFacts, orientation: int
    ) -> Region | None:
        """The area of an annotation; None where its category does not count.

        Raises:
            DataError: It cannot be read; the message names the annotation.
        """
        category = annotation.get("category_id")
        try:
            if not is_key(category) or category not in file.categories:
                known = ", ".join(map(str, file.categories))
                raise DataError(f"unknown category id {category!r} (known: {known})")
            name = file.categories[category]
            if name not in self.chosen:
                return None
            height, width = facts.height, facts.width
            if orientation >= 5:
                height, width = width, height
            rle = turn_rle(self._rle(annotation, height, width), orientation)
        except DataError as error:
            raise DataError(f"annotation {annotation.get('id', '?')!r}: {error}") from error
        return Region(class_position(self.space, name), rle)

    def _rle(self, annotation: Record, height: int, width: int) -> Rle:
        segmentation = annotation.get("segmentation")
        self.counts["crowd"] += bool(annotation.get("iscrowd"))
        if segmentation is None or segmentation == []:
            if annotation.get("bbox") in (None, []):
                raise DataError("neither an outline nor a box")
            self.counts["boxes"] += 1
            return rle_from_box(annotation["bbox"], height, width)
        return rle_from_segmentation(segmentation, height, width)

    def _note_unlisted(self, source: CocoSource, file: CocoFile) -> None:
        if source.split is None:
            return
        listed = {
            Path(entry["file_name"].replace("\\", "/")).name for entry in file.images.values()
        }
        listed |= {Path(name).name for name, _ in file.bad if name}
        present = {path.name for path in find_pictures(source.path.parent)}
        left = len(present - listed)
        if left:
            name = self.collector.name_of(source.path)
            self.notes.append(f"{left} pictures beside {name} are not listed in it: left out")

    def _note_other_categories(self, source: CocoSource, file: CocoFile) -> None:
        """Say of a split that all its annotations are of categories that do not count."""
        if source.split is None:
            return
        keys = [one.get("category_id") for own in file.annotations.values() for one in own]
        used = {file.categories[key] for key in keys if is_key(key) and key in file.categories}
        if used and not used & self.chosen:
            self.notes.append(
                f"WARNING: no annotation of {source.split} counts as foreground: they are all of "
                f"{', '.join(sorted(used))} (data.positive says what counts)"
            )


def _label_orientation(entry: Record, facts: ImageFacts) -> int:
    """EXIF orientation by which labels have to be turned; 1 if they fit the upright picture.

    Raises:
        DataError: The entry tells of another size than the picture has.
    """
    size = (entry.get("width"), entry.get("height"))
    upright = (facts.width, facts.height)
    if size == upright or size == (None, None):
        return 1
    if facts.orientation >= 5 and size == upright[::-1]:
        return facts.orientation
    raise DataError(
        f"the annotation file tells of {size[0]}x{size[1]}, but the picture is "
        f"{upright[0]}x{upright[1]}"
    )

"""Pictures with one annotation file each, `images/x.jpg` and `annotations/x.json`.

Labels with outlines become areas; labels without become labels of the whole picture. A picture
whose file names no class shows none of them; a picture without a file is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from faultline.data.images import ImageFacts
from faultline.data.importers.coco_json import load_json
from faultline.data.importers.collect import Collector
from faultline.data.importers.json_files import ANNOTATION_FOLDERS, JsonSource, find_json
from faultline.data.importers.label_spaces import class_position, named_space
from faultline.data.importers.options import IMPORTERS, ImportOptions
from faultline.data.importers.picture_json import Shape, shape_rle, shapes_of
from faultline.data.manifest import Manifest, Region
from faultline.errors import DataError
from faultline.types import LabelKind, LabelSpace

Labels = Mapping[Path, Sequence[Shape]]


@IMPORTERS.register("json_per_picture", summary="one annotation JSON per picture, beside or apart")
def import_json_per_picture(root: Path, options: ImportOptions) -> Manifest:
    """Read Supervisely, labelme or plain annotation files, one per picture.

    Raises:
        DataError: No picture has a file, no class is named, or none is positive.
    """
    sources = find_json(root)
    if not any(source.has_pairs for source in sources):
        raise DataError(
            "no picture has an annotation file of its name",
            where=root,
            remedy=f"put x.json for x.jpg beside it, or into {ANNOTATION_FOLDERS[0]}/",
        )
    collector = Collector(root)
    labels = _labels(sources, collector)
    names = list(options.classes) or sorted({s.name for shapes in labels.values() for s in shapes})
    if not names:
        raise DataError(
            "no annotation file names a class", where=root, remedy="name them with data.classes"
        )
    outlines = [bool(shape.form) for shapes in labels.values() for shape in shapes]
    whole = not any(outlines) or (options.classifies and not all(outlines))
    chosen = names if whole else options.choose(names, "class", root)
    space = _whole_space(names, options) if whole else named_space(chosen, options)
    reader = _Reader(collector, names, chosen, space, whole)
    for source in sources:
        reader.read(source, labels)
    notes = ["labels are of whole pictures: no outlines are used"] if whole else []
    return Manifest(root, "json_per_picture", space, collector.items, collector.problems, notes)


class _Reader:
    """Turns labels into items."""

    def __init__(
        self,
        collector: Collector,
        names: Sequence[str],
        chosen: Sequence[str],
        space: LabelSpace,
        whole: bool,
    ) -> None:
        self.collector = collector
        self.names = names
        self.chosen = frozenset(chosen)
        self.space = space
        self.whole = whole

    def read(self, source: JsonSource, labels: Labels) -> None:
        """Add the pictures of one split."""
        facts = self.collector.inspect([path for path in source.pairs if path in labels])
        for path, fact in facts.items():
            try:
                self._add(path, fact, source.split, labels[path])
            except DataError as error:
                file = source.pairs[path]
                self.collector.problem(path, f"{file.name if file else ''}: {error}")

    def _add(
        self, path: Path, facts: ImageFacts, split: str | None, shapes: Sequence[Shape]
    ) -> None:
        unknown = sorted({shape.name for shape in shapes} - set(self.names))
        if unknown:
            raise DataError(f"unknown class {', '.join(map(repr, unknown))}")
        if self.whole:
            found = {self.space.names.index(shape.name) for shape in shapes}
            if self.space.kind is LabelKind.MULTICLASS and len(found) != 1:
                raise DataError(f"{len(found)} labels, but data.kind=multiclass wants one")
            self.collector.add(path, facts, split, targets=tuple(sorted(found)))
            return
        regions = tuple(self._region(shape, facts) for shape in shapes if shape.name in self.chosen)
        self.collector.add(path, facts, split, regions=regions, positive=bool(regions))

    def _region(self, shape: Shape, facts: ImageFacts) -> Region:
        rle = shape_rle(shape, facts.height, facts.width)
        if rle is None:
            raise DataError(f"label {shape.name!r} has no outline, as others have")
        return Region(class_position(self.space, shape.name), rle)


def _labels(sources: Sequence[JsonSource], collector: Collector) -> dict[Path, list[Shape]]:
    """Labels of each picture whose file can be read; the others become problems."""
    labels: dict[Path, list[Shape]] = {}
    for source in sources:
        for orphan in source.orphans:
            collector.problem(orphan, "an annotation file without a picture of its name")
        for path, file in source.pairs.items():
            if file is None:
                collector.problem(path, "no annotation file of its name")
                continue
            try:
                labels[path] = shapes_of(load_json(file))
            except DataError as error:
                collector.problem(path, f"{file.name}: {error.what}")
    return labels


def _whole_space(names: Sequence[str], options: ImportOptions) -> LabelSpace:
    kind = LabelKind.MULTICLASS if options.kind == "multiclass" else LabelKind.MULTILABEL
    return LabelSpace(kind, tuple(names))

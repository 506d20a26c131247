"""Pictures without any label, for what needs none. Never chosen by itself."""

from __future__ import annotations

from pathlib import Path

from faultline.data.importers.collect import Collector
from faultline.data.importers.layout import find_pictures
from faultline.data.importers.options import IMPORTERS, ImportOptions
from faultline.data.manifest import Manifest, canonical_split
from faultline.errors import DataError
from faultline.types import LabelKind, LabelSpace


@IMPORTERS.register("pictures", summary="pictures without labels, in any folders")
def import_pictures(root: Path, options: ImportOptions) -> Manifest:
    """List every picture below a folder; items are unlabelled.

    Raises:
        DataError: There is no picture.
    """
    paths = find_pictures(root, deep=True)
    if not paths:
        raise DataError("the folder holds no pictures", where=root)
    collector = Collector(root)
    for path, facts in collector.inspect(paths).items():
        first = path.relative_to(root).parts[0]
        split = canonical_split(first)
        known = split if split in ("train", "valid", "test") else None
        collector.add(path, facts, known, labelled=False)
    space = LabelSpace(LabelKind.BINARY, (options.foreground_name(),))
    return Manifest(root, "pictures", space, collector.items, collector.problems, [])

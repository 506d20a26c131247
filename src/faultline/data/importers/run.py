"""`import_dataset`: from a folder to a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from faultline.data.duplicates import MAX_DISTANCE, near_duplicate_groups
from faultline.data.importers.collect import raise_problems
from faultline.data.importers.detect import detect_format
from faultline.data.importers.options import IMPORTERS, Groups, ImportOptions
from faultline.data.manifest import Item, Manifest
from faultline.errors import DataError

_SHOWN_WHEN_EMPTY = 5


def import_dataset(
    root: str | Path,
    format: str = "auto",
    positive: str = "crack",
    on_error: str = "skip",
    mask_colours: Mapping[str, Any] | None = None,
    mask_rule: str = "auto",
    *,
    kind: str = "auto",
    classes: Sequence[str] = (),
    group_by: str = "name",
    groups: Groups | None = None,
    task: str = "segmentation",
    duplicate_distance: float = MAX_DISTANCE,
    unused: Sequence[str] = (),
    exact: bool = False,
) -> Manifest:
    """Read a labelled folder of any known format; the settings are those of `ImportOptions`.

    Every picture's header and end, and every mask's size and values, are checked here. Damage
    inside a JPEG, PNG or WebP shows only when it is decoded: `faultline doctor` does that.

    Raises:
        DataError: There is nothing usable, or with `on_error="raise"` any bad item.
        ConfigError: A setting is unknown or contradicts another.
        UnknownNameError: There is no such format.
    """
    options = ImportOptions(
        positive, on_error, mask_colours, mask_rule, kind, tuple(classes), group_by, groups,
        task, duplicate_distance, tuple(unused), exact,
    )  # fmt: skip
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            "is a file, not a folder" if root.exists() else "there is no such folder",
            where=root,
            remedy="give the folder of a data set",
        )
    notes: list[str] = []
    if format == "auto":
        format, notes = detect_format(root, task, unused)
    manifest = IMPORTERS.build(format, root=root, options=options)
    manifest.notes[:0] = notes
    return _finish(manifest, options)


def _finish(manifest: Manifest, options: ImportOptions) -> Manifest:
    manifest.problems.sort(key=lambda problem: problem.file)
    if options.on_error == "raise":
        raise_problems(manifest.problems, manifest.root)
    if not manifest.items:
        some = "".join(f"\n  {problem}" for problem in manifest.problems[:_SHOWN_WHEN_EMPTY])
        raise DataError(
            f"no usable picture; {len(manifest.problems)} files have problems{some}",
            where=manifest.root,
        )
    manifest.items = sorted(_grouped(manifest.items, options), key=lambda item: item.id)
    return manifest


def _grouped(items: list[Item], options: ImportOptions) -> list[Item]:
    if options.groups is not None:
        items = [replace(item, group=_group_of(item, options.groups)) for item in items]
    if options.group_by == "near_duplicates":
        joined = near_duplicate_groups(items, options.duplicate_distance)
        items = [replace(item, group=joined[item.id]) for item in items]
    return items


def _group_of(item: Item, groups: Groups) -> str:
    if callable(groups):
        return str(groups(item.id))
    return str(groups.get(item.id, item.group))

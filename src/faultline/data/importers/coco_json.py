"""COCO annotation files as checked Python values (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from faultline.errors import DataError

Key = int | str
Record = dict[str, Any]

_EXPORT_AGAIN = "export the annotations again, in COCO format"


@dataclass(slots=True)
class CocoFile:
    """One annotation file.

    Attributes:
        path: The file.
        images: Entries by id, in their order.
        annotations: Annotations by image id.
        categories: Names by id.
        bad: (file name of the picture or None, reason) of entries that cannot be used.
    """

    path: Path
    images: dict[Key, Record]
    annotations: dict[Key, list[Record]]
    categories: dict[Key, str]
    bad: list[tuple[str | None, str]] = field(default_factory=list)

    @property
    def has_outlines(self) -> bool:
        """Whether any annotation has a segmentation, rather than only a box."""
        return any(
            bool(annotation.get("segmentation"))
            for annotations in self.annotations.values()
            for annotation in annotations
        )


def load_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        DataError: It cannot be read or is not JSON; the message tells the line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from error
    except UnicodeDecodeError as error:
        raise DataError("is not JSON: not even text", where=path, remedy=_EXPORT_AGAIN) from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"is not JSON: {error.msg} in line {error.lineno}, column {error.colno}",
            where=path,
            remedy=_EXPORT_AGAIN,
        ) from error
    except (RecursionError, ValueError) as error:
        raise DataError(f"is not JSON: {error}", where=path, remedy=_EXPORT_AGAIN) from error


def is_coco(value: Any) -> bool:
    """Whether a parsed JSON file looks like COCO."""
    return isinstance(value, dict) and "images" in value and "categories" in value


def load_coco(path: Path) -> CocoFile:
    """Read and check an annotation file; single bad entries are collected, not raised.

    Raises:
        DataError: The file is not JSON, or its top level is not COCO.
    """
    value = load_json(path)
    tables = {key: _table(value, key, path) for key in ("images", "annotations", "categories")}
    coco = CocoFile(path, {}, {}, _categories(tables["categories"], path))
    _read_images(tables["images"], coco)
    _read_annotations(tables["annotations"], coco)
    return coco


def _table(value: Any, key: str, path: Path) -> list[Any]:
    table = value.get(key) if isinstance(value, dict) else None
    if not isinstance(table, list):
        found = f"keys {', '.join(map(repr, value))}" if isinstance(value, dict) else "no object"
        raise DataError(
            f"is JSON, but not COCO: no list {key!r} ({found or 'empty'})",
            where=path,
            remedy=_EXPORT_AGAIN,
        )
    return table


def is_key(value: Any) -> TypeGuard[Key]:
    """Whether a value can be an id."""
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _categories(table: list[Any], path: Path) -> dict[Key, str]:
    names: dict[Key, str] = {}
    for entry in table:
        key = entry.get("id") if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if not is_key(key) or not isinstance(name, str):
            raise DataError(f"category without id or name: {str(entry)[:80]}", where=path)
        if names.get(key, name) != name:
            raise DataError(f"category id {key} is both {names[key]!r} and {name!r}", where=path)
        names[key] = name
    return names


def _read_images(table: list[Any], coco: CocoFile) -> None:
    entries: dict[Key, list[Record]] = {}
    for number, entry in enumerate(table):
        key = entry.get("id") if isinstance(entry, dict) else None
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not is_key(key) or not isinstance(name, str) or not name.strip() or "\0" in name:
            coco.bad.append((None, f"images[{number}] has no id or no file_name"))
        else:
            entries.setdefault(key, []).append(entry)
    names = Counter(entry["file_name"] for same in entries.values() for entry in same)
    for key, same in entries.items():
        # Whose annotations are they? No picture of a doubtful entry can be trusted.
        if len(same) == 1 and names[same[0]["file_name"]] == 1:
            coco.images[key] = same[0]
            continue
        coco.annotations[key] = []
        for name in dict.fromkeys(entry["file_name"] for entry in same):
            reason = f"listed {names[name]} times" if names[name] > 1 else "listed with others"
            coco.bad.append((name, f"{reason} under image id {key!r} -> keep one entry"))


def _read_annotations(table: list[Any], coco: CocoFile) -> None:
    # Pictures that were struck keep an empty list, so that their annotations are no news.
    struck = coco.annotations.keys() - coco.images.keys()
    lost: Counter[str] = Counter()
    for number, entry in enumerate(table):
        if not isinstance(entry, dict):
            coco.bad.append((None, f"annotations[{number}] is no object"))
            continue
        key = entry.get("image_id")
        if not is_key(key) or not (key in coco.images or key in struck):
            lost[str(key)[:40]] += 1
        elif key not in struck:
            coco.annotations.setdefault(key, []).append(entry)
    for name, count in lost.items():
        coco.bad.append(
            (None, f"{count} annotations refer to image id {name}, which is not listed")
        )

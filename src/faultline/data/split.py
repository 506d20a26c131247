"""A split: which item plays which part, what each class gets, and the file that keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from faultline.data.manifest import Item
from faultline.data.targets import Targets
from faultline.errors import DataError
from faultline.files import write_json
from faultline.types import LabelKind, LabelSpace

FORMAT_VERSION = 1
PARTS = ("train", "valid", "test")
NONE_OF_THEM = "(none of them)"
THINNED = ", thinned"
"""Ends the strategy of a split that leaves pictures of the data set out."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ClassShare:
    """How often a class occurs in each part.

    Attributes:
        name: The class; `(none of them)` for pictures that show no class.
        counts: Pictures of it, by part.
        shares: The same as a share of the pictures of the part; NaN for an empty part.
    """

    name: str
    counts: dict[str, int]
    shares: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"name": self.name, "counts": dict(self.counts), "shares": dict(self.shares)}


@dataclass
class Split:
    """Items by part.

    Attributes:
        parts: Items of `train`, `valid` and `test`, or of other parts, by name.
        strategy: How it was made.
        seed: Seed that it was made with.
        shares: Each class in each part; empty where nobody asked what pictures show.
        notes: What was decided on the user's behalf.
    """

    parts: dict[str, list[Item]]
    strategy: str
    seed: int
    shares: list[ClassShare] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def hash(self) -> str:
        """Hex SHA-256 over ids, parts, groups and picture bytes; the order does not matter."""
        return _hash(self._rows())

    def table(self) -> list[ClassShare]:
        """Each class in each part."""
        return list(self.shares)

    def save(self, path: str | Path) -> None:
        """Write JSON, atomically.

        Raises:
            OutputError: The file cannot be written.
        """
        rows = self._rows()
        sizes = {
            name: {"pictures": len(items), "groups": len({item.group for item in items})}
            for name, items in self.parts.items()
        }
        write_json(
            path,
            {
                "faultline_split": FORMAT_VERSION,
                "strategy": self.strategy,
                "seed": self.seed,
                "hash": _hash(rows),
                "parts": sizes,
                "classes": [share.to_dict() for share in self.shares],
                "notes": self.notes,
                "items": rows,
            },
        )

    def _rows(self) -> list[list[str]]:
        return sorted(
            [item.id, name, item.group, item.sha256]
            for name, items in self.parts.items()
            for item in items
        )


def hashes_of_part(path: str | Path, part: str) -> frozenset[str]:
    """SHA-256 of the pictures that a file puts into `part`.

    Raises:
        DataError: The file is no split or was changed by hand.
    """
    return frozenset(row[3] for row in _read(Path(path))["items"] if row[1] == part)


def load_split(path: str | Path, items: Sequence[Item], unused: Collection[str] = ()) -> Split:
    """Divide `items` as a file says; they get the groups that the file gives them.

    Args:
        path: The file.
        items: All items of the data set.
        unused: Ids that the file may lack; those that a thinned split leaves out it lacks anyway.

    Raises:
        DataError: The file is no split or was changed by hand, or its pictures are not `items`.
    """
    content = _read(Path(path))
    rows = {row[0]: row for row in content["items"]}
    if content["strategy"].endswith(THINNED):
        unused = {item.id for item in items}
    items = [item for item in items if item.id in rows or item.id not in unused]
    _check_same(Path(path), rows, items)
    parts: dict[str, list[Item]] = {name: [] for name in content["parts"]}
    for item in items:
        _, name, group, _ = rows[item.id]
        parts.setdefault(name, []).append(replace(item, group=group))
    return Split(parts, content["strategy"], content["seed"], notes=content["notes"])


def class_shares(label_space: LabelSpace, targets: Mapping[str, Targets]) -> list[ClassShare]:
    """Each class in each part, given the (N, K) targets of the parts."""
    columns = [
        (name, {part: int(rows[:, index].sum()) for part, rows in targets.items()})
        for index, name in enumerate(label_space.names)
    ]
    if label_space.kind is LabelKind.MULTILABEL:
        bare = {part: int((rows.sum(axis=1) == 0).sum()) for part, rows in targets.items()}
        columns.append((NONE_OF_THEM, bare))
    return [
        ClassShare(
            name,
            counts,
            {
                part: counts[part] / len(rows) if len(rows) else float("nan")
                for part, rows in targets.items()
            },
        )
        for name, counts in columns
    ]


def table_lines(rows: Sequence[ClassShare]) -> list[str]:
    """The table of `class_shares`, as lines of text."""
    if not rows:
        return []
    parts = list(rows[0].counts)
    cells = [["class", *parts]]
    for row in rows:
        shares = [
            f"{row.counts[part]} ({row.shares[part]:.1%})" if row.shares[part] == row.shares[part]
            else "-"
            for part in parts
        ]  # fmt: skip
        cells.append([row.name, *shares])
    widths = [max(len(line[column]) for line in cells) for column in range(len(parts) + 1)]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _hash(rows: Sequence[Sequence[str]]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(list(row)).encode() + b"\n")
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """The checked content of a file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["faultline_split"] != FORMAT_VERSION:
            raise ValueError(f"it is not of version {FORMAT_VERSION}")
        rows = [[str(cell) for cell in row] for row in content["items"]]
        if any(len(row) != 4 for row in rows) or len({row[0] for row in rows}) < len(rows):
            raise ValueError("an item is damaged or listed twice")
        known: dict[str, Any] = {
            "items": sorted(rows),
            "parts": [str(name) for name in content["parts"]],
            "strategy": str(content["strategy"]),
            "seed": int(content["seed"]),
            "notes": [str(note) for note in content["notes"]],
        }
        kept = content["hash"]
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"is no split: {type(error).__name__}: {error}",
            where=path,
            remedy="make one with `faultline split data=FOLDER --save split.json`",
        ) from error
    if kept != _hash(known["items"]):
        raise DataError(
            "its items are not those that it was saved with: the hash differs",
            where=path,
            remedy="make the split again rather than change it by hand",
        )
    return known


def _check_same(path: Path, rows: Mapping[str, Sequence[str]], items: Sequence[Item]) -> None:
    ids = {item.id for item in items}
    faults = {
        "are not in the data set": [name for name in rows if name not in ids],
        "of the data set are not in it": [item.id for item in items if item.id not in rows],
        "have changed since": [
            item.id for item in items if item.id in rows and rows[item.id][3] != item.sha256
        ],
    }
    for what, names in faults.items():
        if names:
            more = ", ..." if len(names) > _SHOWN else ""
            raise DataError(
                f"{len(names)} pictures {what}: {', '.join(names[:_SHOWN])}{more}",
                where=path,
                remedy="make the split again for this data set",
            )

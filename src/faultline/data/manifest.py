"""The manifest: one row per item, with its labels, its group, its split and its content hash.

A manifest is what an importer makes of a folder and the only thing that datasets, splits and
checks read. It is saved as JSON lines: a header, then one item per line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faultline.data.pseudo_masks import BITS, CONFIDENCE_END, beside
from faultline.data.regions import rle_from_segmentation
from faultline.errors import DataError
from faultline.files import write_text
from faultline.types import LabelSpace

FORMAT_VERSION = 1
SPLIT_ORDER = ("train", "valid", "test")
SPLIT_ALIASES = {"val": "valid", "validation": "valid", "dev": "valid", "training": "train"} | {
    "testing": "test",
    "eval": "test",
}
"""Other names that folders use; items carry the name on the right."""


@dataclass(frozen=True, slots=True)
class Region:
    """One annotated area.

    Attributes:
        class_index: Class in the label space; in a binary one 0 is the foreground.
        rle: COCO compressed run lengths `{"size": [h, w], "counts": bytes}`, in the frame of the
            upright picture.
    """

    class_index: int
    rle: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A mask on disk and the rule by which its values are read (see `faultline.data.masks`)."""

    path: Path
    rule: str


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of a data set.

    Attributes:
        id: Path relative to the root of the data set, with `/`; unique in a manifest.
        path: The picture file.
        split: `train`, `valid`, `test`, another name that the data set uses, or None.
        group: Items of one group show the same thing and never part.
        sha256: Hex digest of the picture's bytes.
        width: Columns of the upright picture, in pixels.
        height: Rows of the upright picture, in pixels.
        regions: Annotated areas; none means that nothing is annotated.
        mask_file: Mask on disk, instead of regions.
        labelled: Whether anybody looked: a labelled item without areas is a negative.
        positive: Whether any pixel is foreground, None where that is not known.
        targets: Positions of the classes that the whole picture shows, sorted; () is none of
            them, None means that only areas or a mask tell.
    """

    id: str
    path: Path
    split: str | None
    group: str
    sha256: str
    width: int
    height: int
    regions: tuple[Region, ...] = ()
    mask_file: MaskFile | None = None
    labelled: bool = True
    positive: bool | None = None
    targets: tuple[int, ...] | None = None

    @property
    def image_level(self) -> bool:
        """Whether the label says what the whole picture shows, and not where."""
        return self.targets is not None and self.mask_file is None and not self.regions


@dataclass(frozen=True, slots=True)
class Problem:
    """One file that could not be used, and why."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclass
class Manifest:
    """A data set as it was found.

    Attributes:
        root: Folder of the data set.
        format: Name of the importer that made this.
        label_space: Classes that the labels refer to.
        items: Usable items, sorted by id.
        problems: Files that were left out.
        notes: What a user should know about how the folder was read.
    """

    root: Path
    format: str
    label_space: LabelSpace
    items: list[Item]
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def split(self, name: str | None) -> list[Item]:
        """Items of a split; None gives those that have none. `val` and the like are understood."""
        name = canonical_split(name)
        return [item for item in self.items if item.split == name]

    def splits(self) -> list[str]:
        """Names of the splits that have items: train, valid, test first, then others by name."""
        found = {item.split for item in self.items if item.split is not None}
        known = [name for name in SPLIT_ORDER if name in found]
        return known + sorted(found.difference(known))

    def fingerprint(self) -> str:
        """Hex SHA-256 over ids, picture bytes and labels; independent of where the folder lies.

        Raises:
            DataError: A mask file cannot be read any more.
        """
        digest = hashlib.sha256()
        for row in sorted((item.id, item.sha256, label_hash(item)) for item in self.items):
            digest.update("\t".join(row).encode("utf-8", "surrogateescape") + b"\n")
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write JSON lines, atomically; paths below the root are stored relative to it.

        Raises:
            OutputError: The file cannot be written.
        """
        rows = [self._header(), *(_item_row(item, self.root) for item in self.items)]
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))

    @classmethod
    def load(cls, path: str | Path, *, root: str | Path | None = None) -> Manifest:
        """Read what `save` wrote; `root` tells where the data set lies now, if it moved.

        Raises:
            DataError: The file is absent or no manifest; the message names the line.
        """
        rows = _rows(Path(path))
        number, header = next(rows, (1, None))
        try:
            if not isinstance(header, dict) or header["faultline_manifest"] != FORMAT_VERSION:
                raise ValueError(f"the first line is no header of version {FORMAT_VERSION}")
            base = Path(root if root is not None else header["root"])
            manifest = cls(
                root=base,
                format=str(header["format"]),
                label_space=LabelSpace.from_dict(header["label_space"]),
                items=[],
                problems=[Problem(str(file), str(reason)) for file, reason in header["problems"]],
                notes=[str(note) for note in header["notes"]],
            )
            for number, row in rows:  # noqa: B007 - the message below names it
                manifest.items.append(_item_of(row, base))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"line {number} is not what a manifest holds: {type(error).__name__}: {error}",
                where=path,
                remedy="import the data set again",
            ) from error
        return manifest

    def _header(self) -> dict[str, Any]:
        return {
            "faultline_manifest": FORMAT_VERSION,
            "root": str(self.root.absolute()),
            "format": self.format,
            "label_space": self.label_space.to_dict(),
            "problems": [[problem.file, problem.reason] for problem in self.problems],
            "notes": self.notes,
        }


def canonical_split(name: str | None) -> str | None:
    """`train`, `valid` or `test` for any of their usual spellings; other names unchanged."""
    if name is None:
        return None
    lowered = name.lower()
    return SPLIT_ALIASES.get(lowered, lowered if lowered in SPLIT_ORDER else name)


def label_hash(item: Item) -> str:
    """Hex SHA-256 of an item's labels: its regions, targets, or rule and bytes of its mask file.

    Raises:
        DataError: The mask file cannot be read.
    """
    digest = hashlib.sha256(b"labelled" if item.labelled else b"unlabelled")
    regions = (
        (region.class_index, list(region.rle["size"]), bytes(region.rle["counts"]))
        for region in item.regions
    )
    for region in sorted(regions):
        digest.update(repr(region).encode())
    if item.targets is not None:
        digest.update(f"targets {item.targets}".encode())
    if item.mask_file is not None:
        rule, path = item.mask_file.rule, item.mask_file.path
        digest.update(rule.encode())
        try:
            digest.update(path.read_bytes())
            if rule.partition(":")[0] == BITS:
                digest.update(beside(path, CONFIDENCE_END).read_bytes())
        except OSError as error:
            raise DataError(
                f"mask cannot be read: {error.strerror or error}",
                where=item.mask_file.path,
                remedy="import the data set again",
            ) from error
    return digest.hexdigest()


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    yield number, json.loads(line)
                except (json.JSONDecodeError, RecursionError) as error:
                    raise DataError(
                        f"line {number} is not JSON: {error}",
                        where=path,
                        remedy="import the data set again",
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"manifest cannot be read: {error}", where=path) from error


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _item_row(item: Item, root: Path) -> dict[str, Any]:
    mask = item.mask_file
    return {
        "id": item.id,
        "path": _relative(item.path, root),
        "split": item.split,
        "group": item.group,
        "sha256": item.sha256,
        "size": [item.width, item.height],
        "regions": [
            [region.class_index, region.rle["size"], region.rle["counts"].decode("ascii")]
            for region in item.regions
        ],
        "mask": None if mask is None else [_relative(mask.path, root), mask.rule],
        "labelled": item.labelled,
        "positive": item.positive,
        "targets": None if item.targets is None else list(item.targets),
    }


def _item_of(row: Any, root: Path) -> Item:
    width, height = int(row["size"][0]), int(row["size"][1])
    mask = row["mask"]
    positive, targets = row.get("positive"), row.get("targets")
    return Item(
        id=str(row["id"]),
        path=root / row["path"],
        split=None if row["split"] is None else str(row["split"]),
        group=str(row["group"]),
        sha256=str(row["sha256"]),
        width=width,
        height=height,
        regions=tuple(_region_of(region, height, width) for region in row["regions"]),
        mask_file=None if mask is None else MaskFile(root / mask[0], str(mask[1])),
        labelled=bool(row["labelled"]),
        positive=None if positive is None else bool(positive),
        targets=None if targets is None else tuple(int(position) for position in targets),
    )


def _region_of(row: Any, height: int, width: int) -> Region:
    index, size, counts = row
    try:
        # Decoding trusts its input, and this file may have been edited.
        rle = rle_from_segmentation({"size": size, "counts": counts}, height, width)
    except DataError as error:
        raise ValueError(str(error)) from error
    return Region(int(index), rle)

"""Severstal data sets: `train.csv` with run lengths per class, pictures in `train_images/`.

- A picture without rows has no defect.
- A picture of which one row is bad is left out, since its label would be incomplete.
- Classes are called `defect_1`, `defect_2` … unless `data.classes` names them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from pathlib import Path, PurePosixPath

from faultline.data.images import ImageFacts
from faultline.data.importers.collect import Collector
from faultline.data.importers.label_spaces import BACKGROUND, class_position, named_space
from faultline.data.importers.layout import IMAGE_FOLDERS, find_pictures, named_folder
from faultline.data.importers.options import IMPORTERS, ImportOptions
from faultline.data.importers.severstal_csv import (
    MAX_CLASSES,
    SeverstalTable,
    TableRow,
    find_tables,
    read_table,
)
from faultline.data.manifest import Manifest, Region
from faultline.data.severstal import COLUMNS, rle_from_severstal
from faultline.errors import DataError
from faultline.types import LabelSpace


@IMPORTERS.register("severstal", summary="a table ImageId,ClassId,EncodedPixels beside pictures")
def import_severstal(root: Path, options: ImportOptions) -> Manifest:
    """Read `train.csv` (or any one table of that form) and the pictures that it speaks of.

    Raises:
        DataError: There is no table, one lacks columns, or no class is positive.
    """
    tables, aside = find_tables(root)
    if not tables:
        raise _no_table(root)
    for table in tables:
        read_table(table)
    names = _class_names(tables, options)
    chosen = options.choose(names, "class", tables[0].path)
    reader = _Reader(root, names, named_space(chosen, options), frozenset(chosen))
    folders = [_picture_folder(table) for table in tables]
    _refuse_shared(tables, folders)
    for table, folder in zip(tables, folders, strict=True):
        reader.read(table, folder)
    reader.notes += [f"{path.name} is not read: its name tells no split" for path in aside]
    if set(names) - set(chosen):
        others = ", ".join(name for name in names if name not in chosen)
        reader.notes.append(f"foreground: {', '.join(chosen)}; not counted: {others}")
    return reader.manifest()


class _Reader:
    """Turns tables into items."""

    def __init__(
        self, root: Path, names: Sequence[str], space: LabelSpace, chosen: frozenset[str]
    ) -> None:
        self.collector = Collector(root)
        self.names = names
        self.space = space
        self.chosen = chosen
        self.notes: list[str] = []

    def read(self, table: SeverstalTable, folder: Path) -> None:
        """Add the pictures of one table."""
        self.notes += table.notes
        bad: dict[str, list[str]] = {}
        for name, reason in [*table.bad, *self._unknown(table)]:
            bad.setdefault(name, []).append(reason)
        pictures = {path.relative_to(folder).as_posix(): path for path in find_pictures(folder)}
        misnamed = _misnamed(table, pictures)
        told = set(misnamed.values())
        for name in (name for name in {**table.rows, **bad} if name not in told):
            path = pictures.get(name)
            if path is None and name in table.rows:
                reason = f"has rows in {table.path.name}, but there is no such file"
                self.collector.problem(folder / Path(name).name, reason)
            elif name in bad:
                reason = f"{table.path.name}: {'; '.join(bad[name])}"
                self.collector.problem(path or table.path, reason)
        for name, given in misnamed.items():
            reason = f"its rows in {table.path.name} seem to be those of {given!r} -> write {name}"
            self.collector.problem(pictures[name], reason)
        usable = [p for name, p in pictures.items() if name not in bad and name not in misnamed]
        facts = self.collector.inspect(usable)
        for path in facts:
            rows = table.rows.get(path.relative_to(folder).as_posix(), [])
            self._add(path, facts[path], table, rows)
        self._note_bare(table, pictures.keys() - misnamed.keys())

    def manifest(self) -> Manifest:
        """Everything that was read."""
        done = self.collector
        return Manifest(done.root, "severstal", self.space, done.items, done.problems, self.notes)

    def _unknown(self, table: SeverstalTable) -> list[tuple[str, str]]:
        return [
            (row.image, f"line {row.line}: unknown class id {row.class_id}, "
             f"there are names for 1 to {len(self.names)}")
            for rows in table.rows.values()
            for row in rows
            if row.class_id > len(self.names)
        ]  # fmt: skip

    def _add(
        self, path: Path, facts: ImageFacts, table: SeverstalTable, rows: Sequence[TableRow]
    ) -> None:
        try:
            found = [self._region(row, facts, table.path.name) for row in rows if row.pixels]
        except DataError as error:
            self.collector.problem(path, error)
            return
        regions = tuple(region for region in found if region is not None)
        self.collector.add(path, facts, table.split, regions=regions, positive=bool(regions))

    def _region(self, row: TableRow, facts: ImageFacts, table: str) -> Region | None:
        """The area of a row; None where its class does not count.

        Raises:
            DataError: It cannot be read; the message names the line.
        """
        name = self.names[row.class_id - 1]
        try:
            rle = rle_from_severstal(row.pixels, facts.height, facts.width)
        except DataError as error:
            raise DataError(f"{table}, line {row.line}, class {row.class_id}: {error}") from error
        return Region(class_position(self.space, name), rle) if name in self.chosen else None

    def _note_bare(self, table: SeverstalTable, pictures: Set[str]) -> None:
        bare = len(pictures - table.rows.keys() - {name for name, _ in table.bad})
        if bare:
            self.notes.append(f"{bare} pictures without rows in {table.path.name}: no defect")


def _misnamed(table: SeverstalTable, pictures: Mapping[str, Path]) -> dict[str, str]:
    """Pictures without rows -> a name that has rows, no file, and the same stem in any case.

    They are not negatives: who wrote the table left out the ending, or never minded the case.
    """
    named = {*table.rows, *(name for name, _ in table.bad)}
    lost = {_stem(name): name for name in sorted(named) if name not in pictures}
    return {
        name: lost[_stem(name)] for name in pictures if name not in named and _stem(name) in lost
    }


def _stem(name: str) -> str:
    # Tables written on Windows part folders by a backslash.
    return PurePosixPath(name.replace("\\", "/")).stem.casefold()


def _class_names(tables: Sequence[SeverstalTable], options: ImportOptions) -> list[str]:
    """Names of the classes 1, 2 …"""
    if options.classes:
        names = list(options.classes)
        return names[1:] if names[0] == BACKGROUND else names
    numbers = [row.class_id for t in tables for rows in t.rows.values() for row in rows]
    if not numbers:
        raise DataError(
            "the table has no usable row, so the classes are unknown",
            where=tables[0].path,
            remedy="name them with data.classes",
        )
    return [f"defect_{number}" for number in range(1, min(max(numbers), MAX_CLASSES) + 1)]


def _picture_folder(table: SeverstalTable) -> Path:
    stem = table.path.stem.lower()
    own = (f"{stem}_images", "train_images" if table.split is None else stem)
    return named_folder(table.base, (*own, *IMAGE_FOLDERS)) or table.base


def _refuse_shared(tables: Sequence[SeverstalTable], folders: Sequence[Path]) -> None:
    if len(set(folders)) < len(folders):
        names = ", ".join(table.path.name for table in tables)
        raise DataError(
            f"{names} share the folder {os.path.basename(folders[0])}/, so a picture without rows "
            "may belong to any of them",
            where=tables[0].base,
            remedy="give each table its own folder: train_images/ for train.csv, and so on",
        )


def _no_table(root: Path) -> DataError:
    files = sorted(root.glob("*.csv"))
    if files:
        return DataError(
            f"{', '.join(path.name for path in files[:5])}: columns are missing",
            where=root,
            remedy=f"the first line has to be {','.join(COLUMNS)}",
        )
    return DataError("no table was found", where=root, remedy=f"write {','.join(COLUMNS)}")

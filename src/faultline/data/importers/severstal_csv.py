"""Severstal tables as checked rows: either header, byte order mark and line ends as they come."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faultline.data.importers.layout import split_folders, split_in_name
from faultline.data.severstal import COLUMNS, OLDER_COLUMNS
from faultline.errors import DataError

MAX_CLASSES = 254
"""255 is *ignore* in a mask."""

_LONGEST_CELL = 2**27
_WHOLE = re.compile(r"(\d{1,9})(?:\.0+)?")


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of a table.

    Attributes:
        line: Its number in the file, from 1.
        image: File name of the picture.
        class_id: Number of the class, from 1.
        pixels: `EncodedPixels`; empty where the class does not occur.
    """

    line: int
    image: str
    class_id: int
    pixels: str


@dataclass
class SeverstalTable:
    """One table, by picture.

    Attributes:
        path: The file.
        split: Split that it stands for, None where there is only one table.
        base: Folder that it belongs to: the data set's, or a split's.
        rows: Rows by picture, in their order.
        bad: (file name of the picture, reason) of lines that cannot be used.
        notes: What else a user should know.
    """

    path: Path
    split: str | None
    base: Path
    rows: dict[str, list[TableRow]] = field(default_factory=dict)
    bad: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_tables(root: Path) -> tuple[list[SeverstalTable], list[Path]]:
    """Tables of a data set, not yet read, and those that are left aside.

    One table is all of the data set, whatever its name. Of several, those count whose name tells a
    split; so `sample_submission.csv` is left aside. Else each split folder may have one.

    Raises:
        DataError: Several tables claim one split, or none tells its split.
    """
    here = _tables_in(root)
    if not here:
        inside = [(split, folder, _tables_in(folder)) for split, folder in split_folders(root)]
        return [
            SeverstalTable(_only(paths, folder), split, folder)
            for split, folder, paths in inside
            if paths
        ], []
    if len(here) == 1:
        return [SeverstalTable(here[0], None, root)], []
    by_split: dict[str, list[Path]] = {}
    for path in here:
        split = split_in_name(path.stem)[0]
        if split is not None:
            by_split.setdefault(split, []).append(path)
    if not by_split:
        _only(here, root)
    chosen = {split: _only(paths, root) for split, paths in by_split.items()}
    aside = [path for path in here if path not in chosen.values()]
    if len(chosen) == 1:
        return [SeverstalTable(path, None, root) for path in chosen.values()], aside
    return [SeverstalTable(path, split, root) for split, path in chosen.items()], aside


def read_table(table: SeverstalTable) -> None:
    """Fill `rows`, `bad` and `notes` of a table.

    Raises:
        DataError: The file is no text, no table, or lacks a column.
    """
    lines = _lines(table.path)
    number, header = next(lines, (1, []))
    columns = _columns(header)
    if columns is None:
        raise DataError(
            f"the first line is {','.join(header)[:80]!r}; columns are missing",
            where=table.path,
            remedy=f"write {','.join(COLUMNS)} or {','.join(OLDER_COLUMNS)} above the rows",
        )
    repeated = 0
    for number, cells in lines:
        if any(cells):
            repeated += _add(table, number, cells, header, columns)
    if repeated:
        table.notes.append(f"{repeated} rows of {table.path.name} are given twice: read once")


def is_table(path: Path) -> bool:
    """Whether the first line of a file names the columns of a Severstal table."""
    try:
        return _columns(next(_lines(path), (1, []))[1]) is not None
    except DataError:
        return False


def nearly_table(root: Path) -> Path | None:
    """The first CSV of a folder whose first line names some of the columns, but not all."""
    files = sorted(root.glob("*.csv"))
    return next((path for path in files if not is_table(path) and _names_a_column(path)), None)


def _names_a_column(path: Path) -> bool:
    try:
        words = " ".join(next(_lines(path), (1, []))[1]).lower()
    except DataError:
        return False
    return any(name.lower() in words for name in (*COLUMNS, *OLDER_COLUMNS))


def _tables_in(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.csv")) if folder.is_dir() else []
    return [path for path in files if not path.name.startswith(".") and is_table(path)]


def _only(paths: Sequence[Path], folder: Path) -> Path:
    if len(paths) > 1:
        raise DataError(
            f"several tables: {', '.join(path.name for path in paths)}",
            where=folder,
            remedy="keep one for each split, and name it after the split (train.csv, valid.csv)",
        )
    return paths[0]


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(number of the line, its cells without blanks around them)."""
    try:
        with _long_cells(), path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            for cells in reader:
                yield reader.line_num, [cell.strip() for cell in cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"cannot be read as a table: {error}", where=path, remedy="export it as UTF-8 CSV"
        ) from error


@contextmanager
def _long_cells() -> Iterator[None]:
    """A mask may be longer than what the csv module takes for one cell."""
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _columns(header: Sequence[str]) -> tuple[int, ...] | None:
    """Positions of the columns, three or (the older form) two."""
    names = [name.lower() for name in header]
    for wanted in (COLUMNS, OLDER_COLUMNS):
        if all(names.count(name.lower()) == 1 for name in wanted):
            return tuple(names.index(name.lower()) for name in wanted)
    return None


def _add(
    table: SeverstalTable,
    number: int,
    cells: list[str],
    header: Sequence[str],
    columns: tuple[int, ...],
) -> bool:
    """Add one line; True if it says what an earlier one has said."""
    if len(cells) != len(header):
        name = cells[columns[0]] if columns[0] < len(cells) else ""
        name = name if len(columns) == len(COLUMNS) else _parted(name)[0] or name
        reason = f"line {number} has {len(cells)} columns, the first line {len(header)}"
        table.bad.append((name or table.path.name, reason))
        return False
    *keys, pixels = (cells[position] for position in columns)
    image, class_text = keys if len(keys) == 2 else _parted(keys[0])
    if not image and len(keys) == 1 and class_text:
        table.bad.append((class_text, f"line {number}: {class_text!r} names no class, as x.jpg_1"))
        return False
    class_id = _class_id(class_text)
    if not image or class_id is None:
        what = f"unknown class id {class_text!r}" if image else "no picture is named"
        table.bad.append((image or table.path.name, f"line {number}: {what}"))
        return False
    return _add_row(table, TableRow(number, image, class_id, pixels))


def _add_row(table: SeverstalTable, row: TableRow) -> bool:
    rows = table.rows.setdefault(row.image, [])
    same = next((other for other in rows if other.class_id == row.class_id), None)
    if same is None:
        rows.append(row)
    elif same.pixels.split() != row.pixels.split():
        reason = (
            f"lines {same.line} and {row.line} both give class {row.class_id}, with other pixels"
        )
        table.bad.append((row.image, reason))
    return same is not None and same.pixels.split() == row.pixels.split()


def _parted(name: str) -> tuple[str, str]:
    """`0002cc93b.jpg_1` -> picture and class."""
    image, _, class_text = name.rpartition("_")
    return image, class_text


def _class_id(text: str) -> int | None:
    # Tools that hold the column as floats write 3.0.
    match = _WHOLE.fullmatch(text)
    number = int(match[1]) if match else 0
    return number if 1 <= number <= MAX_CLASSES else None

"""The table of results: a CSV that is written while it grows, and in place when complete."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from faultline.errors import OutputError
from faultline.files import check_folder
from faultline.predict.measure import ClassMeasures, Measures

Cells = dict[str, str]

TABLE_NAME = "measurements.csv"
COLUMNS = (
    "file", "mask", "crack_share", "components", "length_px", "mean_width_px", "max_width_px",
    "length_mm", "mean_width_mm", "max_width_mm", "threshold", "time_ms",
    "made_with", "error",
)  # fmt: skip
"""Where a picture may hold several classes, two columns per class follow: share and components."""


def measured_columns(classes: Sequence[str] = ()) -> list[str]:
    """Columns of `measurements.csv`, with those of the classes that have columns of their own."""
    return [*COLUMNS, *(key for name in classes for key in class_columns(name))]


@dataclass(frozen=True, slots=True)
class Row:
    """Results of one picture; where `error` says why there are none, the rest is empty."""

    file: str
    mask: str = ""
    measures: Measures | None = None
    threshold: float | None = None
    time_ms: float | None = None
    error: str = ""
    classes: tuple[ClassMeasures, ...] = ()

    def cells(self) -> Cells:
        """Texts by column; columns without a value may be left out."""
        m = self.measures
        return {
            "file": self.file,
            "mask": self.mask,
            "threshold": _text(self.threshold, 4),
            "time_ms": _text(self.time_ms, 1),
            "error": self.error,
            **(_measured(m) if m else {}),
            **{key: text for own in self.classes for key, text in _class_cells(own).items()},
        }


class ResultTable:
    """Collects rows in `NAME.csv.part`, which becomes `NAME.csv` at the end.

    Each row reaches the file at once. A run that was stopped leaves the part behind, and the
    table of an earlier run as it was.

    Args:
        folder: The output folder, made if needed.
        made_with: Short name of bundle and settings, entered in each row.
        kept: Rows of an earlier run that go first.
        columns: In their order; `made_with` among them.
        name: Of the file.

    Raises:
        OutputError: The folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        made_with: str = "",
        kept: Iterable[Cells] = (),
        columns: Sequence[str] = COLUMNS,
        name: str = TABLE_NAME,
    ) -> None:
        self._made_with = made_with
        self.path = folder / name
        self._part = part_path(folder, name)
        check_folder(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A file name need not be valid UTF-8: it is written as the bytes it was read as.
            self._stream = self._part.open(
                "w", encoding="utf-8", errors="surrogateescape", newline=""
            )
            self._writer = csv.DictWriter(self._stream, columns, extrasaction="ignore", restval="")
            self._writer.writeheader()
            self._writer.writerows(kept)
            self._stream.flush()
        except OSError as error:
            raise _unwritable(self._part, error) from error

    def add(self, cells: Mapping[str, Any]) -> None:
        """Append a row, by column.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            self._writer.writerow({**cells, "made_with": self._made_with})
            self._stream.flush()
        except OSError as error:
            raise _unwritable(self._part, error) from error

    def __enter__(self) -> ResultTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the table in place, or leave the part where something went wrong."""
        try:
            if kind is None:
                os.fsync(self._stream.fileno())
            self._stream.close()
            if kind is None:
                os.replace(self._part, self.path)
        except OSError as failure:
            if kind is None:
                raise _unwritable(self.path, failure) from failure


def class_columns(name: str) -> tuple[str, str]:
    """The columns of a class: its share of the picture, and its components."""
    return f"{name}_share", f"{name}_components"


def part_path(folder: Path, name: str = TABLE_NAME) -> Path:
    """Where the table grows."""
    return folder / f"{name}.part"


def read_rows(folder: Path, name: str = TABLE_NAME) -> Iterator[tuple[Cells, float]]:
    """Rows of earlier calls, complete and stopped ones, the latest last: (cells, time of writing).

    The time is that of the table's last change, in seconds since the epoch. A last line without
    its end is left out.
    """
    for path in (folder / name, part_path(folder, name)):
        try:
            text = path.read_bytes().decode("utf-8", errors="surrogateescape")
            written = path.stat().st_mtime
        except OSError:
            continue
        whole = text[: text.rfind("\n") + 1]
        for row in csv.DictReader(io.StringIO(whole, newline="")):
            if row.get("file") and row.get("error") is not None:
                yield row, written


def _class_cells(measures: ClassMeasures) -> Cells:
    texts = (_text(measures.share, 6), str(measures.components))
    return dict(zip(class_columns(measures.name), texts, strict=True))


def _measured(measures: Measures) -> Cells:
    return {
        "crack_share": _text(measures.share, 6),
        "components": str(measures.components),
        "length_px": _text(measures.length, 1),
        "mean_width_px": _text(measures.mean_width, 2),
        "max_width_px": _text(measures.max_width, 2),
        "length_mm": _text(measures.length_mm, 2),
        "mean_width_mm": _text(measures.mean_width_mm, 3),
        "max_width_mm": _text(measures.max_width_mm, 3),
    }


def _text(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot be written: {error.strerror or error}",
        where=path,
        remedy="check free space and permissions, or choose another output folder",
    )

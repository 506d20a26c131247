"""`classes.txt`: names of index masks, shipped with a data set; one per line, background first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faultline.errors import DataError
from faultline.files import write_text

CLASS_FILE = "classes.txt"
_BACKGROUND = "background"


def read_class_file(root: Path) -> tuple[str, ...] | None:
    """Class names of the data set at `root`; None without such a file.

    A file whose first name is not `background` is one of another custom (detection tools write
    lists of objects under this name) and is not read.

    Raises:
        DataError: The file cannot be read, or a name is listed twice.
    """
    path = root / CLASS_FILE
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot be read: {error}", where=path, remedy="save it as UTF-8"
        ) from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) < 2 or names[0].lower() != _BACKGROUND:
        return None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"lists {', '.join(map(repr, twice))} twice", where=path, remedy="give each name once"
        )
    return names


def write_class_file(root: Path, names: Sequence[str]) -> None:
    """Write the names, background first.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(root / CLASS_FILE, "\n".join(names) + "\n")

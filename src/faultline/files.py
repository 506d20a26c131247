"""Atomic file writing: a reader sees the old file or the new one, never half of either."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faultline.errors import OutputError


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it replaces `path` in one step.

    Raises:
        OutputError: The folder is a file or cannot be written, or the disk is full; `path` is left
            as it was.
    """
    path = Path(path)
    check_folder(path.parent)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Same folder (rename must not cross file systems) and same suffix (writers look at it).
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem[:80]}-", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _sync(temporary)
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}",
            where=path,
            remedy="check free space and permissions, or choose another output folder; "
            "the file that was there before is unchanged",
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def check_folder(folder: str | Path) -> None:
    """Make sure that `folder` is one, or can become one.

    Raises:
        OutputError: It is a file, or lies below one.
    """
    folder = Path(folder)
    there = next((one for one in (folder, *folder.parents) if os.path.lexists(one)), folder)
    if os.path.lexists(there) and not there.is_dir():
        raise OutputError(
            "is a file, not a folder",
            where=there,
            remedy="choose another output folder, or move the file away",
        )


def check_writable(folder: str | Path) -> None:
    """Find out before the work, not after it, that there is nowhere to put the result.

    Raises:
        OutputError: There is not.
    """
    folder = Path(folder)
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}",
            where=folder,
            remedy="check free space and permissions, or choose another output folder",
        ) from error


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8.

    A file name need not be valid UTF-8: what cannot be written is escaped, as JSON has it.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` atomically, as indented JSON. NaN becomes null: JSON has none."""
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str, allow_nan=False)
    write_text(path, text + "\n")


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Give the file `source` the second name `target`, without a copy where the disk can.

    Raises:
        OutputError: Neither a link nor a copy can be made.
    """
    source, target = Path(source), Path(target)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # some network and removable drives have no links
        write_bytes(target, source.read_bytes())


def _finite(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return _finite(value.item())
    return value


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current

"""Tells what kind of file is offered as weights, by its content and without running any of it."""

from __future__ import annotations

import json
import pickletools
import zipfile
from enum import StrEnum
from pathlib import Path

_MIN_OPCODES = 2  # "N." is a pickle of two opcodes and also any short text
_HEADER_LIMIT = 100_000_000  # the limit of the safetensors format itself
_SCAN = 1 << 20


class FileType(StrEnum):
    """What the content of a file looks like."""

    SAFETENSORS = "safetensors"
    TRUNCATED = "truncated safetensors"
    PICKLE = "pickle"
    EMPTY = "empty"
    OTHER = "other"


def file_type(path: Path) -> FileType:
    """Kind of the file at `path`, by content alone: its name is not looked at.

    Raises:
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    if size == 0:
        return FileType.EMPTY
    with path.open("rb") as stream:
        start = stream.read(_SCAN)
    if start[:4] == b"PK\x03\x04":
        return FileType.PICKLE if _zip_holds_pickle(path) else FileType.OTHER
    if _starts_like_safetensors(start):
        return FileType.SAFETENSORS if _is_complete(path, size) else FileType.TRUNCATED
    return FileType.PICKLE if _starts_like_pickle(start) else FileType.OTHER


def _starts_like_safetensors(start: bytes) -> bool:
    """Eight bytes of header length (little endian), then a JSON object."""
    length = int.from_bytes(start[:8], "little")
    return len(start) > 8 and start[8:9] == b"{" and 2 <= length <= _HEADER_LIMIT


def _is_complete(path: Path, size: int) -> bool:
    """Whether the file is as long as its header says."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length)
    if len(header) < length:
        return False
    try:
        entries = json.loads(header)
        ends = [v["data_offsets"][1] for k, v in entries.items() if k != "__metadata__"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return True  # complete but damaged: the reader says so
    return size >= 8 + length + max(ends, default=0)


def _zip_holds_pickle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError):
        # A cut-off torch.save file has lost its directory, but its first entry is the pickle.
        with path.open("rb") as stream:
            return b"data.pkl" in stream.read(4096)


def _starts_like_pickle(start: bytes) -> bool:
    """Whether the bytes parse as pickle opcodes; `genops` only reads, it never runs them."""
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05":
        return True
    opcodes = 0
    try:
        for opcode, _, _ in pickletools.genops(start):
            opcodes += 1
            if opcode.name == "STOP":
                return opcodes > _MIN_OPCODES
    except Exception:  # genops raises whatever its readers do on bytes that are no pickle
        return False
    return False

"""Compares the length that the header of a sound file promises with what the file holds."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from faultline.errors import DataError

_CHUNKED = {
    (b"RIFF", b"WAVE"): ("<", b"data"),
    (b"RIFX", b"WAVE"): (">", b"data"),
    (b"RF64", b"WAVE"): ("<", b"data"),
    (b"FORM", b"AIFF"): (">", b"SSND"),
    (b"FORM", b"AIFC"): (">", b"SSND"),
}
"""Formats of chunks: byte order of their lengths, and the chunk that holds the sound."""
_AU = {b".snd": ">", b"dns.": "<"}
_UNKNOWN = (0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
"""What writers into a pipe give for a length that they cannot know; others of them give 0."""
_ENDLESS = range(0x7FFFF000 - 1024, 0x80000000 + 1)
"""Others give the most that fits 31 bits (arecord), or 0x7FFFF000 cut to whole samples (sox)."""
_BEFORE_SOUND = {b"SSND": 8}
"""Bytes of the chunk that are no sound."""
_MAX_CHUNKS = 1000
_CHUNK_HEAD = 8


@dataclass(frozen=True)
class Correction:
    """Bytes of a header that stand for others.

    Attributes:
        offset: Where they lie in the file.
        content: What to read there.
    """

    offset: int
    content: bytes


@dataclass(frozen=True)
class _Length:
    """A length as the header gives it.

    Attributes:
        value: As it is written.
        field: Where it is written.
        form: How it is written, for `struct`.
        start: First byte of the sound.
        besides: Bytes that the length counts besides the sound.
        chunked: Whether other chunks may follow the sound.
    """

    value: int
    field: int
    form: str
    start: int
    besides: int = 0
    chunked: bool = True

    @property
    def promised(self) -> int:
        """Bytes of sound."""
        return max(0, self.value - self.besides)


def check_length(path: Path) -> Correction | None:
    """Make sure that a WAV (RIFF, RIFX, RF64), AIFF or AU file holds as much sound as it says.

    Decoders cut such a file silently, so half a sentence would pass for a whole one. Decoders of
    FLAC and Ogg notice for themselves that something is missing. An MP3 need not say how long it
    is, so one that was cut may pass for whole.

    Returns:
        The length to read in place of the one that is written, for a file that was written into
        a pipe and does not know its own; None for any other.

    Raises:
        DataError: The header promises more than there is, or leaves sound out.
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = _found(stream)
        if length is None:
            return None
        there = max(0, size - length.start)
        behind = length.start + length.promised + length.promised % 2
        more = size - behind >= _CHUNK_HEAD and not (
            length.chunked and _is_chunk(stream, behind, size, length.form[0])
        )
    endless = length.value in _ENDLESS and length.promised > there
    if endless or length.value in _UNKNOWN or (length.promised == 0 and more):
        most = 2 ** (8 * struct.calcsize(length.form)) - 1
        value = min(there + length.besides, most)
        return Correction(length.field, struct.pack(length.form, value))
    if length.promised > there:
        raise DataError(
            f"the header promises {length.promised:,} bytes of sound, the file holds {there:,}",
            where=path,
            remedy="copy or record it again: what is missing cannot be recognised",
        )
    if more:
        raise DataError(
            f"the header promises {length.promised:,} bytes of sound, "
            f"but {size - behind:,} more follow",
            where=path,
            remedy="repair the header, for instance with `sox --ignore-length`",
        )
    return None


def _found(stream: BinaryIO) -> _Length | None:
    """The length of the sound, wherever the format has it; None for formats that have none."""
    start = stream.read(12)
    if start[:4] in _AU and len(start) == 12:
        form = f"{_AU[start[:4]]}I"
        first, value = (struct.unpack(form, start[at : at + 4])[0] for at in (4, 8))
        return _Length(value, 8, form, first, chunked=False)
    rule = _CHUNKED.get((start[:4], start[8:12]))
    return None if rule is None else _in_chunks(stream, *rule)


def _in_chunks(stream: BinaryIO, order: str, wanted: bytes) -> _Length | None:
    position, long = 12, None
    for _ in range(_MAX_CHUNKS):
        stream.seek(position)
        head = stream.read(_CHUNK_HEAD)
        if len(head) < _CHUNK_HEAD:
            return None
        name, value = struct.unpack(f"{order}4sI", head)
        position += _CHUNK_HEAD
        if name == wanted:
            besides = _BEFORE_SOUND.get(name, 0)
            if long is not None:
                return _Length(*long, f"{order}Q", position)
            return _Length(value, position - 4, f"{order}I", position + besides, besides)
        if name == b"ds64" and len(sizes := stream.read(16)) == 16:
            # RF64: lengths of 64 bits, that of the sound behind that of the file.
            long = struct.unpack(f"{order}Q", sizes[8:])[0], position + 8
        position += value + value % 2
    return None


def _is_chunk(stream: BinaryIO, position: int, size: int, order: str) -> bool:
    """Whether a chunk starts there: a printable name, and a length within the file."""
    stream.seek(position)
    name, length = struct.unpack(f"{order}4sI", stream.read(_CHUNK_HEAD))
    return all(32 <= byte < 127 for byte in name) and length <= size - position

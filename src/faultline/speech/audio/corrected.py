"""A file some bytes of which are read otherwise than they are written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from faultline.speech.audio.header import Correction


class CorrectedFile(io.RawIOBase):
    """The file at `path` as it would be with the bytes of `correction`, for reading.

    Args:
        path: The file, which is left as it is.
        correction: What to read, and where.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: Path, correction: Correction) -> None:
        super().__init__()
        self._correction = correction
        self._file = path.open("rb")

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from where the file stands; returns the number of bytes."""
        start = self._file.tell()
        count = self._file.readinto(buffer)
        view = memoryview(buffer)
        first, content = self._correction.offset, self._correction.content
        for place, byte in enumerate(content, first - start):
            if 0 <= place < count:
                view[place : place + 1] = bytes([byte])
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place; returns it."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place where the file stands."""
        return self._file.tell()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

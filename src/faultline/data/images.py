"""Reading pictures: any common file becomes RGB uint8 (H, W, 3), upright, or an `ImageError`.

What happens to unusual pictures, everywhere in Faultline:

- EXIF orientation is applied, so width and height are those that a viewer shows.
- Grey is repeated over three channels, palettes are expanded, CMYK is converted without a
  colour profile.
- An alpha channel is dropped (the stored colours are kept), as OpenCV and torchvision do.
- 16-bit pictures keep their high byte: 65535 becomes 255. They are never stretched, because a
  stretch would depend on the picture.
- Floating-point and 32-bit pictures are refused: their value range is not known.
- Animated and multi-page files give their first picture.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from faultline.errors import ImageError, ImageSizeError, ImageTypeError

ByteImage = npt.NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
)
"""File name endings, lower case, that count as pictures when a folder is searched."""

MAX_PIXELS = 200_000_000
"""Largest picture that is decoded, in pixels, unless a caller says otherwise."""

_ORIENTATION_TAG = 0x0112
_JPEG_FORMATS = ("JPEG", "MPO")
_ENDING_FORMATS = (*_JPEG_FORMATS, "PNG", "WEBP")
"""Formats that tell where a file ends: by a marker, or (WebP) by a length that opening checks."""
_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = (_PNG_START, b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")

# Pillow's limit on pixels is a global and lower than ours, so it is lifted while a header is read.
# The hooks keep a forked loader worker from inheriting a lock that nobody will release.
_header_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_header_lock.acquire,
        after_in_parent=_header_lock.release,
        after_in_child=_header_lock.release,
    )


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of a picture without decoding it.

    Attributes:
        width: Columns after EXIF orientation, in pixels.
        height: Rows after EXIF orientation, in pixels.
        orientation: EXIF orientation 1-8 that a reader applies; 1 means "stored upright".
        sha256: Hex digest of the file's bytes.
    """

    width: int
    height: int
    orientation: int
    sha256: str


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> ByteImage:
    """Decode a picture file to RGB uint8 (H, W, 3), upright.

    Raises:
        ImageError: The file is absent, empty, truncated, no picture, of a kind whose value range
            is not known, or larger than `max_pixels`.
    """
    return decode_image(read_file(path), where=path, max_pixels=max_pixels)


def decode_image(
    data: bytes, *, where: str | Path = "picture", max_pixels: int = MAX_PIXELS
) -> ByteImage:
    """Decode the bytes of a picture file to RGB uint8 (H, W, 3), upright.

    Raises:
        ImageError: See `read_image`; `where` names the picture in the message.
    """
    header, orientation = open_header(data, where, max_pixels)
    check_end(data, header, where)
    pixels = _decode_fast(data, header) if _is_plain(data, header) else None
    if pixels is None:
        pixels = _decode_any(header, where)
    return apply_orientation(pixels, orientation)


def probe_size(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) of a picture as a viewer shows it, read from the header alone.

    Raises:
        ImageError: The header is unreadable, or tells of more than `max_pixels`.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            header, orientation = open_header(stream, path, max_pixels)
            return _upright_size(header, orientation)
    except OSError as error:
        raise _unreadable(path, error) from error


def inspect_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """Size, orientation and hash of a picture file; JPEG, PNG and WebP are not decoded for it.

    These tell where they end, so a cut is noticed without; damage inside needs `read_image`.
    TIFF, BMP, PPM and the like do not tell, so they are decoded.

    Raises:
        ImageError: The file is absent, empty, cut short, no picture, or above `max_pixels`; its
            pixels cannot be decoded, or are of a kind whose value range is not known.
    """
    data = read_file(path)
    header, orientation = open_header(data, path, max_pixels)
    check_end(data, header, path)
    width, height = _upright_size(header, orientation)
    if header.format not in _ENDING_FORMATS:
        _decode_any(header, path)
    return ImageFacts(width, height, orientation, hashlib.sha256(data).hexdigest())


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces.

    Raises:
        ImageError: The file cannot be read.
    """
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def read_file(path: str | Path) -> bytes:
    """All bytes of a picture file.

    Raises:
        ImageError: The file is absent, unreadable or empty.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    if not data:
        raise ImageError("the file is empty (0 bytes)", where=path, remedy="copy it again")
    return data


def apply_orientation(pixels: npt.NDArray[T], orientation: int) -> npt.NDArray[T]:
    """Turn stored pixels (H, W) or (H, W, C) upright by EXIF orientation 1-8, contiguous."""
    if orientation >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def open_header(
    source: bytes | Any, where: str | Path, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, int]:
    """Header of a picture (bytes or binary stream) and the EXIF orientation to apply to it.

    Nothing is allocated for pixels.

    Raises:
        ImageError: The header is unreadable, or tells of more than `max_pixels`.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with _header_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                header = Image.open(stream)
                orientation = _orientation(header)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
    except UnidentifiedImageError as error:
        raise _not_a_picture(stream, where, max_pixels) from error
    except Exception as error:
        # Format plug-ins raise whatever a broken header leads them to.
        raise ImageError(
            f"the header cannot be read: {error}", where=where, remedy="copy or export it again"
        ) from error
    width, height = header.size
    if width * height > max_pixels:
        raise _too_large(where, width, height, max_pixels)
    return header, orientation


def load_pixels(header: Image.Image) -> None:
    """Decode an opened picture in place, without Pillow's warnings about odd TIFF tags.

    Raises whatever Pillow does: OSError, SyntaxError, ValueError, EOFError, struct.error.
    """
    if header.format != "TIFF":
        header.load()
        return
    # Warning filters are global, so one thread at a time may change them.
    with _header_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header.load()


def _orientation(header: Image.Image) -> int:
    # Pillow turns TIFF itself; PNG may hold EXIF behind the pixels, which a probe cannot see.
    if header.format == "TIFF" or (header.format == "PNG" and "exif" not in header.info):
        return 1
    try:
        value = header.getexif().get(_ORIENTATION_TAG, 1)
    except (SyntaxError, ValueError, KeyError, TypeError, OSError, struct.error):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright_size(header: Image.Image, orientation: int) -> tuple[int, int]:
    width, height = header.size
    return (height, width) if orientation >= 5 else (width, height)


def check_end(data: bytes, header: Image.Image, where: str | Path) -> None:
    """Refuse a file without its end marker: decoders fill what is missing with grey."""
    missing = (header.format in _JPEG_FORMATS and not _jpeg_ends(data)) or (
        header.format == "PNG" and data.rfind(b"IEND") < 0
    )
    if missing:
        raise _truncated(where, f"{header.format} of {len(data):,} bytes without an end marker")


def _jpeg_ends(data: bytes) -> bool:
    """Whether an end marker follows the pixels. One before them is that of a thumbnail in EXIF."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 3 < len(data):
        marker = data[at + 1]
        if marker == _JPEG_SCAN:
            return data.find(_JPEG_END, at) >= 0
        # Padding, what is no marker, and the few markers that stand alone have no length behind.
        alone = marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD9
        at += 1 if alone else 2 + int.from_bytes(data[at + 2 : at + 4])
    return False


def _is_plain(data: bytes, header: Image.Image) -> bool:
    """Whether OpenCV, which is faster, gives the same pixels as Pillow."""
    if header.format in _JPEG_FORMATS:
        # Something behind the end marker: let Pillow, which is strict, tell padding from a cut.
        return header.mode in ("L", "RGB") and data.endswith(_JPEG_END)
    bit_depth = data[24] if data.startswith(_PNG_START) else 0
    return header.mode in ("L", "RGB") and bit_depth == 8 and "transparency" not in header.info


def _decode_fast(data: bytes, header: Image.Image) -> ByteImage | None:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    expected = (header.size[1], header.size[0], 3)
    return cast(ByteImage, pixels) if pixels is not None and pixels.shape == expected else None


def _decode_any(header: Image.Image, where: str | Path) -> ByteImage:
    try:
        load_pixels(header)
        if header.mode.startswith("I;16") or (header.mode == "I" and header.format == "PPM"):
            high = (np.asarray(header).astype(np.uint32) >> 8).astype(np.uint8)
            return np.repeat(high[:, :, None], 3, axis=2)
        if header.mode in ("I", "F"):
            raise ImageTypeError(
                f"pixels of mode {header.mode!r} (32 bits) have no known value range",
                where=where,
                remedy="export it with 8 or 16 bits a channel",
            )
        if header.mode == "P" and "transparency" in header.info:
            header = header.convert("RGBA")  # straight to RGB, Pillow warns
        return np.array(header.convert("RGB"))
    except ImageError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        if "truncated" in str(error).lower():
            raise _truncated(where, str(error)) from error
        raise ImageError(
            f"the pixels cannot be decoded: {error}", where=where, remedy="copy or export it again"
        ) from error
    except MemoryError as error:
        raise ImageError(
            f"no memory for {header.size[0]}x{header.size[1]} pixels", where=where
        ) from error


def _truncated(where: str | Path, detail: str) -> ImageError:
    return ImageError(f"the file is truncated ({detail})", where=where, remedy="copy it again")


def _unreadable(path: str | Path, error: OSError) -> ImageError:
    return ImageError(
        f"cannot be read: {error.strerror or error}", where=path, remedy="check the path"
    )


def _not_a_picture(stream: Any, where: str | Path, max_pixels: int) -> ImageError:
    """What is wrong with a file in which Pillow sees no picture."""
    stream.seek(0)
    start = stream.read(24)
    if not start:
        return ImageError("the file is empty (0 bytes)", where=where, remedy="copy it again")
    if start.startswith(_PNG_START) and len(start) == 24:
        width, height = struct.unpack(">II", start[16:])
        if width * height > max_pixels:
            return _too_large(where, width, height, max_pixels)
    if start.startswith(_SIGNATURES):
        return _truncated(where, "it breaks off before the pixels")
    return ImageTypeError(
        f"not a picture (starts with {start[:12]!r})",
        where=where,
        remedy=f"use one of {', '.join(sorted(IMAGE_SUFFIXES))}",
    )


def _too_large(where: str | Path, width: int, height: int, max_pixels: int) -> ImageError:
    return ImageSizeError(
        f"the header tells of {width}x{height} = {width * height / 1e6:,.0f} megapixels, "
        f"more than the limit of {max_pixels / 1e6:,.0f}",
        where=where,
        remedy="cut the picture into tiles, or raise max_pixels if it is genuine",
    )

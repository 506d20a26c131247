"""Pictures as they come in and go out: a file's bytes -> pixels, and pixels -> base64."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from faultline.data.images import decode_image, open_header
from faultline.errors import ImageError, ImageSizeError, ImageTypeError
from faultline.predict.pictures import encode_picture

Pixels = NDArray[np.uint8]
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "PPM", "GIF")
"""What is decoded, as Pillow calls it. Others, such as EPS, run programs to be read."""


def picture_of(data: bytes, max_pixels: int) -> Pixels:
    """RGB pixels (H, W, 3) of a file, upright: the same as `infer` reads from it.

    Raises:
        HTTPException: 415 for what is no picture of a known kind, 413 for too many pixels, 400 for
            a damaged one.
    """
    try:
        header, _ = open_header(data, "the picture", max_pixels)
        if header.format not in FORMATS:
            raise HTTPException(
                415, f"the picture: {header.format} is not taken -> send it as JPEG or PNG"
            )
        return decode_image(data, where="the picture", max_pixels=max_pixels)
    except ImageTypeError as error:
        raise HTTPException(415, str(error)) from error
    except ImageSizeError as error:
        raise HTTPException(413, f"the picture: {error.what} -> cut it into tiles") from error
    except ImageError as error:
        raise HTTPException(400, str(error)) from error


def as_base64(pixels: Pixels) -> str:
    """Pixels as the PNG that `infer` would write, in base64."""
    return base64.b64encode(encode_picture(pixels)).decode("ascii")

"""Pseudo-labels on disk: bit masks, a confidence per pixel and a tier per picture.

    FOLDER/channels.json           {"channels": [{"name": str, "color": [r, g, b]}, ...]}
    FOLDER/<where>/<stem>_mask.png   8-bit grey; bit c is set where channel c holds
    FOLDER/<where>/<stem>_conf.npy   (H, W) float16, 0 to 1
    FOLDER/<where>/<stem>_tier.txt   A, B or C

`<where>` is the folder of the picture relative to the root of the data set, or that in one of the
folders train, val, valid and test. A pixel may have several channels, or none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import numpy.typing as npt

from faultline.data.images import ByteImage
from faultline.errors import DataError, MaskError
from faultline.types import IGNORE_INDEX, LabelKind, LabelSpace

CHANNELS_NAME = "channels.json"
MASK_END, CONFIDENCE_END, TIER_END = "_mask.png", "_conf.npy", "_tier.txt"
TIERS = ("A", "B", "C")
BITS = "bits"
"""Name of the rule by which such masks are read: `bits:<least confidence>`."""
_MOST = 8
_SPLITS = ("train", "val", "valid", "test")


@dataclass(frozen=True, slots=True)
class PseudoLabel:
    """The pseudo-label of one picture.

    Attributes:
        mask: The bit mask.
        tier: "A", "B" or "C".
    """

    mask: Path
    tier: str


def read_channels(folder: Path) -> LabelSpace:
    """The channels of a folder of pseudo-labels, as independent labels of a pixel.

    Raises:
        DataError: There is no `channels.json`, or it is not of the form above.
    """
    path = folder / CHANNELS_NAME
    try:
        channels = json.loads(path.read_text(encoding="utf-8"))["channels"]
        names = tuple(str(one["name"]) for one in channels)
        colours = tuple(_colour(one["color"]) for one in channels)
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror or error}",
            where=path,
            remedy="give a folder that the pseudo-label command wrote",
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"is not a list of channels: {type(error).__name__} {error}",
            where=path,
            remedy='write {"channels": [{"name": "background", "color": [0, 0, 0]}, ...]}',
        ) from error
    if not 1 <= len(names) <= _MOST or len(set(names)) != len(names):
        raise DataError(
            f"{len(names)} channels ({', '.join(names)})",
            where=path,
            remedy=f"give 1 to {_MOST} channels of different names: each is one bit of a mask",
        )
    return LabelSpace(LabelKind.MULTILABEL, names, colours)


def _colour(value: list[int]) -> tuple[int, int, int]:
    red, green, blue = (int(level) for level in value)
    return red, green, blue


def find_pseudo_label(folder: Path, id: str) -> PseudoLabel | None:
    """The pseudo-label of the picture `id` (its path below the data set); None without one.

    Raises:
        DataError: A mask lacks its confidence or its tier, or the tier is another word.
    """
    picture = PurePosixPath(id)
    for place in _places(folder, picture):
        mask = place / f"{picture.stem}{MASK_END}"
        if mask.is_file():
            return PseudoLabel(mask, _tier(mask))
    return None


def _places(folder: Path, picture: PurePosixPath) -> Iterator[Path]:
    yield folder / picture.parent
    if picture.parts[0].lower() not in _SPLITS:
        yield from (folder / split / picture.parent for split in _SPLITS)


def _tier(mask: Path) -> str:
    path = beside(mask, TIER_END)
    try:
        tier = path.read_text(encoding="utf-8").strip().upper()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the tier cannot be read: {error}", where=path) from error
    if tier not in TIERS:
        raise DataError(f"tier {tier!r}", where=path, remedy=f"write one of {', '.join(TIERS)}")
    return tier


def beside(mask: Path, end: str) -> Path:
    """Another file of the same pseudo-label."""
    return mask.with_name(mask.name.removesuffix(MASK_END) + end)


def read_bits(mask: Path, channels: int, least: float) -> ByteImage:
    """Planes (M, H, W) of 0 and 1; 255 where the confidence is below `least`.

    Raises:
        MaskError: A file cannot be decoded, sizes differ, or a bit has no channel.
    """
    pixels = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise MaskError("is no 8-bit grey picture", where=mask, remedy="write the mask again")
    highest = int(pixels.max(initial=0))
    if highest >> channels:
        raise MaskError(
            f"holds the value {highest}, but {channels} channels end at {2**channels - 1}",
            where=mask,
            remedy=f"list every channel in {CHANNELS_NAME}, or write the mask again",
        )
    bits = pixels.astype(np.uint8)
    planes = np.stack([(bits >> c) & 1 for c in range(channels)]).astype(np.uint8)
    planes[:, _confidence(beside(mask, CONFIDENCE_END), pixels.shape) < least] = IGNORE_INDEX
    return planes


def _confidence(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise MaskError(f"the confidence cannot be read: {error}", where=path) from error
    if values.shape != shape or values.dtype.kind != "f":
        raise MaskError(
            f"confidence of shape {values.shape} and type {values.dtype} for a mask of {shape}",
            where=path,
            remedy="write a float16 array of the mask's height and width",
        )
    known: npt.NDArray[np.float32] = np.nan_to_num(values.astype(np.float32), nan=0.0)
    return known

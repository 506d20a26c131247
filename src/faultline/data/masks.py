"""Masks as arrays: 0/1 or class index in (H, W), one plane a label in (K, H, W), 255 = ignore.

Which frame a label refers to, when the picture carries an EXIF rotation: the upright picture, as
labelling tools show it. Where the label's size fits only the stored, unturned picture (width and
height exchanged), it was drawn on that and is turned with it. A square picture, or one stored
upside down, gives no such sign; its labels are taken as upright.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from faultline.data.images import (
    ByteImage,
    apply_orientation,
    check_end,
    inspect_image,
    load_pixels,
    open_header,
    read_file,
)
from faultline.data.manifest import Item, MaskFile, Region
from faultline.data.mask_rules import (
    APART,
    Colour,
    MaskScan,
    Reading,
    ValueTable,
    infer_mask_rule,
    misfit,
    parse_rule,
)
from faultline.data.pseudo_masks import BITS, read_bits
from faultline.data.regions import decode_rles
from faultline.errors import MaskError
from faultline.types import BACKGROUND, IGNORE_INDEX, LabelKind, LabelSpace

__all__ = ["decode_regions", "infer_mask_rule", "load_mask", "resize_mask", "scan_mask"]

_UNSET = 254  # neither a class nor ignore; label spaces are far smaller
_MOST_COLOURS = 256


def load_mask(item: Item, space: LabelSpace) -> ByteImage:
    """The label of an item: uint8 (H, W), or (K, H, W) for a multilabel space.

    Raises:
        MaskError: The item is not labelled or only as a whole, its mask is of another size than
            the picture, or has values that its rule does not list.
        ImageError: The mask file cannot be decoded.
    """
    if not item.labelled:
        raise MaskError("the item has no label", where=item.path, remedy="leave it out")
    if item.image_level:
        raise MaskError(
            "the label is of the whole picture, not of its pixels",
            where=item.path,
            remedy="use it with task=classification",
        )
    if item.mask_file is None:
        return decode_regions(item.regions, item.height, item.width, space, where=item.path)
    if item.mask_file.rule.startswith(APART):
        return _apart(item, item.mask_file, space)
    if item.mask_file.rule.partition(":")[0] == BITS:
        return _bits(item, item.mask_file, space)
    table = parse_rule(item.mask_file.rule, space)
    pixels, lossy = _read_pixels(item.mask_file.path, table.reading)
    pixels = _in_picture_frame(pixels, item, item.mask_file)
    return _classes_of(pixels, table, space, item.mask_file.path, lossy)


def _apart(item: Item, mask: MaskFile, space: LabelSpace) -> ByteImage:
    """Classes of a mask that exclude each other, (K, H, W), the background left out."""
    own = replace(item, mask_file=replace(mask, rule=mask.rule.removeprefix(APART)))
    whole = load_mask(own, LabelSpace(LabelKind.MULTICLASS, (BACKGROUND, *space.names)))
    planes = np.stack([whole == k for k in range(1, len(space.names) + 1)]).astype(np.uint8)
    planes[:, whole == IGNORE_INDEX] = IGNORE_INDEX
    return planes


def _bits(item: Item, mask: MaskFile, space: LabelSpace) -> ByteImage:
    """A pseudo-label, (K, H, W)."""
    planes = read_bits(mask.path, len(space.names), float(mask.rule.partition(":")[2]))
    if planes.shape[1:] != (item.height, item.width):
        own = (planes.shape[2], planes.shape[1])
        raise wrong_size(mask.path, own, (item.width, item.height))
    return planes


def decode_regions(
    regions: Sequence[Region],
    height: int,
    width: int,
    space: LabelSpace,
    where: Path | None = None,
) -> ByteImage:
    """Paint regions in their order: uint8 (H, W), or (K, H, W) for a multilabel space.

    Raises:
        MaskError: A region is of another size, or of a class that the space does not have.
    """
    for region in regions:
        if list(region.rle["size"]) != [height, width]:
            raise MaskError(
                f"region of size {region.rle['size']}, picture of {[height, width]}", where=where
            )
        if not 0 <= region.class_index < len(space.names):
            raise MaskError(
                f"region of class {region.class_index}, but there are {len(space.names)} classes "
                f"(0 to {len(space.names) - 1})",
                where=where,
                remedy="import the data set again, or correct its manifest",
            )
    if space.kind is LabelKind.BINARY:
        return decode_rles([region.rle for region in regions], height, width)
    planes = (len(space.names),) if space.kind is LabelKind.MULTILABEL else ()
    mask = np.zeros((*planes, height, width), np.uint8)
    for region in regions:
        inside = decode_rles([region.rle], height, width) > 0
        if space.kind is LabelKind.MULTILABEL:
            mask[region.class_index][inside] = 1
        else:
            mask[inside] = region.class_index
    return mask


def resize_mask(mask: ByteImage, size: tuple[int, int]) -> ByteImage:
    """Resize (H, W) or (K, H, W) to `size` (height, width), nearest neighbour, centres aligned.

    Raises:
        MaskError: The mask has another number of axes, or the size is not positive.
    """
    if mask.ndim == 3:
        return np.stack([resize_mask(plane, size) for plane in mask])
    height, width = size
    if mask.ndim != 2 or min(*mask.shape, height, width) < 1:
        raise MaskError(f"cannot resize a mask of shape {mask.shape} to {height}x{width}")
    # INTER_NEAREST samples pixel corners and so shifts by half a pixel; _EXACT samples centres.
    resized = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.ascontiguousarray(resized)


def scan_mask(path: Path, *, colours: bool = False) -> MaskScan:
    """Size and values of a mask file; `colours` also lists the colours of a grey one.

    Raises:
        ImageError: The file cannot be decoded.
        MaskError: It has transparency or a pixel type that no mask has.
    """
    header, lossy = _open_mask(path)
    grey = _grey_of(header)
    palette = frozenset(_present(np.asarray(header))) if header.mode == "P" else None
    found = _colours_of(header) if colours or grey is None else None
    return MaskScan(
        path=path,
        width=header.size[0],
        height=header.size[1],
        lossy=lossy,
        grey=None if grey is None else frozenset(_present(grey)),
        palette=palette,
        colours=found,
    )


def _open_mask(path: Path) -> tuple[Image.Image, bool]:
    """A decoded mask file without alpha, and whether its format loses values."""
    data = read_file(path)
    # EXIF of a mask is not applied: tools write masks upright, or copy the tag from the picture.
    header, _ = open_header(data, path)
    check_end(data, header, path)
    lossy = header.format in ("JPEG", "MPO")
    try:
        load_pixels(header)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise MaskError(
            f"mask cannot be decoded: {error}", where=path, remedy="copy it again"
        ) from error
    if header.mode in ("LA", "RGBA"):
        if header.getchannel("A").getextrema() != (255, 255):
            raise MaskError(
                "the mask has transparency, so its colours may not be the labels",
                where=path,
                remedy="export it without an alpha channel",
            )
        header = header.convert(header.mode[:-1])
    if header.mode not in ("1", "L", "P", "RGB") and not header.mode.startswith("I"):
        raise MaskError(
            f"mask of pixel type {header.mode!r}",
            where=path,
            remedy="export it as an 8-bit grey, palette or RGB PNG",
        )
    return header, lossy


def _read_pixels(path: Path, reading: Reading) -> tuple[npt.NDArray[np.integer], bool]:
    """Pixels under a reading, (H, W) or for colours (H, W, 3), and whether the file is lossy."""
    header, lossy = _open_mask(path)
    if reading == "rgb":
        return np.asarray(header.convert("RGB")), lossy
    if reading == "palette":
        if header.mode != "P":
            raise MaskError(
                f"the rule is palette, but the file is of type {header.mode!r}",
                where=path,
                remedy="set data.mask_rule=index if its grey levels are class indices",
            )
        return np.asarray(header), lossy
    grey = _grey_of(header)
    if grey is None:
        colours = sorted(_colours_of(header))[:10]
        raise MaskError(
            f"the mask has colours {colours}, but the rule wants grey levels",
            where=path,
            remedy="give data.mask_colours, or set data.mask_rule=palette for a palette file",
        )
    return grey, lossy


def _grey_of(header: Image.Image) -> npt.NDArray[np.integer] | None:
    """Grey levels (H, W), or None where the picture has real colours."""
    if header.mode == "1":
        return np.asarray(header.convert("L"))  # PNG scales one bit to 0 and 255
    if header.mode == "P":
        return _grey_of_palette(header)
    pixels = np.asarray(header)
    if header.mode != "RGB":
        return pixels
    red = pixels[..., 0]
    same = np.array_equal(red, pixels[..., 1]) and np.array_equal(red, pixels[..., 2])
    return np.ascontiguousarray(red) if same else None


def _grey_of_palette(header: Image.Image) -> ByteImage | None:
    # Tools that shrink PNGs turn grey masks into palettes: what a viewer shows is meant.
    flat = np.asarray(header.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    table = np.zeros((256, 3), np.uint8)
    table[: len(flat)] = flat[:256]
    positions = np.asarray(header)
    used = table[_present(positions)]
    return table[:, 0][positions] if (used == used[:, :1]).all() else None


def _present(pixels: npt.NDArray[np.integer]) -> list[int]:
    if pixels.dtype == np.uint8:
        histogram = cv2.calcHist([pixels], [0], None, [256], [0, 256])
        return [int(value) for value in np.flatnonzero(histogram)]
    return [int(value) for value in np.unique(pixels)]


def _colours_of(header: Image.Image) -> frozenset[Colour]:
    image = header.convert("RGB")
    counted = image.getcolors(_MOST_COLOURS)
    if counted is not None:
        return frozenset(_triple(colour) for _, colour in counted)
    # So many colours fit no table; a sample is enough for the message.
    flat = np.asarray(image).reshape(-1, 3)
    some = np.unique(flat[:: max(1, len(flat) // 4096)], axis=0)[:_MOST_COLOURS]
    return frozenset(_triple(colour) for colour in some)


def _in_picture_frame(
    pixels: npt.NDArray[np.integer], item: Item, mask: MaskFile
) -> npt.NDArray[np.integer]:
    """Mask pixels in the frame of the upright picture, or an error if they do not fit it."""
    height, width = pixels.shape[:2]
    if (height, width) == (item.height, item.width):
        return pixels
    if (width, height) == (item.height, item.width):
        orientation = inspect_image(item.path).orientation
        if orientation >= 5:
            return apply_orientation(pixels, orientation)
    raise wrong_size(mask.path, (width, height), (item.width, item.height))


def wrong_size(path: Path, mask: tuple[int, int], picture: tuple[int, int]) -> MaskError:
    """The error for a mask whose (width, height) is not that of its picture."""
    return MaskError(
        f"the mask is {mask[0]}x{mask[1]}, its picture {picture[0]}x{picture[1]}",
        where=path,
        remedy="export the mask at the size of the picture; masks are never stretched to fit",
    )


def _classes_of(
    pixels: npt.NDArray[np.integer], table: ValueTable, space: LabelSpace, path: Path, lossy: bool
) -> ByteImage:
    """Replace pixel values by classes: (H, W), or (K, H, W) for a multilabel space."""
    planes = len(space.names) if space.kind is LabelKind.MULTILABEL else 1
    if pixels.ndim == 2 and pixels.dtype != np.uint8:
        if int(pixels.max(initial=0)) > 255 or int(pixels.min(initial=0)) < 0:
            raise misfit(_present(pixels), space, table=table, where=path)
        pixels = pixels.astype(np.uint8)
    mask = np.full((planes, *pixels.shape[:2]), _UNSET, np.uint8)
    if table.reading == "rgb":
        _paint_colours(mask, pixels, table, space)
    else:
        lookup = np.full(256, _UNSET, np.uint8)
        for value, classes in table.classes.items():
            lookup[value] = _plane_value(classes, 0, space)
        mask[0] = cv2.LUT(pixels, lookup)
    if (mask[0] == _UNSET).any():
        found = _found(pixels, mask[0] == _UNSET)
        raise misfit(found, space, table=table, where=path, lossy=lossy)
    return mask if space.kind is LabelKind.MULTILABEL else mask[0]


def _paint_colours(
    mask: ByteImage, pixels: npt.NDArray[np.integer], table: ValueTable, space: LabelSpace
) -> None:
    wide = pixels.astype(np.int32)
    codes = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    for value, classes in table.classes.items():
        if isinstance(value, tuple):
            where = codes == (value[0] << 16 | value[1] << 8 | value[2])
            for index, plane in enumerate(mask):
                plane[where] = _plane_value(classes, index, space)


def _plane_value(classes: tuple[int, ...] | None, plane: int, space: LabelSpace) -> int:
    """What a pixel of `classes` holds in a plane of the mask."""
    if classes is None:
        return IGNORE_INDEX
    if space.kind is LabelKind.MULTICLASS:
        return classes[-1] if classes else 0
    return int(plane in classes)


def _found(pixels: npt.NDArray[np.integer], unset: npt.NDArray[np.bool_]) -> list[int | Colour]:
    """The values that no entry listed."""
    if pixels.ndim == 2:
        return list(_present(pixels))
    some = np.unique(pixels[unset], axis=0)
    return [_triple(colour) for colour in some]


def _triple(colour: Any) -> Colour:
    red, green, blue = colour
    return int(red), int(green), int(blue)

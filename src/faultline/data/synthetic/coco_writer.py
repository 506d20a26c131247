"""A synthetic crack data set on disk, as COCO per split with run-length encoded masks."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from faultline.data.synthetic.generate import check_settings, generate_crack_image
from faultline.errors import DataError, OutputError
from faultline.files import write_bytes, write_json

ANNOTATIONS = "_annotations.coco.json"
"""Name of the annotation file of a split, beside its pictures."""

MARKER = ".faultline-synthetic.json"
"""File that says that a folder was made here, and with which settings."""

_SPLITS = ("train", "valid", "test")
_QUALITY = 92
_CATEGORIES = [{"id": 1, "name": "crack", "supercategory": "defect"}]

Progress = Callable[[int, int], None]


def write_crack_dataset(
    root: str | Path,
    counts: Mapping[str, int] | None = None,
    seed: int = 0,
    size: tuple[int, int] = (320, 480),
    crack_free_share: float = 0.1,
    progress: Progress | None = None,
    surface: str | None = None,
) -> dict[str, Path]:
    """Write `root/{train,valid,test}/_annotations.coco.json` with JPEG pictures beside it.

    Each picture depends on the seed, its split and its number alone: more pictures in one split
    change nothing in the others. The annotation file of a split is written last, so a split that
    has one is complete. An earlier data set of this function in `root` is replaced.

    Args:
        root: Folder; made if absent.
        counts: Pictures a split, by default 60 train, 12 valid, 12 test.
        seed: Non-negative integer.
        size: (H, W) in pixels.
        crack_free_share: Share of pictures without any crack, 0-1, spread evenly.
        progress: Called with (pictures done, pictures in all) after each picture.
        surface: "concrete", "asphalt", or None for a mixture.

    Returns:
        Annotation file by split.

    Raises:
        DataError: A setting is out of range, or `root` holds something that was not made here.
        OutputError: `root` cannot be written.
    """
    root = Path(root)
    counts = dict(counts) if counts is not None else {"train": 60, "valid": 12, "test": 12}
    _check(counts, seed, size, crack_free_share, surface)
    _claim(root)
    settings = {"counts": counts, "seed": seed, "size": list(size), "surface": surface,
                "crack_free_share": crack_free_share}  # fmt: skip
    write_json(root / MARKER, settings)
    done, total = 0, sum(counts.values())

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return {
        split: _write_split(root / split, count, seed, size, crack_free_share, surface, step)
        for split, count in counts.items()
    }


def _write_split(
    folder: Path,
    count: int,
    seed: int,
    size: tuple[int, int],
    crack_free_share: float,
    surface: str | None,
    step: Callable[[], None],
) -> Path:
    """Pictures of one split, then its annotation file."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        free = _is_crack_free(index, crack_free_share)
        # A number of the name, not of the order, so that splits do not depend on one another.
        own_seed = [seed, zlib.crc32(folder.name.encode()), index]
        image, mask = generate_crack_image(own_seed, size, surface, crack_free=free)
        name = f"crack_{folder.name}_{index + 1:05d}.jpg"
        write_bytes(folder / name, _jpeg(image))
        images.append(
            {"id": index + 1, "file_name": name, "width": size[1], "height": size[0], "license": 1}
        )
        annotations += _annotations(mask, index + 1, first_id=len(annotations) + 1)
        step()
    document = {
        "info": {"description": "Synthetic cracks made by Faultline", "version": "1", "year": 2026},
        "licenses": [{"id": 1, "name": "CC0 1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}],
        "categories": _CATEGORIES,
        "images": images,
        "annotations": annotations,
    }  # fmt: skip
    write_json(folder / ANNOTATIONS, document)
    return folder / ANNOTATIONS


def _annotations(mask: npt.NDArray[np.uint8], image_id: int, first_id: int) -> list[dict[str, Any]]:
    """One COCO annotation a connected crack (8 neighbours) of `mask` (H, W)."""
    number, labels = cv2.connectedComponents(mask, connectivity=8)
    found = []
    for label in range(1, number):
        # pycocotools wants column-major order.
        rle = coco_mask.encode(np.asfortranarray(labels == label, dtype=np.uint8))
        found.append(
            {
                "id": first_id + label - 1,
                "image_id": image_id,
                "category_id": 1,
                "segmentation": {"size": list(mask.shape), "counts": rle["counts"].decode()},
                "bbox": [float(value) for value in coco_mask.toBbox(rle)],
                "area": int(coco_mask.area(rle)),
                "iscrowd": 0,
            }
        )
    return found


def _is_crack_free(index: int, share: float) -> bool:
    """Every (1 / share)-th picture, so that any number of them holds the share to within one."""
    return int((index + 1) * share + 0.5) > int(index * share + 0.5)


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    settings = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), settings)
    return bytes(data)


def _check(
    counts: Mapping[str, int],
    seed: int,
    size: tuple[int, int],
    crack_free_share: float,
    surface: str | None,
) -> None:
    check_settings(size, surface)
    if seed < 0:
        raise DataError(f"seed {seed} is negative", remedy="give an integer of 0 or more")
    unknown = [name for name in counts if name not in _SPLITS]
    if unknown or not counts:
        raise DataError(f"splits {sorted(counts)} are not usable", remedy=f"use {_SPLITS}")
    if any(count < 1 for count in counts.values()):
        raise DataError(f"counts {dict(counts)} must be 1 or more", remedy="leave empty splits out")
    if not 0 <= crack_free_share <= 1:
        raise DataError(
            f"crack_free_share {crack_free_share} is not a share", remedy="give a number in 0-1"
        )


def _claim(root: Path) -> None:
    """Refuse a folder of someone else; empty one of ours, annotation files first."""
    if not root.exists():
        return
    if not root.is_dir():
        raise DataError("is a file, not a folder", where=root, remedy="choose another folder")
    if not (root / MARKER).is_file():
        if any(root.iterdir()):
            raise DataError(
                "is not empty and was not made by this generator, so it is not overwritten",
                where=root,
                remedy="choose another folder or empty this one yourself",
            )
        return
    _remove_made(root)


def _remove_made(root: Path) -> None:
    """Delete the annotation files and pictures that this generator wrote into `root`."""
    try:
        for split in _SPLITS:
            (root / split / ANNOTATIONS).unlink(missing_ok=True)
            for path in (root / split).glob(f"crack_{split}_*.jpg"):
                path.unlink()
            with contextlib.suppress(OSError):
                (root / split).rmdir()
    except OSError as error:
        raise OutputError(
            f"the earlier data set cannot be removed: {error.strerror}",
            where=root,
            remedy="check permissions, or choose another folder",
        ) from error

"""A synthetic crack data set on disk, as COCO per split with run-length encoded masks."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from faultline.data.synthetic.folder import check_counts, claim
from faultline.data.synthetic.generate import check_settings, generate_crack_image
from faultline.errors import DataError
from faultline.files import write_bytes, write_json

ANNOTATIONS = "_annotations.coco.json"
"""Name of the annotation file of a split, beside its pictures."""

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
        counts: Pictures per split, by default 60 train, 12 valid, 12 test.
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
    check_settings(size, surface)
    check_counts(counts, seed)
    if not 0 <= crack_free_share <= 1:
        raise DataError(
            f"crack_free_share {crack_free_share} is not a share", remedy="give a number in 0-1"
        )
    settings = {"counts": counts, "seed": seed, "size": list(size), "surface": surface,
                "crack_free_share": crack_free_share}  # fmt: skip
    claim(root, settings)
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

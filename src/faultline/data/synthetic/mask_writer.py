"""A synthetic data set of shapes on disk: pictures, index masks, and the names of the classes."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from faultline.data.class_file import write_class_file
from faultline.data.synthetic.folder import check_counts, claim
from faultline.data.synthetic.shapes import ByteArray, ShapeSettings, generate_shapes_image
from faultline.files import write_bytes
from faultline.progress import Progress

DEFAULT_COUNTS = {"train": 1600, "valid": 100, "test": 200}


def write_shapes_dataset(
    root: str | Path,
    counts: Mapping[str, int] | None = None,
    seed: int = 0,
    settings: ShapeSettings | None = None,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Write `root/{train,valid,test}/{images,masks}/*.png` and `root/classes.txt`.

    Each picture depends on the seed, its split and its number alone: more pictures in one split
    change nothing in the others. An earlier data set in `root` that was made here is replaced.

    Args:
        root: Folder; made if absent.
        counts: Pictures per split, by default 1600 train, 100 valid, 200 test.
        seed: Non-negative integer.
        settings: What the pictures look like.
        progress: Called with (pictures done, pictures in all) after each picture.

    Returns:
        Folder by split.

    Raises:
        DataError: A setting is out of range, or `root` holds something that was not made here.
        OutputError: `root` cannot be written.
    """
    root = Path(root)
    counts = dict(counts) if counts is not None else dict(DEFAULT_COUNTS)
    settings = settings or ShapeSettings()
    check_counts(counts, seed)
    claim(root, {"counts": counts, "seed": seed, **dataclasses.asdict(settings)})
    write_class_file(root, settings.classes)
    done, total = 0, sum(counts.values())
    for split, count in counts.items():
        for index in range(count):
            # A number of the name, not of the order, so that splits do not depend on one another.
            own_seed = [seed, zlib.crc32(split.encode()), index]
            image, mask = generate_shapes_image(own_seed, settings)
            name = f"shape_{split}_{index + 1:05d}.png"
            write_bytes(root / split / "masks" / name, _png(mask))
            write_bytes(root / split / "images" / name, _png(image[..., ::-1]))
            done += 1
            if progress is not None:
                progress(done, total)
    return {split: root / split for split in counts}


def _png(pixels: ByteArray) -> bytes:
    """(H, W) or (H, W, 3) BGR as PNG; fast to write rather than small."""
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    _, data = cv2.imencode(".png", np.ascontiguousarray(pixels), settings)
    return bytes(data)

"""COCO data sets of one or a few pictures, 12 wide and 8 high."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from faultline.data.importers import import_dataset
from faultline.data.manifest import Manifest
from faultline.data.masks import load_mask

NAME = "_annotations.coco.json"
SQUARE = [2, 2, 6, 2, 6, 6, 2, 6]
EMPTY = b'{"images": [], "annotations": [], "categories": %s}'
NAN = float("nan")
CRACK = {"id": 1, "name": "Crack"}


def picture(path: Path, size: tuple[int, int] = (12, 8), seed: int = 0, **settings: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *path.name.encode()]).integers(0, 256, (*size[::-1], 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path, **settings)


def annotation(image: Any = 1, category: Any = 1, **fields: Any) -> dict[str, Any]:
    return {"id": 7, "image_id": image, "category_id": category, "segmentation": [SQUARE]} | fields


def entry(name: str = "a.png", key: Any = 1, **fields: Any) -> dict[str, Any]:
    return {"id": key, "file_name": name, "width": 12, "height": 8} | fields


def write(
    path: Path, annotations: list[Any], images: list[Any] | None = None, categories: Any = (CRACK,)
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [entry()] if images is None else images
    value = {"images": images, "annotations": annotations, "categories": list(categories)}
    path.write_text(json.dumps(value))


def one(root: Path, annotations: list[Any], **settings: Any) -> Manifest:
    """A data set of one picture `a.png`, 12 wide and 8 high."""
    picture(root / "a.png")
    write(root / NAME, annotations)
    return import_dataset(root, **settings)


def truth(manifest: Manifest, index: int = 0) -> np.ndarray:
    return load_mask(manifest.items[index], manifest.label_space)


def square() -> np.ndarray:
    mask = np.zeros((8, 12), np.uint8)
    mask[2:6, 2:6] = 1
    return mask

"""Drawn cracks, written as data sets, and a model that finds dark pixels without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import InputSpec, Normalisation, Threshold
from faultline.types import LabelKind, LabelSpace

CRACK = LabelSpace(LabelKind.BINARY, ("crack",))


class DarkPixels(nn.Module):
    """Logit 8 (0.45 - brightness) of pixels scaled to 0-1: no training needed."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, channels, 1)
        nn.init.constant_(self.head.weight, -8.0 / 3.0)
        nn.init.constant_(self.head.bias, 8.0 * 0.45)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, K, H, W)."""
        logits: Tensor = self.head(pictures)
        return logits


@dataclass(frozen=True)
class Picture:
    """One drawn picture and its label (H, W) of 0 and 1."""

    name: str
    image: np.ndarray
    mask: np.ndarray


def draw(
    name: str,
    seed: int,
    *,
    lines: int = 1,
    width: int = 3,
    label_width: int | None = None,
    contrast: int = 110,
    size: tuple[int, int] = (120, 80),
) -> Picture:
    """A grey surface with dark poly-lines; the label may be drawn wider than the line."""
    random = np.random.default_rng(seed)
    columns, rows = size
    surface = random.normal(165, 6, (rows, columns))
    centre = np.zeros((rows, columns), np.uint8)
    for _ in range(lines):
        points = np.stack(
            [np.linspace(6, columns - 7, 5), random.uniform(14, rows - 14, 5)], axis=1
        ).astype(np.int32)
        cv2.polylines(centre, [points], False, 1, 1)
    line, mask = widened(centre, width), widened(centre, label_width or width)
    grey = np.clip(surface - contrast * line, 0, 255).astype(np.uint8)
    return Picture(name, np.repeat(grey[..., None], 3, axis=2), mask)


def widened(centre: np.ndarray, width: int) -> np.ndarray:
    """Lines one pixel wide (H, W) made `width` pixels wide, which OpenCV's thickness is not."""
    if not centre.any():
        return centre
    distance = cv2.distanceTransform(1 - centre, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return (distance <= (width - 1) / 2 + 0.1).astype(np.uint8)


def write_coco(root: Path, split: str, pictures: Sequence[Picture]) -> Path:
    """Write pictures and `_annotations.coco.json` with RLE masks to `root/split`."""
    folder = root / split
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures, 1):
        Image.fromarray(picture.image).save(folder / picture.name)
        rows, columns = picture.mask.shape
        images.append({"id": number, "file_name": picture.name, "width": columns, "height": rows})
        if picture.mask.any():
            rle = coco_mask.encode(np.asfortranarray(picture.mask))
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": 1,
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                    "bbox": [float(side) for side in coco_mask.toBbox(rle)],
                    "area": float(coco_mask.area(rle)),
                    "iscrowd": 0,
                }
            )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "crack"}],
    }
    (folder / "_annotations.coco.json").write_text(json.dumps(content))
    return root


def dark_bundle(**fields: Any) -> Bundle:
    """A bundle of `DarkPixels`; keywords override its fields."""
    space = fields.pop("label_space", CRACK)
    settings = {"channels": space.num_outputs}
    values: dict[str, Any] = {
        "model_name": "test_dark_pixels",
        "model_settings": settings,
        "label_space": space,
        "state": DarkPixels(**settings).state_dict(),
        "normalisation": Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        "input": InputSpec(size=64),
        "threshold": Threshold(0.5, "tuned", "validation", "iou", 0.61),
        "provenance": {
            "created": "2025-01-01T10:00:00+00:00",
            "seed": 0,
            "command": "faultline train data=cracks",
            "data_fingerprint": "ab" * 32,
            "training": {"train": 3, "validation": 2, "seconds": 912.0, "loss": "bce_dice"},
        },
        "metrics": {"validation": {"iou": 0.612, "dice": 0.759, "epoch": 41, "step": 2050}},
        "seen": {"weights": ["0" * 64], "selection": ["1" * 64]},
        **fields,
    }
    return Bundle(**values)

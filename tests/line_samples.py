"""Drawn lines as a COCO data set."""

import json

import cv2
import numpy as np
from pycocotools import mask as coco_mask


def draw_lines(rng, height, width):
    """A grey, grainy picture with a dark line or two, and the mask of the lines."""
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 3))):
        points = rng.integers(0, (width, height), (4, 2)).astype(np.int32)
        cv2.polylines(mask, [points], False, 1, thickness=3)
    grain = rng.normal(150, 12, (height, width, 1)) + rng.normal(0, 4, (height, width, 3))
    picture = np.clip(grain - 90 * mask[..., None], 0, 255).astype(np.uint8)
    return picture, mask


def write_coco(folder, count, seed, size=(96, 128), category="crack"):
    """`count` pictures of lines with `_annotations.coco.json` beside them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for number in range(1, count + 1):
        picture, mask = draw_lines(rng, *size)
        name = f"{folder.name}-{seed}-{number:03}.png"
        cv2.imwrite(str(folder / name), picture)
        rle = coco_mask.encode(np.asfortranarray(mask))
        rle["counts"] = rle["counts"].decode()
        images.append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
        annotations.append(
            {
                "id": number, "image_id": number, "category_id": 1, "segmentation": rle,
                "area": int(mask.sum()), "bbox": [0, 0, size[1], size[0]], "iscrowd": 0,
            }
        )  # fmt: skip
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": category}],
    }
    (folder / "_annotations.coco.json").write_text(json.dumps(content))

"""A network and data sets so small that whole trainings take a second or two."""

import sys

import cv2
import numpy as np
from torch import nn

from faultline import cli
from faultline.data.severstal import severstal_rows, write_severstal
from faultline.types import LabelKind, LabelSpace

STEEL = LabelSpace(LabelKind.MULTILABEL, ("defect_1", "defect_2"))
TINY = [
    "task=classification", "model=tiny_classifier", "data.image_size=24", "data.batch_size=8",
    "trainer.precision=fp32", "trainer.accelerator=cpu", "trainer.tensorboard=false",
    "optimizer.lr=0.02", "augment=none", "scheduler.warmup_steps=5",
]  # fmt: skip


def tiny_classifier(num_classes: int = 1, width: int = 12) -> nn.Module:
    """Two convolutions and a mean: enough for bars and spots."""
    return nn.Sequential(
        nn.Conv2d(3, width, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(width, num_classes),
    )


def run(*words):
    """Run the command line in this process; its exit code."""
    before = sys.argv
    sys.argv = ["faultline", *map(str, words)]
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code or 0
    finally:
        sys.argv = before
    return 0


def picture(rng, bar=False, spot=False, size=(24, 30)):
    """Grain, with a dark horizontal bar or a bright spot; and a mask (2, H, W)."""
    image = rng.normal(120, 12, (*size, 3))
    mask = np.zeros((2, *size), np.uint8)
    if bar:
        row = int(rng.integers(3, size[0] - 6))
        image[row : row + 3] -= 90
        mask[0, row : row + 3] = 1
    if spot:
        row, column = (int(rng.integers(3, side - 8)) for side in size)
        image[row : row + 6, column : column + 6] += 100
        mask[1, row : row + 6, column : column + 6] = 1
    return np.clip(image, 0, 255).astype(np.uint8), mask


def write_folders(root, counts, seed=0):
    """Class folders: bar, clean, spot."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            image, _ = picture(rng, bar=name == "bar", spot=name == "spot")
            cv2.imwrite(str(root / name / f"{name}-{number:03}.png"), image)
    return root


def write_steel(root, count, seed=0, rare=0.4):
    """Severstal: class 1 is a bar, class 2 a spot; some pictures show both, some none."""
    rng = np.random.default_rng(seed)
    (root / "train_images").mkdir(parents=True)
    rows = []
    for number in range(count):
        bar, spot = rng.random() < 0.5, rng.random() < rare
        image, mask = picture(rng, bar=bar, spot=spot)
        name = f"{number:03}.png"
        cv2.imwrite(str(root / "train_images" / name), image)
        rows += severstal_rows(name, mask, STEEL)
    write_severstal(root / "train.csv", rows)
    return root


def train(data, out, *words):
    """Train by the command line; the run folder."""
    assert run("train", f"data={data}", f"output_dir={out}", *TINY, *words) == 0
    return (out / "tiny_classifier" / "latest").resolve()

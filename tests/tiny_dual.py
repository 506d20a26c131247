"""A dual-head network, data sets and settings so small that three phases take seconds."""

import json
from pathlib import Path

import cv2
import numpy as np
from tiny_classification import picture
from torch import nn

from faultline.models.backbones import Evidence
from faultline.models.dual_head import DualHead, MaskDecoder

TINY = [
    "model=tiny_dual", "data.image_size=[24, 30]", "data.batch_size=8", "trainer.accumulate=1",
    "trainer.precision=fp32", "trainer.accelerator=cpu", "trainer.tensorboard=false",
    "augment=none", "scheduler.name=none", "phases.a.epochs=2", "phases.b.epochs=2",
    "phases.c.epochs=2", "phases.a.lr_masks=0.02", "phases.b.lr_backbone=0.005",
    "phases.b.lr_masks=0.02", "phases.b.lr_classes=0.02", "phases.c.lr_backbone=0.001",
    "phases.c.lr_classes=0.02", "phases.min_iou=0", "trainer.guard_epochs=0",
]  # fmt: skip


class TinyTrunk(nn.Module):
    """Five strided convolutions with batch normalisation: maps at strides 4 to 32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channels = (width,) * 4
        self.embedding_dim = width
        self.weights = "random"
        self.stem = _stage(3, width)
        self.stages = nn.ModuleList(_stage(width, width) for _ in range(4))

    def features_and_embedding(self, x):
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps, maps[0].amax((2, 3))

    def evidence(self):
        return Evidence(self.stages[0], lambda output, size: output)

    def padded_size(self, height, width):
        return height, width

    def set_grad_checkpointing(self, enable=True):
        return False


def _stage(inside: int, outside: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=2, padding=1), nn.BatchNorm2d(outside), nn.ReLU()
    )


def tiny_dual(
    num_classes: int = 1,
    num_masks: int = 1,
    width: int = 12,
    decoder_channels: int = 12,
    skip_channels: int = 8,
    answer: str = "both",
) -> nn.Module:
    """Two heads on a tiny trunk."""
    trunk = TinyTrunk(width)
    decoder = MaskDecoder(trunk.channels, num_masks, decoder_channels, skip_channels, (1,))
    return DualHead(trunk, decoder, num_classes, answer=answer)


def write_masked_folders(root: Path, count: int, seed: int = 0) -> Path:
    """Class folders bar and spot with masks beside the pictures, as magnetic tiles are shipped."""
    rng = np.random.default_rng(seed)
    for position, name in enumerate(("bar", "spot")):
        folder = root / name / "Imgs"
        folder.mkdir(parents=True)
        for number in range(count):
            image, mask = picture(rng, bar=name == "bar", spot=name == "spot")
            cv2.imwrite(str(folder / f"{name}-{number:03}.jpg"), image)
            cv2.imwrite(str(folder / f"{name}-{number:03}.png"), mask[position] * 255)
    return root


CHANNELS = (("background", (0, 0, 0)), ("bar", (255, 255, 0)), ("spot", (255, 0, 0)))


def write_channels(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    channels = [{"name": name, "color": list(colour)} for name, colour in CHANNELS]
    (folder / "channels.json").write_text(json.dumps({"channels": channels}))
    return folder


def write_pseudo_label(folder: Path, id: str, bits, confidence, tier: str) -> None:
    """`bits` (H, W) uint8 and `confidence` (H, W), as the pseudo-label command writes them."""
    stem = folder / Path(id).with_suffix("")
    stem.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(f"{stem}_mask.png", bits)
    np.save(f"{stem}_conf.npy", np.asarray(confidence, np.float16))
    Path(f"{stem}_tier.txt").write_text(f"{tier}\n")


def write_pseudo_labelled(root: Path, folder: Path, count: int, seed: int = 0) -> None:
    """Class folders of pictures, and pseudo-labels for all but the last; tiers A, B, C by turns."""
    rng = np.random.default_rng(seed)
    write_channels(folder)
    for name in ("bar", "clean", "spot"):
        (root / name).mkdir(parents=True)
        for number in range(count):
            image, mask = picture(rng, bar=name == "bar", spot=name == "spot")
            id = f"{name}/{name}-{number:03}.png"
            cv2.imwrite(str(root / id), image)
            if number == count - 1:
                continue
            ground = 1 - mask.max(0)
            bits = (ground + 2 * mask[0] + 4 * mask[1]).astype(np.uint8)
            confidence = np.ones(bits.shape)
            confidence[:2] = 0.5
            write_pseudo_label(folder, id, bits, confidence, "ABC"[number % 3])

"""Drawn leaves on litter, with the truth, and small networks with known answers."""

import cv2
import numpy as np
import torch
from torch import nn

from faultline.artifacts.bundle import Bundle, save_bundle
from faultline.artifacts.contents import Normalisation, Threshold
from faultline.pseudolabel.channels import CHANNELS

SIZE = (96, 72)
CLASSES = ("Healthy", "RedRot", "Yellow")
_GREEN, _RED, _YELLOW, _LITTER = (70, 150, 50), (150, 50, 35), (215, 190, 40), (150, 135, 125)


def leaf(rng, kind="Healthy", size=SIZE):
    """Picture (H, W, 3), plant (H, W) and signs (H, W)."""
    height, width = size
    plant, sick = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    middle = int(rng.integers(width // 3, 2 * width // 3))
    half = width // 4
    cv2.rectangle(plant, (middle - half, 0), (middle + half, height), 1, -1)
    image = np.full((*size, 3), _LITTER, np.float64)
    image[plant > 0] = _GREEN
    if kind == "RedRot":
        row = int(rng.integers(height // 3, 2 * height // 3))
        cv2.ellipse(sick, (middle, row), (3, 24), 0, 0, 360, 1, -1)
        image[sick > 0] = _RED
    elif kind == "Yellow":
        cv2.rectangle(sick, (middle - half, 0), (middle - half + 8, height), 1, -1)
        image[sick > 0] = _YELLOW
    image += rng.normal(0, 5, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), plant > 0, sick > 0


def write_leaves(root, counts, seed=0, classes=CLASSES):
    """`<split>/<class>/<class>-000.png`; `counts` is split -> pictures of each class."""
    rng = np.random.default_rng(seed)
    for split, count in counts.items():
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                image, _, _ = leaf(rng, name)
                cv2.imwrite(str(folder / f"{name}-{split}-{number:03}.png"), image[..., ::-1])
    return root


class ColourSegmenter(nn.Module):
    """Five channels by the nearest of four colours: litter, green, red, yellow."""

    def __init__(self, num_classes=5):
        super().__init__()
        colours = torch.tensor([_LITTER, _GREEN, _RED, _YELLOW]) / 255.0
        self.colours = nn.Parameter(colours)
        self.gain = nn.Parameter(torch.tensor(60.0))

    def forward(self, x):
        near = -((x[:, None] - self.colours[None, :, :, None, None]) ** 2).sum(2)
        p = (self.gain * near).softmax(1).clamp(1e-4, 1 - 1e-4)
        litter, green, red, yellow = p.unbind(1)
        nothing = torch.full_like(red, 1e-4)
        return torch.stack(
            [litter, green, nothing, nothing, (red + yellow).clamp_max(0.9999)], 1
        ).logit()


def write_segmenter(path, model="leaf_segmenter", seen=None, space=CHANNELS, **changes):
    """A bundle of `ColourSegmenter`."""
    state = ColourSegmenter().state_dict()
    for name, value in changes.items():
        state[name] = torch.tensor(value)
    bundle = Bundle(
        model, {"num_classes": len(space.names)}, space, state,
        normalisation=Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        threshold=Threshold(0.5), seen=seen or {},
    )  # fmt: skip
    return save_bundle(path, bundle)

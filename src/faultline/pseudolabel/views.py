"""How a label is shown to a person: the picture, and what the label says of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faultline.predict.overlay import draw_overlay
from faultline.pseudolabel.channels import BACKGROUND, CHANNELS, HEALTHY, Bits, plant, to_layers
from faultline.pseudolabel.fusion import CERTAIN

Pixels = NDArray[np.uint8]
_UNSURE = np.array([150, 150, 255])
_GAP = 4


def label_view(picture: Pixels, bits: Bits, confidence: NDArray[np.floating]) -> Pixels:
    """The picture and, beside it, its label: (H, 2 W + gap, 3) RGB.

    What is not plant is darkened, healthy tissue tinted, signs in the colours of their channels,
    and uncertain pixels blue.
    """
    tint = to_layers(bits).astype(np.uint8)
    tint[BACKGROUND] = 0
    dark = np.where(plant(bits)[..., None], picture, picture // 4).astype(np.uint8)
    healthy = np.zeros_like(tint)
    healthy[HEALTHY] = tint[HEALTHY]
    tint[HEALTHY] = 0
    shown = draw_overlay(dark, healthy, CHANNELS, opacity=0.3)
    shown = draw_overlay(shown, tint, CHANNELS, opacity=0.7)
    unsure = np.asarray(confidence, np.float32) < CERTAIN
    shown[unsure] = (0.45 * shown[unsure] + 0.55 * _UNSURE).astype(np.uint8)
    gap = np.full((picture.shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([picture, gap, shown], axis=1)

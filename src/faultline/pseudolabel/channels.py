"""The five channels of a plant mask, and masks as one byte a pixel.

Bit c of the byte says that channel c holds; a pixel may be in several ("not mutually exclusive",
document 2 section 12), which is why a plain index mask would not do, and PNG has no five channels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faultline.errors import MaskError
from faultline.types import LabelKind, LabelSpace

Bits = NDArray[np.uint8]
Layers = NDArray[np.bool_]

BACKGROUND, HEALTHY, STRUCTURAL, SURFACE, DEGRADATION = range(5)
SIGNS = (STRUCTURAL, SURFACE, DEGRADATION)
"""Channels of disease."""

CHANNELS = LabelSpace(
    LabelKind.MULTILABEL,
    ("background", "healthy", "structural_anomaly", "surface_sign", "degradation"),
    ((0, 0, 0), (0, 160, 0), (255, 255, 0), (255, 0, 0), (255, 140, 0)),
)
"""Names and colours in the order of the bits (section 12)."""

PLANT_BITS = 0b11110
SIGN_BITS = 0b11100


def bit(channel: int) -> np.uint8:
    """The value of a byte in which only `channel` holds."""
    return np.uint8(1 << channel)


def plant(bits: Bits) -> Layers:
    """(H, W): where any plant tissue is, channels 1 to 4."""
    return np.asarray(bits & PLANT_BITS) > 0


def signs(bits: Bits) -> Layers:
    """(H, W): where any sign of disease is, channels 2 to 4."""
    return np.asarray(bits & SIGN_BITS) > 0


def holds(bits: Bits, channel: int) -> Layers:
    """(H, W): where `channel` holds."""
    return np.asarray(bits & bit(channel)) > 0


def to_layers(bits: Bits) -> Layers:
    """(H, W) bytes -> (5, H, W) booleans."""
    return np.stack([holds(bits, channel) for channel in range(len(CHANNELS.names))])


def to_bits(layers: NDArray[np.generic]) -> Bits:
    """(5, H, W), nonzero where a channel holds -> (H, W) bytes.

    A pixel that no channel claims is background, and a pixel of plant is not.

    Raises:
        MaskError: There are not five layers.
    """
    if layers.ndim != 3 or len(layers) != len(CHANNELS.names):
        raise MaskError(f"a plant mask has 5 layers (5, H, W), this has shape {layers.shape}")
    held = np.asarray(layers) != 0
    bits = np.zeros(held.shape[1:], np.uint8)
    for channel in range(1, len(held)):
        bits |= held[channel].astype(np.uint8) << channel
    bits[bits == 0] = bit(BACKGROUND)
    return bits


def check_bits(bits: Bits, where: object = None) -> None:
    """Make sure that every pixel is in a channel, and in none that does not exist.

    Raises:
        MaskError: It is not; the values are shown.
    """
    wrong = sorted({int(v) for v in np.unique(bits)} - set(range(1, 32)))
    if wrong:
        raise MaskError(
            f"has values {', '.join(map(str, wrong[:5]))}: no mask of channels",
            where=None if where is None else str(where),
            remedy="give masks as `faultline pseudolabel` writes them: bit c of a pixel is set "
            "where channel c holds",
        )

"""Source 1: GrabCut (Rother et al. 2004), started from what is surely green and surely not.

Seeds are green dominance and saturation, as document 2 section 5.1 has it. What they miss on
purpose is left to GrabCut: a red lesion, a white midrib and a yellow margin are neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faultline.pseudolabel.fusion import Belief

Pixels = NDArray[np.uint8]
Flags = NDArray[np.bool_]

_DRY = 0.75
"""How much of its belief GrabCut loses on dry matter without green around it."""


@dataclass(frozen=True, slots=True)
class GrabCutSettings:
    """How plant and background are told apart.

    Attributes:
        side: Longest side in pixels that GrabCut works at; its time grows with the pixels.
        rounds: Iterations of GrabCut.
        green: Excess green (2G - R - B) / (R + G + B) from which a pixel may be plant.
        saturation: Saturation (0 to 1) from which such a pixel is surely plant.
        dull: Saturation below which a pixel without excess green is surely background.
        dark: Brightest channel (0 to 1) below which colour tells nothing: surely background.
        pale: Brightest channel from which a dull part between green ones may be a midrib.
        smallest: Smallest region, and largest hole that is filled, as a share of the picture.
        soft: Width of the doubtful band along the outline, as a share of the longest side.
    """

    side: int = 320
    rounds: int = 4
    green: float = 0.045
    saturation: float = 0.09
    dull: float = 0.3
    dark: float = 0.15
    pale: float = 0.4
    smallest: float = 0.01
    soft: float = 0.006


def plant_belief(picture: Pixels, settings: GrabCutSettings | None = None) -> Belief:
    """How surely each pixel is plant, (H, W) of 0 to 1; doubtful along the outline.

    Args:
        picture: (H, W, 3) RGB.
        settings: See `GrabCutSettings`.
    """
    settings = settings or GrabCutSettings()
    height, width = picture.shape[:2]
    factor = min(1.0, settings.side / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    found = _cleaned(_cut(np.asarray(small, np.uint8), settings), settings)
    sigma = max(0.5, settings.soft * max(size))
    soft = cv2.GaussianBlur(found.astype(np.float32), (0, 0), sigma)
    large = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(large, 0, 1), np.float32)


def without_dry(cut: Belief, unlike: Belief, green: Belief) -> Belief:
    """What GrabCut believes, (H, W), less sure where a pixel is not green and nothing near it is.

    Litter between leaves is taken for leaf by GrabCut. Sick tissue lies on a plant that has green
    left near it; without any GrabCut does not know (its weakness, as the document says), and an
    activation map may overrule it.

    Args:
        cut: (H, W), from `plant_belief`.
        unlike: (H, W), see `colour.unlikeness`.
        green: (H, W), see `colour.green_nearby`.
    """
    return np.asarray(cut * (1 - _DRY * unlike * (1 - green)), np.float32)


def seeds(picture: Pixels, settings: GrabCutSettings | None = None) -> tuple[Flags, Flags]:
    """(surely plant, surely background), each (H, W), of an RGB picture (H, W, 3)."""
    settings = settings or GrabCutSettings()
    values = picture.astype(np.float32) / 255
    brightest, excess = values.max(2), excess_green(picture)
    saturation = (brightest - values.min(2)) / np.maximum(brightest, 1e-6)
    lit = brightest >= settings.dark
    green = lit & (excess >= settings.green) & (saturation >= settings.saturation)
    dull = ~lit | ((excess < 0.01) & (saturation < settings.dull))
    return _opened(green, 1), _opened(dull, 1)


def excess_green(picture: Pixels) -> Belief:
    """(2G - R - B) / (R + G + B), (H, W), of RGB (H, W, 3); 0 where all three are 0."""
    values = picture.astype(np.float32)
    total = values.sum(2)
    return np.asarray((3 * values[..., 1] - total) / np.maximum(total, 1e-6), np.float32)


def _cut(picture: Pixels, settings: GrabCutSettings) -> Flags:
    green, dull = seeds(picture, settings)
    litter = dull & (excess_green(picture) < -0.01)
    if not green.any():
        return green
    if not dull.any():
        return np.ones_like(green)
    # Between green parts lies leaf that is not green: its midrib, or what is sick.
    around = _closed(green, max(1, round(0.08 * max(green.shape))))
    # A midrib is as dull as litter, so that nothing pale within the leaf is surely background.
    pale = picture.max(2) >= 255 * settings.pale
    labels = np.full(green.shape, cv2.GC_PR_BGD, np.uint8)
    labels[around] = cv2.GC_PR_FGD
    labels[around & litter] = cv2.GC_PR_BGD
    labels[dull & ~(around & pale)] = cv2.GC_BGD
    labels[green] = cv2.GC_FGD
    if not (labels == cv2.GC_BGD).any() and not (labels == cv2.GC_PR_BGD).any():
        return np.ones_like(green)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    # Its mixtures start from k-means, which draws from OpenCV's own random state.
    cv2.setRNGSeed(0)
    cv2.grabCut(  # type: ignore[call-overload]
        cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), labels, None, background, foreground,
        settings.rounds, cv2.GC_INIT_WITH_MASK,
    )  # fmt: skip
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))


def _cleaned(found: Flags, settings: GrabCutSettings) -> Flags:
    """Without specks and holes, its outline smoothed."""
    radius = max(1, round(0.006 * max(found.shape)))
    smooth = _opened(_closed(found, 2 * radius), radius)
    least = settings.smallest * smooth.size
    without_specks = _without_small(smooth, least)
    return ~_without_small(~without_specks, least)


def _without_small(found: Flags, least: float) -> Flags:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= least
    keep[0] = False
    return np.asarray(keep[labels])


def _opened(found: Flags, radius: int) -> Flags:
    return _morphed(found, cv2.MORPH_OPEN, radius)


def _closed(found: Flags, radius: int) -> Flags:
    # Padded with what is at the edge: a leaf that leaves the picture goes on behind it.
    padded = np.pad(found, radius, mode="edge")
    inner = slice(radius, -radius)
    return _morphed(padded, cv2.MORPH_CLOSE, radius)[inner, inner]


def _morphed(found: Flags, kind: int, radius: int) -> Flags:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.morphologyEx(found.astype(np.uint8), kind, disc) > 0)

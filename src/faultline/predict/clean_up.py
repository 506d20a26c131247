"""Clean-up of masks, kept for a class only where it helped on validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faultline.artifacts.bundle import Bundle
from faultline.errors import ConfigError

Pixels = NDArray[np.uint8]

STEPS = ("none", "open", "close", "close_open", "drop_specks", "crf")
"""What may be tried: opening drops thin specks, closing bridges gaps, both with an ellipse of 5x5;
`drop_specks` removes components of less than a thousandth of the picture; `crf` decides anew with
the colours of the neighbourhood (see `crf.py`)."""

_SPECK = 0.001


def cleaned(mask: Pixels, step: str, refine: Callable[[], Pixels] | None = None) -> Pixels:
    """`mask` (H, W) of 0 and 1 after a step of `STEPS`.

    Args:
        mask: What the threshold alone paints.
        step: One of `STEPS`.
        refine: Gives the mask of the conditional random field; asked for `crf` only. Without it
            `crf` leaves the mask as it is.

    Raises:
        ConfigError: There is no such step.
    """
    if step not in STEPS:
        raise ConfigError(f"unknown clean-up {step!r}", remedy=f"known: {', '.join(STEPS)}")
    if step == "none" or not mask.any():
        return mask
    if step == "drop_specks":
        return _without_specks(mask)
    if step == "crf":
        return mask if refine is None else refine()
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    operations = {
        "open": (cv2.MORPH_OPEN,),
        "close": (cv2.MORPH_CLOSE,),
        "close_open": (cv2.MORPH_CLOSE, cv2.MORPH_OPEN),
    }[step]
    for operation in operations:
        mask = np.asarray(cv2.morphologyEx(mask, operation, kernel), dtype=np.uint8)
    return mask


def _without_specks(mask: Pixels) -> Pixels:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= max(2, _SPECK * mask.size)
    large[0] = False
    return np.asarray(large[labels], dtype=np.uint8) if count > 1 else mask


@dataclass(frozen=True)
class CleanUp:
    """Class -> the step that is applied to its masks; classes without one are left alone."""

    steps: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, bundle: Bundle) -> CleanUp:
        """The steps that a bundle keeps."""
        return cls(dict(bundle.extra.get("prompts", {}).get("clean_up", {})))

    def apply(self, mask: Pixels, name: str, refine: Callable[[], Pixels] | None = None) -> Pixels:
        """`mask` (H, W) of class `name`, cleaned up; see `cleaned`."""
        return cleaned(mask, self.steps.get(name, "none"), refine)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dict(self.steps)

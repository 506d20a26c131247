"""Shape of one label: how wide its lines are, whether it is a filled box, whether it leaves the
frame, and how wide the dark line beneath it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from faultline.predict.measure import widths_at

Pixels = NDArray[np.uint8]
Flags = NDArray[np.bool_]

BOX_FILL = 0.97
"""A part that covers this share of its bounding box is a filled box, not an outline."""

BOX_SIDE = 8
"""Parts narrower than this, in pixels, are lines: a straight one fills its bounding box, too."""

_DARKEST = 5.0  # percent


@dataclass(frozen=True, slots=True)
class LabelShape:
    """Measures of the positive pixels of one label.

    Attributes:
        width: Mean width in pixels, twice the distance to the edge over the skeleton; `None`
            without positives.
        core_width: Estimated width in pixels of the dark line under the label; `None` where
            there is no clear one.
        parts: Connected parts whose bounding box is at least `BOX_SIDE` on both sides.
        boxes: Those of them that fill their bounding box.
        touches_frame: Whether a positive pixel lies on the outermost rows or columns.
    """

    width: float | None
    core_width: float | None
    parts: int
    boxes: int
    touches_frame: bool


def measure_label(image: Pixels, positive: Flags) -> LabelShape:
    """Measures of `positive` (H, W) drawn on `image` (H, W, 3)."""
    if not positive.any():
        return LabelShape(None, None, 0, 0, False)
    skeleton: Flags = skeletonize(positive)  # type: ignore[no-untyped-call]
    widths = widths_at(positive.astype(np.uint8), skeleton)
    parts, boxes = _boxes(positive)
    frame = positive[0].any() or positive[-1].any() or positive[:, 0].any() or positive[:, -1].any()
    return LabelShape(
        width=float(widths.mean()) if widths.size else 1.0,
        core_width=dark_core_width(image, positive, int(skeleton.sum())),
        parts=parts,
        boxes=boxes,
        touches_frame=bool(frame),
    )


def dark_core_width(image: Pixels, positive: Flags, length: int) -> float | None:
    """Width in pixels of the dark line that a label covers, or `None` where none stands out.

    Background brightness is read from a ring around the label, that of the line from the darkest
    twentieth of the label (a tenth would miss a line 1 px wide under a label of 10); pixels of
    the label below the middle of both count as line (full width at half contrast). The line must
    be twice as far from the ring's median as the ring's own darkest twentieth is: otherwise the
    texture alone would be taken for a line.

    Args:
        image: (H, W, 3) RGB.
        positive: (H, W) label.
        length: Pixels of the label's skeleton.
    """
    grey: NDArray[Any] = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mask = positive.astype(np.uint8)
    near = cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0
    far = cv2.dilate(mask, np.ones((17, 17), np.uint8)) > 0
    ring = grey[far & ~near]
    inside = grey[positive]
    if ring.size < 50 or inside.size < 50 or length < 10:
        return None
    background = float(np.median(ring))
    texture = background - float(np.percentile(ring, _DARKEST))
    line = float(np.percentile(inside, _DARKEST))
    if background - line < 2 * max(texture, 4.0):
        return None
    return float(np.sum(inside < (background + line) / 2)) / length


def _boxes(positive: Flags) -> tuple[int, int]:
    count, _, statistics, _ = cv2.connectedComponentsWithStats(positive.astype(np.uint8))
    sides = statistics[1:count, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    areas = statistics[1:count, cv2.CC_STAT_AREA]
    wide = np.asarray(sides).min(axis=1) >= BOX_SIDE if count > 1 else np.zeros(0, dtype=bool)
    filled = areas / np.maximum(np.prod(sides, axis=1), 1) >= BOX_FILL
    return int(wide.sum()), int((wide & filled).sum())

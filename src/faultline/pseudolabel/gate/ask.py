"""The gate as one thing that is asked about a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faultline.artifacts.bundle import load_bundle
from faultline.pseudolabel.gate.decision import MIN_LESION, Decision, Thresholds, decide
from faultline.pseudolabel.gate.segmenter import Pixels, Segmenters


class Gate:
    """Segmenters and the least share of plant that they have to find.

    Args:
        weights: One to three segmenters.
        thresholds: By class, of a calibration.
        class_name: Class of the pictures, where it is known.
        lesion: Probability from which a sign of disease counts.
        device: See `Predictor`.

    Raises:
        ConfigError: There are too many segmenters, or none.
        BundleError: A bundle segments into other channels.
    """

    def __init__(
        self,
        weights: Sequence[Path],
        thresholds: Thresholds,
        class_name: str | None = None,
        lesion: float = MIN_LESION,
        device: str = "auto",
    ) -> None:
        self.threshold = thresholds.of(class_name)
        self.segmenters = Segmenters([load_bundle(path) for path in weights], device, lesion)

    def ask(self, picture: Pixels) -> Decision:
        """Whether a picture (H, W, 3) shows a plant."""
        return decide(self.segmenters.mask(picture), self.threshold)

    def describe(self) -> dict[str, Any]:
        """What decides, as plain JSON values."""
        return {"segmenters": self.segmenters.makers, "least_plant": self.threshold,
                "least_lesion_confidence": self.segmenters.lesion}  # fmt: skip

"""Source 2: where trained classifiers look, as the mean Grad-CAM of one run or several.

Document 2, section 5.1, method 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from faultline.artifacts.bundle import Bundle
from faultline.errors import BundleError, ConfigError
from faultline.evaluation.classification.gradcam import GradCam
from faultline.predict.class_predictor import ClassPredictor
from faultline.pseudolabel.class_table import comparable
from faultline.pseudolabel.fusion import Belief
from faultline.tasks import CLASSIFICATION

Pixels = NDArray[np.uint8]
THRESHOLD = 0.4
"""Share of the highest activation from which a region counts as looked at."""
_RADIUS = 0.015


class Activations:
    """Mean Grad-CAM of the picture's own class over classifiers.

    Args:
        bundles: Classifiers of the data set's classes.
        names: Names of the classes that pictures may be of.
        device: See `ClassPredictor`.

    Raises:
        MissingExtraError: captum is not installed.
        BundleError: A bundle classifies nothing.
        ConfigError: A bundle lacks one of the classes.
    """

    def __init__(
        self, bundles: Sequence[Bundle], names: Sequence[str], device: str = "auto"
    ) -> None:
        self.bundles = list(bundles)
        self._positions = [_positions(bundle, names) for bundle in bundles]
        self._maps = [GradCam(ClassPredictor(bundle, device)) for bundle in bundles]

    def heat(self, picture: Pixels, name: str) -> Belief:
        """Activation of class `name`, (H, W) of 0 to 1, the mean over the classifiers."""
        total = np.zeros(picture.shape[:2], np.float32)
        for maps, positions in zip(self._maps, self._positions, strict=True):
            total += maps.heat_on(picture, positions[name])
        return np.clip(total / len(self._maps), 0, 1)


def plant_belief(heat: Belief) -> Belief:
    """What an activation says of plant or background, (H, W) of 0.5 to 1.

    It speaks for plant where it is high, and never against: a classifier needs to see one sign, not
    the whole plant, so that where it does not look (0.5) it says nothing. The document's threshold
    and morphology decide what is high.
    """
    highest = float(heat.max(initial=0.0))
    if highest <= 0:
        return np.full(heat.shape, 0.5, np.float32)
    looked_at = (heat >= THRESHOLD * highest).astype(np.uint8)
    radius = max(1, round(_RADIUS * max(heat.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    kept = cv2.morphologyEx(looked_at, cv2.MORPH_OPEN, disc) > 0
    return np.where(kept, 0.5 + 0.5 * np.clip(heat / highest, 0, 1), 0.5).astype(np.float32)


def _positions(bundle: Bundle, names: Sequence[str]) -> dict[str, int]:
    if bundle.task != CLASSIFICATION:
        raise BundleError(
            f"does {bundle.task}, and activation maps are those of a classifier",
            where=bundle.source,
            remedy="give a run of `faultline train task=classification`",
        )
    known = {comparable(name): index for index, name in enumerate(bundle.label_space.names)}
    absent = [name for name in names if comparable(name) not in known]
    if absent:
        raise ConfigError(
            f"the classifier {bundle.source} does not know {', '.join(absent)}; "
            f"it knows {', '.join(bundle.label_space.names)}",
            remedy="give a classifier that was trained on this data set's classes",
        )
    return {name: known[comparable(name)] for name in names}

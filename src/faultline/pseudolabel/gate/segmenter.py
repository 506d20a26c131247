"""Masks of trained segmenters: one, or the vote of up to three (document 2, section 14)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faultline.artifacts.bundle import Bundle
from faultline.errors import BundleError, ConfigError
from faultline.predict.dual_head import segmenter_of
from faultline.predict.predictor import Predictor
from faultline.pseudolabel.channels import BACKGROUND, CHANNELS, SIGNS, Bits, to_bits

MAX_SEGMENTERS = 3
Pixels = NDArray[np.uint8]


def check_channels(bundle: Bundle) -> None:
    """Make sure that a bundle segments into the five channels.

    Raises:
        BundleError: It has other classes, or other relations between them.
    """
    space = bundle.label_space
    if (space.kind, space.names) != (CHANNELS.kind, CHANNELS.names):
        raise BundleError(
            f"does {bundle.task} into {space.kind.value} classes {', '.join(space.names)}, not "
            f"into the {CHANNELS.kind.value} channels {', '.join(CHANNELS.names)}",
            where=bundle.source,
            remedy="give a segmenter that was trained on labels of `faultline pseudolabel make`",
        )


class Segmenters:
    """Up to three segmenters that vote on every pixel of every channel.

    Args:
        bundles: One to three, each of the five channels; of two heads, the masks vote.
        device: See `Predictor`.
        lesion: Probability from which a sign of disease counts; None takes the bundles' threshold.

    Raises:
        ConfigError: There are none, or more than three.
        BundleError: One has other channels.
    """

    def __init__(
        self, bundles: Sequence[Bundle], device: str = "auto", lesion: float | None = None
    ) -> None:
        if not 1 <= len(bundles) <= MAX_SEGMENTERS:
            raise ConfigError(
                f"{len(bundles)} segmenters were given", remedy=f"give one to {MAX_SEGMENTERS}"
            )
        for bundle in bundles:
            check_channels(bundle)
        self.bundles = tuple(bundles)
        self.predictors = [Predictor(segmenter_of(bundle), device) for bundle in bundles]
        self.lesion = lesion

    @property
    def makers(self) -> list[str]:
        """Fingerprints of the bundles."""
        return [bundle.fingerprint for bundle in self.bundles]

    def mask(self, picture: Pixels) -> Bits:
        """Bits (H, W) of a picture (H, W, 3): a channel holds where more than half say so."""
        votes = np.zeros((len(CHANNELS.names), *picture.shape[:2]), np.uint8)
        for predictor in self.predictors:
            probability = predictor.predict(picture).probability
            votes += self._layers(probability, predictor.threshold.value)
        layers = votes * 2 > len(self.predictors)
        layers[BACKGROUND] = False
        return to_bits(layers)

    def _layers(self, probability: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
        cuts = np.full((len(CHANNELS.names), 1, 1), threshold, np.float32)
        if self.lesion is not None:
            cuts[list(SIGNS)] = self.lesion
        return np.asarray(probability >= cuts)

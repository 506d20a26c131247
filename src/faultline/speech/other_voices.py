"""Other throats and other microphones, from the recordings that there are.

A few speakers, each at one microphone, teach a network those voices. Here each training clip gets
another length of the vocal tract and another microphone, drawn anew every time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultline.speech.config import AugmentConfig
from faultline.speech.frontend import Features, FrontEnd

_WAVES = 3  # of the curve of a microphone: slopes and humps, nothing that looks like a formant


def another_voice(
    features: Features, frontend: FrontEnd, config: AugmentConfig, rng: np.random.Generator
) -> Features:
    """(T, M) log-mel as another throat and another microphone might have given it.

    Args:
        features: (T, M) log-mel energies.
        frontend: What made them.
        config: How unlike the other voice may be: `warp` and `microphone_db`.
        rng: Draws both.
    """
    if config.warp:
        factor = float(np.exp(rng.uniform(-1, 1) * math.log1p(config.warp)))
        features = warp_frequencies(features, factor, frontend.centres())
    if config.microphone_db:
        features = features + microphone(features.shape[1], config.microphone_db, rng)
    return features


def warp_frequencies(features: Features, factor: float, centres: NDArray[np.float64]) -> Features:
    """Vocal tract length perturbation (Jaitly & Hinton 2013): f comes to lie at f * factor.

    Args:
        features: (T, M).
        factor: Above 1 for a shorter tract, as of a child.
        centres: (M,) hertz of the channels, rising.
    """
    return features @ warp_matrix(factor, centres)


def warp_matrix(factor: float, centres: NDArray[np.float64]) -> NDArray[np.float32]:
    """What `warp_frequencies` multiplies by, (M, M).

    Between channels the log energy is interpolated; beyond the first and last it stays as there.
    """
    channels = np.arange(len(centres))
    place = np.interp(centres / factor, centres, channels)
    below = np.minimum(place.astype(np.int64), len(centres) - 2)
    matrix = np.zeros((len(centres), len(centres)), np.float32)
    matrix[below, channels] = 1 - (place - below)
    matrix[below + 1, channels] = place - below
    return matrix


def throats(factors: Sequence[float], sample_rate: int, mels: int) -> Tensor:
    """`warp_matrix` of each factor, (F, M, M); none at a rate of 0, without hertz."""
    if not sample_rate:
        return torch.zeros(0, mels, mels)
    centres = FrontEnd(sample_rate, mels).centres()
    matrices = [warp_matrix(factor, centres).tolist() for factor in factors]
    return torch.tensor(matrices).reshape(-1, mels, mels)


def microphone(mels: int, decibels: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """(M,) gain in log energy: a smooth random curve of standard deviation `decibels`.

    Its mean over the channels is 0: loudness is another matter.
    """
    place = np.linspace(0, math.pi, mels)
    waves = np.stack([np.cos(number * place) for number in range(1, _WAVES + 1)])
    heights = rng.standard_normal(_WAVES) * decibels * math.log(10) / 10 * math.sqrt(2 / _WAVES)
    curve = heights @ waves
    return np.asarray(curve - curve.mean(), np.float32)

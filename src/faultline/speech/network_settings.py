"""What a recogniser is built with: the user's settings, and those that follow from the data."""

from __future__ import annotations

from typing import Any

import torch

from faultline.errors import ConfigError
from faultline.speech.config import SpeechConfig
from faultline.speech.paraformer import RECOGNISERS, create_recogniser

FOLLOWING = {
    "vocabulary": "leave it out: it is counted in the training texts",
    "mels": "set frontend.mels",
    "stack": "set frontend.stack",
    "skip": "set frontend.skip",
    "sample_rate": "set frontend.sample_rate",
}
"""Settings of networks that are not the user's, and what to do instead."""
_ANY_VOCABULARY = 32
_ANY_DENSITY = 0.25
_ANY_MELS = 80


def network_settings(
    config: SpeechConfig,
    *,
    vocabulary: int,
    mels: int,
    tokens_per_frame: float,
    sample_rate: int = 0,
) -> dict[str, Any]:
    """Everything that the network is rebuilt with.

    Args:
        config: Gives the network's name, its own settings, and how windows become frames.
        vocabulary: V.
        mels: M.
        tokens_per_frame: Mean of the training set.
        sample_rate: Hertz; 0 where features are not of sound.

    Raises:
        UnknownNameError: There is no such network.
    """
    known = RECOGNISERS.get(str(config.model["name"])).settings()
    of_data = {
        "vocabulary": vocabulary,
        "mels": mels,
        "stack": config.frontend.stack,
        "skip": config.frontend.skip,
        "tokens_per_frame": tokens_per_frame,
        "sample_rate": sample_rate,
    }
    own = {key: value for key, value in config.model.items() if key != "name"}
    return {**{key: value for key, value in of_data.items() if key in known}, **own}


def check_network(config: SpeechConfig) -> None:
    """Make sure that the network exists and takes its settings; it is built without memory.

    Raises:
        UnknownNameError: There is no such network; the message names the nearest one.
        ConfigError: It has no such setting, refuses a value, or the setting follows from the data.
    """
    name = str(config.model["name"])
    own = [key for key in config.model if key != "name"]
    RECOGNISERS.check(name, own)
    wrong = [f"model.{key} cannot be set: {FOLLOWING[key]}" for key in own if key in FOLLOWING]
    if wrong:
        raise ConfigError("; ".join(wrong))
    settings = network_settings(
        config,
        vocabulary=_ANY_VOCABULARY,
        mels=config.frontend.mels or _ANY_MELS,
        tokens_per_frame=_ANY_DENSITY,
    )
    try:
        with torch.device("meta"):
            create_recogniser(name, **settings)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"model.{key}={config.model[key]!r}" for key in own)
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"{name} cannot be built with {given or 'its settings'}: {reason}",
            remedy="see docs/contracts.md for the settings of recognisers",
        ) from error
    except RuntimeError:
        # A plugin's network may look at numbers, which tensors without memory do not have; what
        # it refuses is found out when it trains.
        return

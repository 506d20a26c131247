"""A recogniser in a bundle: network, vocabulary, front end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from faultline.artifacts.bundle import Bundle, load_bundle
from faultline.errors import BundleError, ConfigError
from faultline.speech.frontend import FrontEnd
from faultline.speech.paraformer import RecogniserNetwork, create_recogniser
from faultline.speech.tokenizer import CharacterTokenizer
from faultline.types import LabelKind, LabelSpace

SPEECH_TASK = "speech"


def label_space_of(tokenizer: CharacterTokenizer) -> LabelSpace:
    """Tokens exclude each other, and token 0, the blank, is the background."""
    return LabelSpace(LabelKind.MULTICLASS, tokenizer.tokens)


def load_speech_bundle(path: str | Path) -> Bundle:
    """Read the bundle of a recogniser from a file or a run folder.

    Raises:
        BundleError: There is none, or it is for another task.
    """
    bundle = load_bundle(path)
    if bundle.task != SPEECH_TASK:
        raise BundleError(
            f"holds {bundle.model_name!r} for {bundle.task}, not a recogniser",
            where=bundle.source,
            remedy="give weights that `faultline speech train` wrote",
        )
    return bundle


def build_recogniser(bundle: Bundle) -> RecogniserNetwork:
    """The network with its weights, in eval mode, on the CPU.

    Raises:
        BundleError: The network is unknown here, or its tensors do not fit.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            network = create_recogniser(bundle.model_name, **bundle.model_settings)
        network.load_state_dict(bundle.state)
    except (ConfigError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(
            f"its network cannot be built: {reason}",
            where=bundle.source,
            remedy="use the Faultline version it was trained with",
        ) from error
    return network.eval()


def parts_of(bundle: Bundle) -> tuple[CharacterTokenizer, FrontEnd, int, float]:
    """Vocabulary, front end, windows per frame step, and seconds of the longest training clip.

    Raises:
        BundleError: One of them is missing or damaged.
    """
    extra: dict[str, Any] = bundle.extra
    try:
        tokens: Sequence[str] = extra["tokens"]
        skip, longest = int(extra["skip"]), float(extra["longest"])
        frontend = FrontEnd.from_dict(extra["frontend"])
    except (LookupError, TypeError, ValueError) as error:
        raise BundleError(f"is incomplete: {error}", where=bundle.source) from error
    return CharacterTokenizer(tuple(tokens)), frontend, skip, longest

"""A picture of how a recogniser hears: spectrum, weights that fire, and the characters' spans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from faultline.artifacts.figures import new_figure, save_figure
from faultline.errors import ConfigError
from faultline.speech.audio.reading import read_audio
from faultline.speech.paraformer import Paraformer
from faultline.speech.recogniser import Recogniser
from faultline.speech.transcript import Transcript

_RED, _BLUE = "#c1121f", "#1d78d8"


def plot_firing(recogniser: Recogniser, recording: str | Path, stem: Path) -> Path:
    """Draw log-mel frames, alpha with its running sum, and the span of each character.

    Args:
        recogniser: A Paraformer.
        recording: A sound file, short enough to be recognised whole.
        stem: Path of the picture without suffix.

    Returns:
        The PNG file.

    Raises:
        ConfigError: The network has no weights that fire.
        DataError: The recording cannot be read, or is too long for one picture.
    """
    network = recogniser.network
    if not isinstance(network, Paraformer):
        raise ConfigError(f"{recogniser.bundle.model_name} has no CIF to draw")
    rate = recogniser.frontend.sample_rate
    wave = read_audio(recording, rate, max_seconds=recogniser.longest)
    features = recogniser.frontend.features(wave)
    with torch.inference_mode():
        given = torch.from_numpy(features)[None].to(recogniser.device)
        alpha = network.weights(given, torch.tensor([len(features)], device=recogniser.device))[0]
    transcript = recogniser.transcribe_waves([wave])[0]
    figure = new_figure(9.0, 5.5)
    spectrum, weights = figure.subplots(2, 1, sharex=True)
    _draw_spectrum(spectrum, recogniser, features)
    _draw_weights(weights, recogniser, alpha.cpu().numpy())
    _draw_spans(weights, transcript)
    spectrum.set_title(f"{Path(recording).name}: {transcript.text!r}")
    return save_figure(figure, stem)


def _draw_spectrum(axes: Any, recogniser: Recogniser, features: np.ndarray) -> None:
    seconds = len(features) * recogniser.frontend.hop_ms / 1000
    axes.imshow(features.T, origin="lower", aspect="auto", cmap="magma",
                extent=(0, seconds, 0, features.shape[1]))  # fmt: skip
    axes.set_ylabel("mel channel")
    axes.set_xlim(0, seconds)


def _draw_weights(axes: Any, recogniser: Recogniser, alpha: np.ndarray) -> None:
    times = (np.arange(len(alpha)) + 0.5) * recogniser.frame_seconds
    total = alpha.cumsum()
    axes.bar(times, alpha, recogniser.frame_seconds * 0.9, color=_BLUE, label="alpha")
    axes.plot(times, total % 1.0, color="0.5", linewidth=1, label="running sum, modulo 1")
    for level in range(1, int(total[-1]) + 1):
        axes.axvline(times[int((total >= level).argmax())], color=_RED, linewidth=1,
                     label="fires" if level == 1 else None)  # fmt: skip
    axes.set_ylim(0, 1.3)
    axes.set_xlabel("seconds")
    axes.set_ylabel("weight")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, fontsize="small")


def _draw_spans(axes: Any, transcript: Transcript) -> None:
    for number, token in enumerate(transcript.tokens):
        if token.start is None or token.end is None:
            continue
        # Neighbours share a frame, so that on one line all spans would look like one.
        level, gap = 1.04 + 0.06 * (number % 2), 0.06 * (token.end - token.start)
        axes.plot([token.start + gap, token.end - gap], [level, level], color=_RED, linewidth=2)
        axes.text((token.start + token.end) / 2, 1.17, token.text, ha="center")

"""What a recogniser costs: parameters and time of each part, by batch size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from faultline.artifacts.device import device_name
from faultline.errors import ConfigError
from faultline.models import count_parameters
from faultline.profiling.tables import table
from faultline.profiling.timing import median
from faultline.progress import Progress
from faultline.speech.config import SpeechConfig
from faultline.speech.losses import speech_losses
from faultline.speech.paraformer import RECOGNISERS, RecogniserNetwork, create_recogniser

SCHEMA = 1
CLIP_SECONDS = 3.0
_TOKENS = 30
_VOCABULARY = 32
_MELS = 80
_FIRST_LETTER = 4
_MEASURE_SECONDS = 1.0


def profile_recogniser(
    config: SpeechConfig,
    batches: Sequence[int],
    device: torch.device,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Measure the network that `config` describes on clips of 3 s with 30 characters, in fp32.

    Weights are drawn, so an autoregressive decoder, which stops when it has written an end, has
    no time of its own here: `training_ms` and `encoder_ms` are comparable, `answer_ms` is not.

    Returns:
        Plain values: `parameters` of the whole, `parts` (name to parameters), `flops` (of the
        encoder, one clip), and `rows`, one a batch size: `encoder_ms`, `answer_ms` (everything
        from features to tokens), `real_time_factor` and `training_ms` (forward and backward).

    Raises:
        FaultlineError: There is no such network, or it does not take these settings.
        ConfigError: A batch size is below 1.
    """
    if not batches or min(batches) < 1:
        raise ConfigError(f"batch sizes {tuple(batches)} must be 1 or more")
    network = _network(config).to(device)
    mels = config.frontend.mels or _MELS
    rows = []
    for done, batch in enumerate(batches):
        progress(done, len(batches))
        rows.append(_measured(network, config, batch, mels, device))
    progress(len(batches), len(batches))
    return {
        "schema": SCHEMA,
        "name": str(config.model["name"]),
        "kind": "speech",
        "clip_seconds": CLIP_SECONDS,
        "device": {"type": device.type, "name": device_name(device),
                   "threads": torch.get_num_threads()},
        "parameters": count_parameters(network),
        "parts": {name: count_parameters(part) for name, part in network.named_children()},
        "flops": _encoder_flops(network, config, mels, device),
        "rows": rows,
    }  # fmt: skip


def recogniser_lines(found: dict[str, Any]) -> list[str]:
    """The lines of one profile."""
    device = found["device"]
    parts = sorted(found["parts"].items(), key=lambda part: -part[1])
    head = ("batch", "encoder ms", "answer ms", "real-time factor", "training ms")
    rows = [
        (str(row["batch"]), f"{row['encoder_ms']:.1f}", f"{row['answer_ms']:.1f}",
         f"{row['real_time_factor']:.4f}", f"{row['training_ms']:.1f}")
        for row in found["rows"]
    ]  # fmt: skip
    return [
        f"{found['name']} on clips of {found['clip_seconds']:g} s on {device['name']} "
        f"({device['threads']} threads, fp32)",
        f"parameters {found['parameters']:,}   encoder {found['flops'] / 1e9:.2f} GFLOP a clip",
        "of these " + ", ".join(f"{name} {count:,}" for name, count in parts),
        "",
        *table(head, rows),
    ]


def _network(config: SpeechConfig) -> RecogniserNetwork:
    name = str(config.model["name"])
    known = RECOGNISERS.get(name).settings()
    of_data = {
        "vocabulary": _VOCABULARY, "mels": config.frontend.mels or _MELS,
        "stack": config.frontend.stack, "skip": config.frontend.skip,
        "tokens_per_frame": _TOKENS / (_windows(config) / config.frontend.skip),
    }  # fmt: skip
    own = {key: value for key, value in config.model.items() if key != "name"}
    return create_recogniser(name, **{k: v for k, v in of_data.items() if k in known}, **own)


def _windows(config: SpeechConfig) -> int:
    return int(1000 * CLIP_SECONDS / config.frontend.hop_ms)


def _clips(config: SpeechConfig, batch: int, mels: int, device: torch.device
           ) -> tuple[Tensor, Tensor]:  # fmt: skip
    windows = _windows(config)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(batch, windows, mels, generator=generator).to(device)
    return features, torch.full((batch,), windows, device=device)


def _measured(
    network: RecogniserNetwork, config: SpeechConfig, batch: int, mels: int, device: torch.device
) -> dict[str, float]:
    features, lengths = _clips(config, batch, mels, device)
    tokens = torch.full((batch, _TOKENS), _FIRST_LETTER, device=device)
    tokens[:, ::2] += 1  # equal neighbours would need more frames
    token_lengths = torch.full((batch,), _TOKENS, device=device)

    def train() -> None:
        outputs = network.outputs(features, lengths, tokens, token_lengths)
        loss = speech_losses(outputs, tokens, token_lengths, config.loss)["loss"]
        loss.backward()  # type: ignore[no-untyped-call]

    network.eval()
    with torch.inference_mode():
        encoder = median(lambda: network.encoder(features, lengths), device, _MEASURE_SECONDS)
        answer = median(lambda: network(features, lengths), device, _MEASURE_SECONDS)
    network.train()
    training = median(train, device, _MEASURE_SECONDS)
    network.zero_grad(set_to_none=True)
    return {
        "batch": batch,
        "encoder_ms": 1e3 * encoder,
        "answer_ms": 1e3 * answer,
        "real_time_factor": answer / (batch * CLIP_SECONDS),
        "training_ms": 1e3 * training,
    }


def _encoder_flops(
    network: RecogniserNetwork, config: SpeechConfig, mels: int, device: torch.device
) -> int:
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.eval().encoder(*_clips(config, 1, mels, device))
    return int(counter.get_total_flops())

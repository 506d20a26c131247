"""What a recogniser costs: all that a network for pictures is asked, and the time of an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from faultline.artifacts.precision import Resolved
from faultline.errors import ConfigError
from faultline.models import count_parameters
from faultline.profiling.flops import flops_of_call
from faultline.profiling.profile import ProfileSettings, profile_subject
from faultline.profiling.subject import Profiled, TrainingStep
from faultline.profiling.tables import profile_lines, table
from faultline.profiling.timing import median
from faultline.progress import Progress
from faultline.speech.config import SpeechConfig, SpeechLossConfig
from faultline.speech.losses import speech_losses
from faultline.speech.network_settings import check_network, network_settings
from faultline.speech.paraformer import RecogniserNetwork, create_recogniser

CLIP_SECONDS = 3.0
TOKENS = 30
_VOCABULARY = 32
_MELS = 80
_FIRST_LETTER = 4
_MEASURE_SECONDS = 1.0


@dataclass(frozen=True)
class RecogniserSubject(Profiled):
    """A recogniser, which takes clips (T, M) with a text of `TOKENS` characters.

    With the text given, a forward pass is that of a training step (`outputs`): its cost does not
    depend on weights, as that of an answer does. In it the decoder of a Paraformer runs twice.

    Attributes:
        name: In the registry.
        settings: Of the network, those that were given.
        complete: All that it is built with.
        weights: Of the parts of the loss.
    """

    name: str
    settings: dict[str, Any]
    complete: dict[str, Any]
    weights: SpeechLossConfig = field(default_factory=SpeechLossConfig)
    kind: str = "speech"
    unit: ClassVar[str] = "clip"

    def build(self) -> RecogniserNetwork:
        """The network with drawn weights."""
        return create_recogniser(self.name, **self.complete)

    def inputs(
        self, batch: int, size: Sequence[int], device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features (B, T, M), lengths (B,), tokens (B, L), lengths (B,)."""
        features = torch.randn(batch, *size, device=device)
        tokens = torch.full((batch, TOKENS), _FIRST_LETTER, device=device)
        tokens[:, ::2] += 1  # equal neighbours would need more frames
        lengths = torch.full((batch,), size[0], device=device)
        return features, lengths, tokens, torch.full((batch,), TOKENS, device=device)

    def method(self, network: nn.Module) -> Callable[..., Any]:
        """The pass that losses need."""
        assert isinstance(network, RecogniserNetwork)
        return network.outputs

    def loss(self, network: nn.Module, *inputs: Tensor) -> Tensor:
        """The weighted sum of its parts."""
        _, _, tokens, token_lengths = inputs
        outputs = self.method(network)(*inputs)
        return speech_losses(outputs, tokens, token_lengths, self.weights)["loss"]

    def described(self, size: Sequence[int]) -> str:
        """The length of the clips."""
        return f"on clips of {CLIP_SECONDS:g} s with {TOKENS} characters"


def windows_of(hop_ms: float) -> int:
    """Windows T of a clip."""
    return int(1000 * CLIP_SECONDS / hop_ms)


def clip_flops(name: str, settings: dict[str, Any], hop_ms: float) -> int:
    """Operations of a forward pass of one clip; see `RecogniserSubject`.

    Raises:
        FaultlineError: There is no such recogniser, or it does not take the settings.
    """
    subject = RecogniserSubject(name, settings, settings)
    network = subject.build()
    size = (windows_of(hop_ms), int(settings.get("mels", _MELS)))
    given = subject.inputs(1, size, torch.device("cpu"))
    return flops_of_call(network, network.outputs, *given)[""]


def profile_recogniser(
    config: SpeechConfig,
    batches: Sequence[int],
    device: torch.device,
    precision: str = "fp32",
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Measure the network that `config` describes on clips of 3 s with 30 characters.

    Weights are drawn, so an autoregressive decoder, which stops when it has written an end, has
    no time of its own here: `training_ms` and `encoder_ms` are comparable, `answer_ms` is not.

    Args:
        config: Gives network, front end and weights of the loss.
        batches: Batch sizes.
        device: Where.
        precision: See `ProfileSettings`.
        progress: Called with (measurements done, all).

    Returns:
        What `profile_subject` returns, by clip, and `clip_seconds`, `parts` (name to parameters),
        `encoder_flops` (one clip), and `rows`, one per batch size that fits: `encoder_ms`,
        `answer_ms` (everything from features to tokens), `real_time_factor`, and `training_ms`
        (forward, backward and AdamW).

    Raises:
        FaultlineError: There is no such network, or it does not take these settings.
        ConfigError: A batch size is below 1.
    """
    if not batches or min(batches) < 1:
        raise ConfigError(f"batch sizes {tuple(batches)} must be 1 or more")
    check_network(config)
    subject, size = _subject(config)
    settings = ProfileSettings(size, tuple(batches), precision, _MEASURE_SECONDS)
    before, more = 0, len(set(batches))

    def count(done: int, total: int) -> None:
        nonlocal before
        before = total
        progress(done, before + more)

    found = profile_subject(subject, device, settings, count)
    form = Resolved(found["precision"]["precision"], "")
    rows = []
    for number, row in enumerate(found["memory"], 1):
        if row["bytes"] is not None:
            rows.append(_timed(subject, row["batch"], size, device, form))
        progress(before + number, before + more)
    network = subject.build()
    given = subject.inputs(1, size, torch.device("cpu"))
    return {
        **found,
        "clip_seconds": CLIP_SECONDS,
        "parts": {name: count_parameters(part) for name, part in network.named_children()},
        "encoder_flops": flops_of_call(network, network.encoder, *given[:2])[""],
        "rows": rows,
    }


def recogniser_lines(found: dict[str, Any]) -> list[str]:
    """The lines of one profile."""
    parts = sorted(found["parts"].items(), key=lambda part: -part[1])
    head = ("batch", "encoder ms", "answer ms", "real-time factor", "training ms")
    rows = [
        (str(row["batch"]), f"{row['encoder_ms']:.1f}", f"{row['answer_ms']:.1f}",
         f"{row['real_time_factor']:.4f}", f"{row['training_ms']:.1f}")
        for row in found["rows"]
    ]  # fmt: skip
    return [
        *profile_lines(found),
        "",
        f"parameters by part {', '.join(f'{name} {count:,}' for name, count in parts)}",
        f"encoder alone {found['encoder_flops'] / 1e9:.2f} GFLOP a clip",
        *table(head, rows),
    ]


def _subject(config: SpeechConfig) -> tuple[RecogniserSubject, tuple[int, int]]:
    """What is profiled, and (T, M) of its clips."""
    windows, mels = windows_of(config.frontend.hop_ms), config.frontend.mels or _MELS
    complete = network_settings(
        config,
        vocabulary=_VOCABULARY,
        mels=mels,
        tokens_per_frame=TOKENS / (windows / config.frontend.skip),
    )
    own = {key: value for key, value in config.model.items() if key != "name"}
    subject = RecogniserSubject(str(config.model["name"]), own, complete, config.loss)
    return subject, (windows, mels)


def _timed(
    subject: RecogniserSubject, batch: int, size: tuple[int, int], device: torch.device,
    form: Resolved,
) -> dict[str, float]:  # fmt: skip
    step = TrainingStep(subject, batch, size, device, form)
    features, lengths = step.inputs[:2]
    network: Any = step.network.eval()
    # Before it learns anything: how long an answer takes follows from the weights.
    with torch.inference_mode(), form.autocast(device):
        encoder = median(lambda: network.encoder(features, lengths), device, _MEASURE_SECONDS)
        answer = median(lambda: network(features, lengths), device, _MEASURE_SECONDS)
    network.train()
    training = median(step, device, _MEASURE_SECONDS)
    return {
        "batch": batch,
        "encoder_ms": 1e3 * encoder,
        "answer_ms": 1e3 * answer,
        "real_time_factor": answer / (batch * CLIP_SECONDS),
        "training_ms": 1e3 * training,
    }

"""What every recogniser is made of and gives: encoder, CTC head, and answers as tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from faultline.contracts import check_tensor
from faultline.models.blocks import require
from faultline.registry import Registry
from faultline.speech.paraformer.encoder import Encoder
from faultline.speech.tokenizer import BLANK_ID, START_ID

RECOGNISERS: Registry[nn.Module] = Registry("recogniser", "faultline.recognisers")


class Recognised(NamedTuple):
    """Answers to a batch.

    Attributes:
        tokens: (B, L) int64 token numbers; 0 behind each one's end.
        lengths: (B,) int64, how many there are; an end-of-sentence token counts.
        starts: (B, L) int64, first frame of each; -1 where the network does not tell.
        ends: (B, L) int64, frame behind the last of each; -1 likewise.
        confidence: (B, L) float32, probability of each token.
        counts: (B,) float32, number of tokens that was estimated (sum of alpha).
    """

    tokens: Tensor
    lengths: Tensor
    starts: Tensor
    ends: Tensor
    confidence: Tensor
    counts: Tensor


@dataclass(frozen=True)
class TrainingOutputs:
    """What losses and metrics need.

    Attributes:
        ctc_logits: (B, T', V).
        frames: (B,) real frames.
        logits: (B, L, V) of the decoder; None without one.
        targets: (B, L) int64 for `logits`.
        target_lengths: (B,).
        first_pass: (B, L) int64, what the decoder says without having seen any target.
        counts: (B,) sum of alpha before scaling; None without a predictor.
        counted: (B,) what `counts` should be; None without a predictor.
    """

    ctc_logits: Tensor
    frames: Tensor
    logits: Tensor | None = None
    targets: Tensor | None = None
    target_lengths: Tensor | None = None
    first_pass: Tensor | None = None
    counts: Tensor | None = None
    counted: Tensor | None = None


class RecogniserNetwork(nn.Module, ABC):
    """Encoder and CTC head. Subclasses are final, and add a decoder.

    Args:
        vocabulary: V.
        encoder: See Encoder.
    """

    def __init__(self, vocabulary: int, encoder: Encoder) -> None:
        super().__init__()
        require(vocabulary > START_ID + 1, "vocabulary", vocabulary, "more than the special tokens")
        self.vocabulary = vocabulary
        self.encoder = encoder
        self.ctc = nn.Linear(encoder.dim, vocabulary)

    @abstractmethod
    def outputs(
        self, features: Tensor, lengths: Tensor, tokens: Tensor, token_lengths: Tensor
    ) -> TrainingOutputs:
        """What losses need: features (B, T, M), lengths (B,), tokens (B, L), lengths (B,)."""

    @abstractmethod
    def forward(self, features: Tensor, lengths: Tensor) -> Recognised:
        """Answers without any target: features (B, T, M), lengths (B,)."""

    def recognise(self, features: Tensor, lengths: Tensor) -> Recognised:
        """The best answers that the network can give: those of `forward`, unless it can do better.

        This is what recognition and validation call. A Paraformer looks at `forward` again and
        tries other numbers of tokens; it is exported with that.
        """
        return self(features, lengths)  # type: ignore[no-any-return]


def without_specials(logits: Tensor) -> Tensor:
    """Logits (..., V) that give neither the blank nor the start of a sentence."""
    forbidden = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
    forbidden[BLANK_ID] = True
    forbidden[START_ID] = True
    return logits.float().masked_fill(forbidden, float("-inf"))


def append_token(tokens: Tensor, lengths: Tensor, token: int) -> Tensor:
    """(B, L) with `token` behind each one's end: (B, L + 1)."""
    longer = torch.cat([tokens, tokens.new_zeros(len(tokens), 1)], 1)
    return longer.scatter(1, lengths[:, None], token)


def create_recogniser(name: str, **settings: Any) -> RecogniserNetwork:
    """Build the network `name`.

    Raises:
        UnknownNameError: No such network.
        ConfigError: It does not take such a setting, or not such a value.

    The network itself raises ContractError for anything but features and their lengths.
    """
    network = RECOGNISERS.build(name, **settings)
    assert isinstance(network, RecogniserNetwork)
    # Whatever a network is asked for, its encoder is where clips come in.
    network.encoder.register_forward_pre_hook(partial(_check_clips, name=name))
    return network


def _check_clips(encoder: nn.Module, inputs: tuple[Any, ...], *, name: str) -> None:
    if len(inputs) != 2:
        return
    features, lengths = inputs
    assert isinstance(encoder, Encoder)
    sizes = check_tensor(
        features,
        f"features of recogniser {name!r}",
        "B T M",
        dtype="float",
        remedy="give log-mel features as FrontEnd.features makes them; frontend.mels sets M",
        M=len(encoder.frames.mean),
    )
    check_tensor(
        lengths,
        f"lengths of recogniser {name!r}",
        "B",
        dtype="integer",
        low=1,
        high=sizes.get("T"),
        remedy="give the windows of each clip, without those that fill it up",
        **sizes,
    )

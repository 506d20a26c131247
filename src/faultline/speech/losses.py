"""Losses of a recogniser, each by itself: CTC, cross-entropy, and the number of tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from faultline.speech.config import SpeechLossConfig
from faultline.speech.paraformer.encoder import real_frames
from faultline.speech.paraformer.network import TrainingOutputs
from faultline.speech.tokenizer import BLANK_ID


def masked_cross_entropy(
    logits: Tensor, targets: Tensor, lengths: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Mean over real tokens of -sum_v q_v log p_v, q = (1 - s) one-hot + s / V (Szegedy 2016).

    Args:
        logits: (B, L, V).
        targets: (B, L) int64.
        lengths: Real tokens, (B,).
        smoothing: s.

    Returns:
        A scalar; zero where there is no token at all.
    """
    log_p = logits.float().log_softmax(-1)
    right = log_p.gather(2, targets[..., None]).squeeze(2)
    loss = -(1 - smoothing) * right - smoothing * log_p.mean(-1)
    mask = real_frames(lengths, targets.shape[1])
    return (loss * mask).sum() / mask.sum().clamp_min(1)


def ctc_loss(logits: Tensor, frames: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    """-log P(text | frames) summed over the batch, by token (Graves et al. 2006).

    Clips whose text does not fit into their frames count as zero; the check before training names
    them. For a clip without text it is -sum_t log p_t(blank), and stays in the sum: it is all that
    a network with nothing but this head learns of silence, and tells the encoder of the others
    which frames say nothing.

    Args:
        logits: (B, T, V).
        frames: Real frames, (B,).
        tokens: (B, L) int64 without end of sentence.
        lengths: (B,).
    """
    log_p = logits.float().log_softmax(-1).transpose(0, 1)
    total = F.ctc_loss(
        log_p, tokens, frames, lengths, blank=BLANK_ID, reduction="sum", zero_infinity=True
    )
    return total / lengths.sum().clamp_min(1)


def quantity_loss(counts: Tensor, wanted: Tensor) -> Tensor:
    """sum |L - sum(alpha)| / sum L over a batch: (B,), (B,) -> scalar."""
    return (counts - wanted).abs().sum() / wanted.sum().clamp_min(1)


def speech_losses(
    outputs: TrainingOutputs, tokens: Tensor, token_lengths: Tensor, config: SpeechLossConfig
) -> dict[str, Tensor]:
    """Each part of the loss that the network has, and `loss`, their weighted sum.

    A clip without text has CTC (all blanks) and its count, which should be 0. A Paraformer has no
    cross-entropy of it, since no token fires; an autoregressive network ends at once.

    Args:
        outputs: Of the network.
        tokens: (B, L) of the transcripts.
        token_lengths: (B,).
        config: Weights. A network without a decoder has CTC alone, at weight 1.
    """
    parts = {"ctc": ctc_loss(outputs.ctc_logits, outputs.frames, tokens, token_lengths)}
    if outputs.logits is None:
        return {"loss": parts["ctc"], **parts}
    assert outputs.targets is not None
    assert outputs.target_lengths is not None
    parts["ce"] = masked_cross_entropy(
        outputs.logits, outputs.targets, outputs.target_lengths, config.smoothing
    )
    total = config.ctc * parts["ctc"] + (1 - config.ctc) * parts["ce"]
    if outputs.counts is not None:
        assert outputs.counted is not None
        parts["quantity"] = quantity_loss(outputs.counts, outputs.counted)
        total = total + config.quantity * parts["quantity"]
    return {"loss": total, **parts}


def token_accuracy(outputs: TrainingOutputs) -> tuple[int, int]:
    """Right tokens of the first pass, and all tokens; (0, 0) without a decoder."""
    if outputs.first_pass is None or outputs.targets is None or outputs.target_lengths is None:
        return 0, 0
    mask = real_frames(outputs.target_lengths, outputs.targets.shape[1])
    right = (outputs.first_pass == outputs.targets) & mask
    return int(right.sum()), int(torch.count_nonzero(mask))

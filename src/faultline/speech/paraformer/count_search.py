"""Other numbers of tokens for clips that the decoder is unsure of.

What CIF counts wrong, the decoder spells wrong: with a voice that training did not have, most
mistakes are a count that is off by one or two. The decoder sees the whole clip, and is surer of a
text of the right length than of any other. So unsure clips are decoded again with the weights
scaled to nearby numbers, and the surest answer is kept. It stays parallel: all clips at once, once
a number.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from faultline.speech.paraformer.network import Recognised

SURE = 0.7
"""Probability that each token has to have for an answer to be kept as it is.

Each, and not their mean: one letter too many hardly moves the mean of a sentence. With a label
smoothing of 0.1 a sure token has about 0.9.
"""
_FEWEST = 2  # a character and the end of the sentence: silence stays silence


def search_counts(
    found: Recognised, frames: Tensor, decode: Callable[[Tensor, Tensor], Recognised], reach: int
) -> Recognised:
    """`found`, with unsure answers replaced by the surest of those with other numbers of tokens.

    Args:
        found: Answers to B clips.
        frames: Real frames, (B,), which no number exceeds.
        decode: From positions of clips (R,) and numbers of tokens (R,) to their answers.
        reach: How far from the number that was counted others are tried.
    """
    counted, best = found.lengths, log_surety(found)
    unsure = (least_sure(found) < SURE) & (counted >= _FEWEST)
    for step in (sign * size for size in range(1, reach + 1) for sign in (-1, 1)):
        number = counted + step
        rows = (unsure & (number >= _FEWEST) & (number <= frames)).nonzero()[:, 0]
        if not len(rows):
            continue
        other = decode(rows, number[rows])
        surety = log_surety(other)
        better = surety > best[rows]
        best = best.index_copy(0, rows[better], surety[better])
        found = _replaced(found, rows[better], Recognised(*(part[better] for part in other)))
    return found


def least_sure(found: Recognised) -> Tensor:
    """Smallest probability of a token, (B,); 1 for an answer without any."""
    return found.confidence.masked_fill(~_real(found), 1.0).amin(1)


def log_surety(found: Recognised) -> Tensor:
    """Mean log probability of the tokens, (B,); 0 for an answer without any."""
    logs = found.confidence.clamp_min(1e-12).log().masked_fill(~_real(found), 0.0)
    return logs.sum(1) / found.lengths.clamp_min(1)


def _real(found: Recognised) -> Tensor:
    """(B, L): True up to the length of each answer."""
    places = torch.arange(found.tokens.shape[1], device=found.lengths.device)
    return places < found.lengths[:, None]


def _replaced(found: Recognised, rows: Tensor, other: Recognised) -> Recognised:
    """`found` with `other` in `rows`; what was counted stays."""
    size = max(found.tokens.shape[1], other.tokens.shape[1])
    fills = {"tokens": 0, "starts": -1, "ends": -1, "confidence": 0}
    parts = {}
    for name, fill in fills.items():
        ours, theirs = getattr(found, name), getattr(other, name)
        ours = F.pad(ours, (0, size - ours.shape[1]), value=fill)
        theirs = F.pad(theirs, (0, size - theirs.shape[1]), value=fill)
        parts[name] = ours.index_copy(0, rows, theirs.to(ours.dtype))
    return found._replace(lengths=found.lengths.index_copy(0, rows, other.lengths), **parts)

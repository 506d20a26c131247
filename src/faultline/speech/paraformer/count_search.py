"""Other numbers of places for clips that the decoder is unsure of.

The decoder sees the whole clip, and is surer of a text that is right than of any other. So unsure
clips are decoded again with the weights scaled to nearby numbers, and the surest answer is kept.
It stays parallel: all clips at once, once a number; or, for a graph without branches, all clips and
numbers in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from faultline.speech.paraformer.network import Recognised

SURE = 0.7
"""Probability that each token has to have for an answer to be kept as it is.

Each, and not their mean: one letter too many hardly moves the mean of a sentence. With a label
smoothing of 0.1 a sure token has about 0.9.
"""
FEWEST = 2  # a character and the end of the sentence: silence stays silence


def search_counts(
    found: Recognised,
    places: Tensor,
    frames: Tensor,
    decode: Callable[[Tensor, Tensor], Recognised],
    reach: int,
) -> Recognised:
    """`found`, with unsure answers replaced by the surest of those with other numbers of places.

    Args:
        found: Answers to B clips.
        places: With how many places each was decoded, (B,).
        frames: Real frames, (B,), which no number exceeds.
        decode: From positions of clips (R,) and numbers of places (R,) to their answers.
        reach: How far from `places` others are tried.
    """
    unsure = is_unsure(found, places)
    for step in _steps(reach):
        number = places + step
        rows = (unsure & (number >= FEWEST) & (number <= frames)).nonzero()[:, 0]
        if len(rows):
            found = keep_surest(found, rows, decode(rows, number[rows]))
    return found


def search_counts_at_once(
    found: Recognised,
    places: Tensor,
    frames: Tensor,
    decode: Callable[[Tensor, Tensor], Recognised],
    reach: int,
) -> Recognised:
    """The same as `search_counts`, all numbers in one batch and without a branch, for export.

    Args:
        found: Answers to B clips, (B, L).
        places: With how many places each was decoded, (B,).
        frames: Real frames, (B,).
        decode: From positions of clips (R,) and numbers of places (S, R) to the answers to them,
            (S R, L + reach).
        reach: How far from `places` others are tried; S is twice as much.

    Returns:
        (B, L + reach).
    """
    rows, unsure = some_unsure(found, places)
    steps = torch.tensor(list(_steps(reach)), device=frames.device)
    number = places[rows] + steps[:, None]
    other = decode(rows, number)
    tried = unsure & (number >= FEWEST) & (number <= frames[rows])
    surety = log_surety(other).view(number.shape).masked_fill(~tried, float("-inf"))
    value, best = surety.max(0)
    clips = torch.arange(rows.shape[0], device=frames.device)
    parts = [part.unflatten(0, number.shape)[best, clips] for part in other]  # type: ignore[no-untyped-call]
    return keep_surest(lengthened(found, reach), rows, Recognised(*parts), value > float("-inf"))


def some_unsure(found: Recognised, places: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (R,) of the unsure answers, or of one sure one; and which are unsure, (R,).

    At least one, since a graph need not know empty batches.
    """
    unsure = is_unsure(found, places)
    some: Any = unsure.sum(0).clamp_min(1).item()
    torch._check(some >= 1)
    torch._check(some <= len(unsure))
    rows = unsure.int().topk(some).indices
    return rows, unsure[rows]


def keep_surest(
    found: Recognised, rows: Tensor, other: Recognised, allowed: Tensor | None = None
) -> Recognised:
    """`found` (B, L) with `other` (R, L') in those `rows` (R,) in which it is surer; no branch.

    What was counted stays.

    Args:
        found: Answers to B clips.
        rows: Positions of R of them.
        other: Other answers to these.
        allowed: (R,) which of them may be taken at all; all where it is None.
    """
    places = max(found.tokens.shape[1], other.tokens.shape[1])
    found = lengthened(found, places - found.tokens.shape[1])
    other = lengthened(other, places - other.tokens.shape[1])
    better = log_surety(other) > log_surety(found)[rows]
    if allowed is not None:
        better = better & allowed

    def chosen(ours: Tensor, theirs: Tensor) -> Tensor:
        kept, end = ours[rows], [1] * (ours.dim() - 1)
        taken = torch.where(better.view(-1, *end), theirs.to(ours.dtype), kept)
        return ours.scatter(0, rows.view(-1, *end).expand_as(taken), taken)

    parts = [chosen(ours, theirs) for ours, theirs in zip(found, other, strict=True)]
    return Recognised(*parts)._replace(counts=found.counts)


def is_unsure(found: Recognised, places: Tensor) -> Tensor:
    """Which answers, decoded with so many places (B,), are looked at again: (B,) bool."""
    return (least_sure(found) < SURE) & (places >= FEWEST)


def _steps(reach: int) -> Iterator[int]:
    """-1, 1, -2, 2 and so on: of equally sure answers the nearest number is kept."""
    return (sign * size for size in range(1, reach + 1) for sign in (-1, 1))


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


def replaced(found: Recognised, rows: Tensor, other: Recognised) -> Recognised:
    """`found` (B, L) with `other` (R, L') in `rows` (R,); what was counted stays."""
    sizes = [answers.tokens.shape[1] for answers in (found, other)]
    found = lengthened(found, max(0, sizes[1] - sizes[0]))
    other = lengthened(other, max(0, sizes[0] - sizes[1]))
    pairs = zip(found, other, strict=True)
    parts = [ours.index_copy(0, rows, theirs.to(ours.dtype)) for ours, theirs in pairs]
    return Recognised(*parts)._replace(counts=found.counts)


def lengthened(found: Recognised, places: int) -> Recognised:
    """(B, L) -> (B, L + `places`), with what stands behind an answer's end."""
    fills = {"tokens": 0, "starts": -1, "ends": -1, "confidence": 0}
    longer = {
        name: F.pad(getattr(found, name), (0, places), value=fill) for name, fill in fills.items()
    }
    return found._replace(**longer)

"""Phrases that are expected: taken where a clip sounds as much like one as like any other text.

A person at work says one of a few dozen prompts. Told the number of characters, the decoder spells
nearly all of them right; what it gets wrong by itself is the number. So each phrase is tried with
its own number, by the same measure by which `count_search` compares numbers: the decoder's mean log
probability. A text that is none of the phrases is surer by itself than as any of them, and stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from faultline.speech.paraformer.count_search import FEWEST, log_surety, replaced
from faultline.speech.paraformer.network import Recognised
from faultline.speech.tokenizer import END_ID

MARGIN = 0.05
"""By how much the mean log probability of a phrase may lie below that of the free answer.

Chosen on 100 validation clips in voices that training did not have: 99 of them get their phrase
with margins of 0.02 to 0.3; with its phrase taken off the list none gets another up to 0.05.
"""
_FAR, _STEPS = 0.25, 3.0  # a count is wrong by one or two; phrases farther off are not tried
Spelling = tuple[Tensor, Tensor, Tensor]


def prefer_phrases(
    found: Recognised,
    frames: Tensor,
    phrases: Sequence[Sequence[int]],
    spell: Callable[[Tensor, int], Spelling],
) -> Recognised:
    """`found`, with the likeliest phrase in place of answers that are no surer than it.

    Args:
        found: Free answers to B clips; those without a character are left.
        frames: Real frames, (B,), which no number of tokens exceeds.
        phrases: Tokens of each, without an end.
        spell: From positions of clips (R,) and one number L of tokens to log probabilities
            (R, L, V), and to starts and ends (R, L).
    """
    least, spoken = log_surety(found) - MARGIN, found.lengths >= FEWEST
    for tokens in _by_length(phrases, frames.device):
        number = tokens.shape[1]
        near = (found.counts - number).abs() <= (_FAR * found.counts).clamp_min(_STEPS)
        rows = (spoken & near & (frames >= number)).nonzero()[:, 0]
        if not len(rows):
            continue
        logs, starts, ends = spell(rows, number)
        places = torch.arange(number, device=frames.device)
        value, which = logs[:, places, tokens].mean(-1).max(1)  # (R, P, L) -> (R,)
        better = value > least[rows]
        least = least.index_copy(0, rows, torch.where(better, value, least[rows]))
        said = tokens[which]
        confidence = logs.gather(2, said[..., None]).squeeze(2).exp()
        count = torch.full_like(rows, number)
        other = Recognised(said, count, starts, ends, confidence, found.counts[rows])
        found = replaced(found, rows[better], Recognised(*(part[better] for part in other)))
    return found


def _by_length(phrases: Sequence[Sequence[int]], device: torch.device) -> Iterator[Tensor]:
    """Phrases of one length after the other, each with its end: (P, L) int64."""
    groups: dict[int, list[list[int]]] = defaultdict(list)
    for phrase in phrases:
        groups[len(phrase)].append([*phrase, END_ID])
    for _, group in sorted(groups.items()):
        yield torch.tensor(group, device=device)

"""Places beyond the end of a text, which say the end again.

What CIF counts wrong, the decoder spells wrong: trained with the true number of tokens, it fills
whatever places it gets, so that with a voice that training did not have most mistakes are a count
that is off by one or two. Trained with some places too many, whose targets are ends as well, it
stretches over them and tells itself where the text ends. So the count only has to be large enough:
one decoding with a few places more, cut at the first end, is still one pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from faultline.speech.tokenizer import END_ID

SHARE = 0.7
"""Of the clips of a batch that get spare places; the others have the number that they have."""


def with_spare_places(counted: Tensor, frames: Tensor, most: int) -> Tensor:
    """Number of places of each clip: its tokens, and often 0 to `most` more, at random.

    Args:
        counted: Tokens of each with the end, (B,); clips without any get no place.
        frames: Real frames, (B,), which no number exceeds unless the tokens do.
        most: Spare places at most.
    """
    spare = torch.randint(0, most + 1, counted.shape, device=counted.device)
    chosen = torch.rand(counted.shape, device=counted.device) < SHARE
    spare = torch.minimum(spare, (frames - counted).clamp_min(0))
    return counted + spare * (chosen & (counted > 0))


def filled_with_ends(tokens: Tensor, lengths: Tensor, places: Tensor) -> Tensor:
    """Targets: tokens (B, L), an end at every further place, 0 behind the last: (B, L').

    Args:
        tokens: (B, L) int64.
        lengths: Tokens of each, (B,).
        places: Places of each, (B,); L' is the largest number, and at least 1.
    """
    size = max(1, int(places.max()))
    longer = torch.nn.functional.pad(tokens, (0, max(0, size - tokens.shape[1])))[:, :size]
    place = torch.arange(size, device=tokens.device)
    longer = longer.masked_fill(place >= lengths[:, None], END_ID)
    return longer.masked_fill(place >= places[:, None], 0)


def up_to_first_end(tokens: Tensor, places: Tensor) -> Tensor:
    """Length of each answer: up to its first end, which counts; all its places without one.

    Args:
        tokens: (B, L), without an end behind the places.
        places: (B,).
    """
    ends = tokens == END_ID
    return torch.where(ends.any(1), ends.int().argmax(1) + 1, places)

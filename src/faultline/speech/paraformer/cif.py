"""Continuous integrate-and-fire (Dong & Xu 2020): from a weight a frame to one vector a token.

Every frame t has a weight alpha_t. Their running sum c_t rises by one for each token: token l is
made of the frames in which c goes from l to l + 1, each counted by the part of its weight that
lies there.
"""

from __future__ import annotations

import contextlib
import math
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultline.errors import TrainingError

TAIL = 0.45
_LEAST_SUM = 1e-4
_EDGE = 0.1
_ROUNDING = 1e-9


class WeightPredictor(nn.Module):
    """alpha = sigmoid(linear(relu(conv3(h)))), zero at padding, in single precision.

    Args:
        dim: D.
        tokens_per_frame: Mean of the training set: with it alpha starts at the right sum. Left at
            sigmoid(0) = 0.5, half as many tokens as frames would fire.
    """

    def __init__(self, dim: int, tokens_per_frame: float = 0.25) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(dim, dim, 3, padding=1)
        self.weight = nn.Linear(dim, 1)
        share = min(max(tokens_per_frame, 0.01), 0.95)
        nn.init.constant_(self.weight.bias, math.log(share / (1 - share)))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """hidden (B, T, D), zero at padding; mask (B, T) -> alpha (B, T) of 0 to 1."""
        with full_precision(hidden):
            near = F.relu(self.convolution(hidden.float().transpose(1, 2))).transpose(1, 2)
            return self.weight(near).squeeze(-1).sigmoid() * mask  # type: ignore[no-any-return]


def overlap_weights(alpha: Tensor, tokens: int) -> Tensor:
    """How much of each frame belongs to each token: W[l, t] = |[c_{t-1}, c_t] n [l, l + 1]|.

    No loop and no branch, so that weights above one need no care and it exports as it is. Sums are
    kept in double precision: differences of large single ones would lose digits on long clips.

    Args:
        alpha: (B, T), at least 0.
        tokens: L.

    Returns:
        (B, L, T); W[l] sums to 1 where the sum of alpha reaches l + 1.
    """
    total = alpha.cumsum(1, dtype=torch.float32 if alpha.device.type == "mps" else torch.float64)
    before = F.pad(total[:, :-1], (1, 0))
    token = torch.arange(tokens, device=alpha.device, dtype=total.dtype)[None, :, None]
    upper = (total[:, None, :] - token).clamp(max=1.0)
    lower = (before[:, None, :] - token).clamp(min=0.0)
    return (upper - lower).clamp_min(0.0).to(alpha.dtype)


def integrate(alpha: Tensor, hidden: Tensor, tokens: int) -> Tensor:
    """Token vectors E = W H: alpha (B, T), hidden (B, T, D) -> (B, L, D), in single precision."""
    with full_precision(hidden):
        return overlap_weights(alpha.float(), tokens) @ hidden.float()


def scale_to_count(alpha: Tensor, tokens: Tensor) -> Tensor:
    """alpha * L / sum(alpha), so that exactly L tokens fire while training.

    Args:
        alpha: (B, T).
        tokens: L of each, (B,); clips without tokens are left as they are.

    Raises:
        TrainingError: The sum is about zero for a clip that has tokens.
    """
    total = alpha.sum(1)
    wanted = tokens > 0
    lost = wanted & (total < _LEAST_SUM)
    if not torch.compiler.is_exporting() and bool(lost.any()):  # no graph raises
        worst = int(lost.nonzero()[0])
        raise TrainingError(
            f"the weights of a clip with {int(tokens[worst])} tokens sum to "
            f"{float(total[worst]):.1e}: nothing fires",
            remedy="lower optimizer.lr, or raise loss.quantity",
        )
    factor = torch.where(wanted, tokens / total.clamp_min(_LEAST_SUM), torch.ones_like(total))
    return alpha * factor[:, None]


def fired(alpha: Tensor, tail: float) -> Tensor:
    """Number of tokens without a transcript: floor(sum(alpha) + tail), (B, T) -> (B,) int64.

    With a tail of 0.45 a last token of 0.55 or more counts.
    """
    return (alpha.sum(1) + tail).floor().long()


def token_spans(alpha: Tensor, tokens: int, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """First frame of each token, and the one behind its last.

    A token spans the frames in which c goes from l + 0.1 to l + 0.9; without that margin the
    weights of silence, small and never zero, would stretch it over every pause.

    Args:
        alpha: (B, T).
        tokens: L.
        lengths: Real frames, (B,).

    Returns:
        Starts and ends, (B, L) int64, 0 <= start < end <= length.
    """
    total = alpha.cumsum(1)
    token = torch.arange(tokens, device=alpha.device, dtype=total.dtype)[None, :, None]
    last = lengths[:, None]
    ends = ((total[:, None, :] < token + (1 - _EDGE)).sum(2) + 1).minimum(last)
    starts = (total[:, None, :] < token + _EDGE).sum(2).minimum(ends - 1)
    return starts, ends


def integrate_by_recursion(alpha: Tensor, hidden: Tensor, tokens: int) -> Tensor:
    """The same as `integrate`, as the paper tells it: accumulate, fire at one, carry the rest on.

    The oracle of the tests, and the slow way to understand the fast one. Two corrections to the
    common loop: a token that rounding leaves a little below one is kept nevertheless, and a weight
    above one fires more than once.

    Args:
        alpha: (T,) of one clip.
        hidden: (T, D).
        tokens: L.

    Returns:
        (L, D).
    """
    vectors = torch.zeros(tokens, hidden.shape[1], dtype=torch.float64)
    number, filled = 0, 0.0
    for weight, frame in zip(alpha.double().tolist(), hidden.double(), strict=True):
        left = weight
        while left > 0.0 and number < tokens:
            part = min(left, 1.0 - filled)
            vectors[number] += part * frame
            filled, left = filled + part, left - part
            if filled > 1.0 - _ROUNDING:
                number, filled = number + 1, 0.0
    return vectors.to(hidden.dtype)


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """No autocast on the device of `x`, where there is any."""
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return contextlib.nullcontext()

"""Whether an exported recogniser answers as its network does, and how much faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultline.errors import OutputError
from faultline.speech.data.samples import pad_features
from faultline.speech.frontend import Features

OUTPUTS = ("tokens", "token_lengths", "starts", "ends", "confidence")
TOLERANCE = 1e-3
LEAST_SAME = 0.95
"""Share of the clips whose tokens have to be the same where weights are rounded to eight bits."""
_TOGETHER = 8
_ROUNDS = 20


@dataclass(frozen=True)
class Agreement:
    """How the answers of an export compare with those of the network.

    Attributes:
        clips: Clips that both answered, alone or in batches.
        same: Those with the same tokens.
        tokens: Tokens that the network wrote in all, ends of sentences included.
        difference: Largest difference of a confidence among clips with the same tokens.
        furthest: Largest difference of each output among all clips.
    """

    clips: int
    same: int
    tokens: int
    difference: float
    furthest: Mapping[str, float]


def drawn_batches(mels: int) -> list[list[Features]]:
    """Noise that rises and falls, of several lengths: a batch, and single clips."""
    rng = np.random.default_rng(0)
    lengths = (120, 37, 64, 5, 1, 200)
    clips = [
        np.asarray(8 + 4 * rng.standard_normal((n, mels)).cumsum(0) / np.sqrt(n), np.float32)
        for n in lengths
    ]
    return [clips, *([clip] for clip in clips)]


def batches_of(clips: Sequence[Features]) -> list[list[Features]]:
    """Batches of eight, and the first eight one by one."""
    together = [list(clips[n : n + _TOGETHER]) for n in range(0, len(clips), _TOGETHER)]
    return together + [[clip] for clip in clips[:_TOGETHER]]


def run_session(session: Any, features: Sequence[Features]) -> dict[str, np.ndarray]:
    """Outputs by name for clips (T, M)."""
    padded, lengths = pad_features(features)
    values = session.run(list(OUTPUTS), {"features": padded.numpy(), "lengths": lengths.numpy()})
    return dict(zip(OUTPUTS, values, strict=True))


def compare(module: nn.Module, session: Any, batches: Sequence[Sequence[Features]]) -> Agreement:
    """Answers of both to all batches.

    Args:
        module: From padded features (B, T, M) and lengths (B,) to what `OUTPUTS` names.
        session: The export.
        batches: Clips (T, M).
    """
    clips, same, tokens, difference = 0, 0, 0, 0.0
    furthest = dict.fromkeys(OUTPUTS, 0.0)
    for batch in batches:
        right, found = _both(module, session, batch)
        off = {name: np.abs(right[name] - found[name]) for name in OUTPUTS}
        for name, values in off.items():
            furthest[name] = float(np.maximum(furthest[name], values.max(initial=0.0)))  # keeps NaN
        equal = (off["tokens"] == 0).all(1)
        difference = max(difference, float(off["confidence"][equal].max(initial=0.0)))
        clips, same = clips + len(batch), same + int(equal.sum())
        tokens += int(right["token_lengths"].sum())
    return Agreement(clips, same, tokens, difference, furthest)


def check_same(found: Agreement) -> None:
    """All outputs have to be equal but for rounding.

    Raises:
        OutputError: A token, a number of tokens or a time differs, or the confidence by too much.
    """
    for name, off in found.furthest.items():
        if not off <= TOLERANCE:
            raise OutputError(f"the exported {name} differ by {off:.2g} from those of the network")


def check_alike(found: Agreement) -> None:
    """Few clips may have other tokens.

    Raises:
        OutputError: Fewer than `LEAST_SAME` of the clips get the same tokens.
    """
    if found.same < LEAST_SAME * found.clips:
        raise OutputError(
            f"with 8-bit weights only {found.same} of {found.clips} clips get the same "
            f"text (at least {LEAST_SAME:.0%} have to)",
            remedy="export without --int8",
        )


def speeds(module: nn.Module, session: Any, clips: Sequence[Features]) -> tuple[float, float]:
    """Median processor time of a batch in milliseconds, module and export, on one thread each."""
    padded, lengths = pad_features(clips)

    def eager() -> None:
        with torch.inference_mode():
            module(padded, lengths)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _median_ms(eager), _median_ms(lambda: run_session(session, clips))
    finally:
        torch.set_num_threads(threads)


def _both(
    module: nn.Module, session: Any, clips: Sequence[Features]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Answers of network and export as numbers, of one size, zero behind each one's end."""
    with torch.inference_mode():
        ours = dict(zip(OUTPUTS, module(*pad_features(clips)), strict=True))
    theirs = {name: torch.as_tensor(v) for name, v in run_session(session, clips).items()}
    size = max(answers["tokens"].shape[1] for answers in (ours, theirs))
    return _of_size(ours, size), _of_size(theirs, size)


def _of_size(answers: Mapping[str, Tensor], size: int) -> dict[str, np.ndarray]:
    real = torch.arange(size) < answers["token_lengths"][:, None]
    return {
        name: (F.pad(v, (0, size - v.shape[1])) * real if v.dim() == 2 else v).double().numpy()
        for name, v in answers.items()
    }


def _median_ms(action: Callable[[], object]) -> float:
    """Of processor time, so that other work on the machine does not count."""
    times = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        action()
        times.append(1e3 * (time.process_time() - start))
    return float(np.median(times[2:]))

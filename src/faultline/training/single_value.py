"""Tells the one error of torch that means too small a batch of too small pictures."""

from __future__ import annotations

from faultline.errors import TrainingError

_TORCH = "Expected more than 1 value per channel"


def explained(error: ValueError, remedy: str) -> Exception:
    """`error`, or what it means where a batch normalisation has nothing to average over.

    Args:
        error: As a network raised it.
        remedy: How to get more values.
    """
    if _TORCH not in str(error):
        return error
    return TrainingError(
        "a batch normalisation layer was given a single value per channel", remedy=remedy
    )

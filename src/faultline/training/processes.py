"""Which process this is, among those that train together."""

from __future__ import annotations

from lightning.pytorch.utilities import rank_zero_only


def process_rank() -> int:
    """Number of this process; 0 is the one that writes. Known before any trainer exists."""
    return int(getattr(rank_zero_only, "rank", None) or 0)

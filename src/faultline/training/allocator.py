"""Keeps freed memory with the process, so that a training on the CPU does not fetch it anew."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Make glibc reuse large blocks instead of giving each back to the system.

    By default every activation of over 32 MiB at the latest is mapped, zeroed page by page at
    first touch, and unmapped again: some 50,000 page faults a step. Kept, a step of U-Net Mini
    on two cores took 533 ms instead of 644 (median of 15). Memory in use at the peak is the same.

    Returns:
        Whether it could be set: elsewhere than under glibc there is nothing to set.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))

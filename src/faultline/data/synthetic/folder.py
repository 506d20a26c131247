"""The folder of a data set that is made here: claimed, and emptied of nothing but our own files."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faultline.errors import DataError, OutputError
from faultline.files import write_json

MARKER = ".faultline-synthetic.json"
"""File that says that a folder was made here, and with which settings."""

SPLITS = ("train", "valid", "test")

# What any generator has ever written below a split; labels first, so that a half-removed data
# set is not taken for a whole one.
_MADE = (
    "_annotations.coco.json", "masks/shape_*.png", "images/shape_*.png", "crack_{split}_*.jpg",
)  # fmt: skip
_FOLDERS = ("masks", "images", ".")


def claim(root: Path, settings: Mapping[str, Any]) -> None:
    """Make `root` ours: refuse a folder of someone else, empty one of our own, leave the marker.

    Raises:
        DataError: `root` is a file, or holds something that was not made here.
        OutputError: It cannot be written.
    """
    if root.exists():
        _check_ours(root)
        _remove_made(root)
    write_json(root / MARKER, dict(settings))


def check_counts(counts: Mapping[str, int], seed: int) -> None:
    """Check pictures per split, and the seed.

    Raises:
        DataError: One is out of range.
    """
    if seed < 0:
        raise DataError(f"seed {seed} is negative", remedy="give an integer of 0 or more")
    unknown = [name for name in counts if name not in SPLITS]
    if unknown or not counts:
        raise DataError(f"splits {sorted(counts)} are not usable", remedy=f"use {SPLITS}")
    if any(count < 1 for count in counts.values()):
        raise DataError(f"counts {dict(counts)} must be 1 or more", remedy="leave empty splits out")


def _check_ours(root: Path) -> None:
    if not root.is_dir():
        raise DataError("is a file, not a folder", where=root, remedy="choose another folder")
    if not (root / MARKER).is_file() and any(root.iterdir()):
        raise DataError(
            "is not empty and was not made by this generator, so it is not overwritten",
            where=root,
            remedy="choose another folder or empty this one yourself",
        )


def _remove_made(root: Path) -> None:
    """Delete the labels and pictures that were made in `root` before."""
    try:
        for split in SPLITS:
            for pattern in _MADE:
                for path in (root / split).glob(pattern.format(split=split)):
                    path.unlink()
            for folder in _FOLDERS:
                with contextlib.suppress(OSError):
                    (root / split / folder).rmdir()
    except OSError as error:
        raise OutputError(
            f"the earlier data set cannot be removed: {error.strerror}",
            where=root,
            remedy="check permissions, or choose another folder",
        ) from error

"""Refuses to score a bundle on anything that it has been fitted or tuned on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from faultline.artifacts.bundle import Bundle
from faultline.errors import LeakageError

_SHOWN = 5


class Scored(Protocol):
    """What must be known of a picture that is to be scored; a manifest's items fit."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the file's content."""
        ...

    @property
    def group(self) -> str:
        """Source group within its data set."""
        ...


def check_unseen(
    bundle: Bundle,
    items: Iterable[Scored],
    *,
    parts: Collection[str] | None = None,
    by_group: bool = False,
    what: str = "pictures",
) -> None:
    """Make sure that no item was used to fit the bundle or to choose its threshold.

    Args:
        bundle: What is to be scored.
        items: What it is to be scored on.
        parts: Fitted parts to look at ("weights", "threshold", ...); None is all of them.
        by_group: Also refuse an item whose source group was seen. Group names mean something
            only within one data set, so this is right only for items of the bundle's own.
        what: What the items are, for the message.

    Raises:
        LeakageError: Some item was seen; the message names the part and the files.
    """
    items = list(items)
    faults = []
    for part in sorted({*bundle.seen, *bundle.groups}):
        if parts is not None and part not in parts:
            continue
        hashes = frozenset(bundle.seen.get(part, ()))
        groups = frozenset(bundle.groups.get(part, ())) if by_group else frozenset()
        known = [item.path for item in items if item.sha256 in hashes or item.group in groups]
        if known:
            faults.append(f"the {part} saw {_names(known)}")
    if faults:
        raise LeakageError(
            f"{len(items)} {what} would be scored, but {'; '.join(faults)}",
            where=bundle.source,
            remedy=f"score on {what} that took no part in training or threshold choice, "
            "or train again without these",
        )


def _names(paths: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in paths[:_SHOWN])
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return f"{len(paths)} of them ({names}{more})"

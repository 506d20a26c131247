"""Splits and folds that never cut a group, and the check that two parts share nothing."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

from faultline.data.manifest import Item
from faultline.errors import ConfigError, DataError, LeakageError

_SHOWN = 5


def grouped_split(
    items: Sequence[Item], fraction: float, seed: int
) -> tuple[list[Item], list[Item]]:
    """Split items into (train, valid) with about `fraction` of them in valid.

    Groups stay whole. Groups with and without foreground are shared out separately where the
    manifest knows which are which. The result depends on ids, groups and the seed alone, not on
    the order of the items; both parts keep that order.

    Raises:
        ConfigError: `fraction` is not between 0 and 1.
        DataError: There are fewer than two groups.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"share {fraction} is not between 0 and 1", remedy="use for example 0.15")
    groups = _groups(items)
    need_groups(groups, 2, len(items))
    chosen: set[str] = set()
    for names in _strata(groups, seed).values():
        chosen |= _about(names, groups, fraction * sum(len(groups[name]) for name in names))
    if not chosen:
        # Strata that are each too small to give up a group: the smallest group goes.
        chosen = {min(sorted(groups), key=lambda name: len(groups[name]))}
    elif len(chosen) == len(groups):
        chosen.discard(max(sorted(groups), key=lambda name: len(groups[name])))
    train = [item for item in items if item.group not in chosen]
    return train, [item for item in items if item.group in chosen]


def grouped_folds(
    items: Sequence[Item], folds: int, seed: int
) -> list[tuple[list[Item], list[Item]]]:
    """`folds` pairs (train, valid) whose valid parts cover every item once; groups stay whole.

    Large groups are placed first, each into the fold with the fewest items of its kind.

    Raises:
        ConfigError: `folds` is less than 2.
        DataError: There are fewer groups than folds.
    """
    if folds < 2:
        raise ConfigError(f"{folds} folds", remedy="use at least 2")
    groups = _groups(items)
    need_groups(groups, folds, len(items))
    fold_of: dict[str, int] = {}
    total = [0] * folds
    for names in _strata(groups, seed).values():
        own = [0] * folds
        for name in sorted(names, key=lambda name: -len(groups[name])):
            fold = min(range(folds), key=lambda k: (own[k], total[k], k))
            fold_of[name] = fold
            own[fold] += len(groups[name])
            total[fold] += len(groups[name])
    _fill_empty(fold_of, folds, groups)
    return [
        (
            [item for item in items if fold_of[item.group] != fold],
            [item for item in items if fold_of[item.group] == fold],
        )
        for fold in range(folds)
    ]


def check_disjoint(otherwise: Mapping[str, str] | None = None, /, **parts: Sequence[Item]) -> None:
    """Refuse parts (`train=...`, `test=...`) that share a picture's bytes or a group.

    Args:
        otherwise: What helps besides taking the copies away, by the name of the later part.
        parts: Items by name.

    Raises:
        LeakageError: They do; the message names the first few files and what to do.
    """
    names = list(parts)
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            helps = (otherwise or {}).get(second)
            or_else = f", or {helps}" if helps else ""
            _check_pair(first, parts[first], second, parts[second], or_else)


def _check_pair(
    first: str, ours: Sequence[Item], second: str, theirs: Sequence[Item], or_else: str
) -> None:
    _refuse(
        _shared(ours, theirs, lambda item: item.sha256),
        f"the same pictures (byte for byte) are in {first} and in {second}",
        f"delete them from one of the two{or_else}",
    )
    _refuse(
        _shared(ours, theirs, lambda item: item.group),
        f"pictures of one group (they show the same thing) are in {first} and in {second}",
        f"put each group into one part{or_else}",
    )


def _shared(
    ours: Sequence[Item], theirs: Sequence[Item], key: Callable[[Item], str]
) -> list[tuple[Item, Item]]:
    known: Mapping[str, Item] = {key(item): item for item in ours}
    return [(known[key(item)], item) for item in theirs if key(item) in known]


def _refuse(shared: list[tuple[Item, Item]], what: str, remedy: str) -> None:
    if not shared:
        return
    files = "; ".join(f"{ours.path} = {theirs.path}" for ours, theirs in shared[:_SHOWN])
    more = f"; and {len(shared) - _SHOWN} more" if len(shared) > _SHOWN else ""
    raise LeakageError(f"{what}: {len(shared)} of them: {files}{more}", remedy=remedy)


def _groups(items: Sequence[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.group].append(item)
    return dict(groups)


def need_groups(groups: Collection[str], needed: int, count: int) -> None:
    """Refuse to share out `count` pictures in fewer groups than parts.

    Raises:
        DataError: There are fewer.
    """
    if len(groups) < needed:
        raise DataError(
            f"{count} pictures in {len(groups)} groups cannot be shared out over {needed} parts",
            remedy="give more pictures; those of one group always stay together",
        )


def _strata(groups: Mapping[str, Sequence[Item]], seed: int) -> dict[str, list[str]]:
    """Shuffled group names by whether the group has foreground."""
    strata: dict[str, list[str]] = defaultdict(list)
    for name in sorted(groups):
        known = {item.positive for item in groups[name]}
        kind = "positive" if True in known else "unknown" if None in known else "negative"
        strata[kind].append(name)
    for kind in sorted(strata):
        random.Random(f"{seed}/{kind}").shuffle(strata[kind])
    return {kind: strata[kind] for kind in sorted(strata)}


def _about(names: list[str], groups: Mapping[str, Sequence[Item]], target: float) -> set[str]:
    """Groups, taken in order, whose items come as near to `target` as they can."""
    chosen: set[str] = set()
    count = 0
    for name in names:
        size = len(groups[name])
        if abs(count + size - target) < abs(count - target):
            chosen.add(name)
            count += size
    return chosen


def _fill_empty(fold_of: dict[str, int], folds: int, groups: Mapping[str, Sequence[Item]]) -> None:
    """Give a fold that got nothing the smallest group of the fold that has the most groups."""
    for fold in range(folds):
        if fold not in fold_of.values():
            held = {
                k: [name for name in sorted(fold_of) if fold_of[name] == k] for k in range(folds)
            }
            richest = max(held.values(), key=len)
            fold_of[min(richest, key=lambda name: len(groups[name]))] = fold

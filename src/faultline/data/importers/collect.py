"""Gathering items and problems while a data set is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from faultline.data.images import ImageFacts, inspect_image
from faultline.data.manifest import Item, Problem
from faultline.errors import DataError, FaultlineError

A = TypeVar("A")
B = TypeVar("B")

AUGMENTED_MARK = ".rf."
_CHUNK = 64


class Collector:
    """Items and problems of one data set, by path relative to its root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.items: list[Item] = []
        self.problems: list[Problem] = []

    def name_of(self, path: Path) -> str:
        """Path relative to the root, with `/`."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return str(path)

    def problem(self, path: Path, reason: str | FaultlineError) -> None:
        """Note that a file cannot be used."""
        self.problems.append(Problem(self.name_of(path), reason_of(reason)))

    def inspect(self, paths: Sequence[Path]) -> dict[Path, ImageFacts]:
        """Facts of the pictures that can be read; the others become problems."""
        return self.each(inspect_image, paths)

    def each(self, function: Callable[[Path], B], paths: Sequence[Path]) -> dict[Path, B]:
        """Apply `function` to each file; those on which it raises become problems."""
        done: dict[Path, B] = {}
        for path, result in zip(paths, in_threads(_caught(function), paths), strict=True):
            if isinstance(result, FaultlineError):
                self.problem(path, result)
            else:
                done[path] = result
        return done

    def add(self, path: Path, facts: ImageFacts, split: str | None, **labels: Any) -> None:
        """Add an item; `labels` are the fields of `Item` that concern its label."""
        name = self.name_of(path)
        self.items.append(
            Item(
                id=name,
                path=path,
                split=split,
                group=name_group(name),
                sha256=facts.sha256,
                width=facts.width,
                height=facts.height,
                **labels,
            )
        )


def name_group(item_id: str) -> str:
    """Group of an item by name: what stands before `.rf.`, or the id itself."""
    name = item_id.rpartition("/")[2]
    # The folder is left away: augmented copies of one picture may lie in different splits.
    return name.partition(AUGMENTED_MARK)[0] if AUGMENTED_MARK in name else item_id


def reason_of(error: str | FaultlineError) -> str:
    """What went wrong and what to do, without the file name."""
    if isinstance(error, str):
        return error
    return f"{error.what} -> {error.remedy}" if error.remedy else error.what


def in_threads(function: Callable[[A], B], values: Iterable[A]) -> list[B]:
    """Results in order. Reading, hashing and decoding all release the interpreter lock."""
    values = list(values)
    workers = min(8, os.cpu_count() or 1, 1 + len(values) // _CHUNK)
    if workers == 1:
        return [function(value) for value in values]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, values))


def raise_problems(problems: Sequence[Problem], root: Path, *, shown: int = 20) -> None:
    """Raise one error that lists the problems, if there are any.

    Raises:
        DataError: There are problems.
    """
    if not problems:
        return
    lines = [f"  {problem}" for problem in problems[:shown]]
    if len(problems) > shown:
        lines.append(f"  ... and {len(problems) - shown} more")
    count = f"{len(problems)} file{'s' if len(problems) > 1 else ''}"
    raise DataError(
        "\n".join([f"{count} cannot be used:", *lines, ""]),
        where=root,
        remedy="correct or remove them, or set data.on_error=skip to go on without them",
    )


def _caught(function: Callable[[Path], B]) -> Callable[[Path], B | FaultlineError]:
    def call(path: Path) -> B | FaultlineError:
        try:
            return function(path)
        except FaultlineError as error:
            return error

    return call

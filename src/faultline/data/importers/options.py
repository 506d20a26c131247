"""What an importer is asked to do, the rule for positive names, and the registry of formats."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from faultline.data.duplicates import MAX_DISTANCE
from faultline.data.manifest import Manifest
from faultline.errors import ConfigError, DataError
from faultline.registry import Registry, did_you_mean

Groups = Callable[[str], str] | Mapping[str, str]

IMPORTERS: Registry[Manifest] = Registry("data format", group="faultline.importers")
"""Builders take `root` (a Path) and `options` (`ImportOptions`) and return a `Manifest`."""

TASKS = ("segmentation", "classification")
"""What labels are read for: where something is, or whether a picture shows it."""

_CHOICES = {
    "task": TASKS,
    "on_error": ("skip", "raise"),
    "kind": ("auto", "binary", "multiclass", "multilabel"),
    "group_by": ("name", "near_duplicates"),
}


@dataclass(frozen=True)
class ImportOptions:
    """Settings that every importer gets.

    Attributes:
        positive: Parts of names that count as foreground, separated by commas, in any case, with
            `_` and `-` as spaces; `*` takes every name.
        on_error: `skip` leaves bad items out and lists them, `raise` stops with all of them.
        mask_colours: Name -> [red, green, blue] (or a list of such) of mask files in colour; the
            names `background` and `ignore` have the meaning they say.
        mask_rule: How mask files hold classes, `auto` to find out (see `data.mask_rules`).
        kind: Kind of label space; `auto` is binary, or multiclass where several are named.
        classes: Class names of index masks, background first.
        group_by: `name` joins augmented copies (`x.rf.1.jpg`, `x.rf.2.jpg`); `near_duplicates`
            also joins pictures that look the same.
        groups: Group of an item by its id, overriding names.
        task: What the labels are for. For `classification` every class counts, whatever
            `positive` says, and `kind=auto` keeps classes apart that `segmentation` would merge.
        duplicate_distance: How unlike `near_duplicates` may be, see `data.duplicates`.
        unused: Splits that nobody asks for: their pictures may be without labels.
        exact: `positive` is one whole name: "segment crack" is no part of "segment crack repair".
    """

    positive: str = "crack"
    on_error: str = "skip"
    mask_colours: Mapping[str, Any] | None = None
    mask_rule: str = "auto"
    kind: str = "auto"
    classes: tuple[str, ...] = ()
    group_by: str = "name"
    groups: Groups | None = None
    task: str = "segmentation"
    duplicate_distance: float = MAX_DISTANCE
    unused: tuple[str, ...] = ()
    exact: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(
                    f"{name}={value!r} is not a choice{did_you_mean(str(value), choices)}",
                    remedy=f"use one of {', '.join(choices)}",
                )
        if not self.terms:
            raise ConfigError(
                "positive is empty", remedy="give a part of the class name, or '*' for every class"
            )

    @property
    def terms(self) -> tuple[str, ...]:
        """Parts of names that count as foreground, as compared."""
        given = [self.positive] if self.exact else self.positive.split(",")
        parts = (_comparable(part) for part in given)
        return tuple(part for part in parts if part)

    @property
    def takes_all(self) -> bool:
        """Whether every name counts as foreground."""
        return "*" in self.terms or self.classifies

    @property
    def classifies(self) -> bool:
        """Whether the labels are to say what a picture shows, not where."""
        return self.task == "classification"

    def matches(self, name: str) -> bool:
        """Whether a category, prompt or folder name counts as foreground."""
        own = _comparable(name)
        if self.exact:
            return own in self.terms
        return self.takes_all or any(term in own for term in self.terms)

    def choose(self, names: Iterable[str], what: str, where: Any) -> list[str]:
        """The names that count as foreground, in their order.

        Raises:
            DataError: None does; the message lists them all.
        """
        names = list(dict.fromkeys(names))
        chosen = [name for name in names if self.matches(name)]
        if not chosen:
            raise DataError(
                f"no {what} matches positive={self.positive!r}; there are: "
                f"{', '.join(map(repr, names)) or 'none'}",
                where=where,
                remedy="set data.positive to a part of one of these names, or to '*' for all",
            )
        return chosen

    def foreground_name(self, chosen: Iterable[str] = ()) -> str:
        """Name of the foreground class of a binary label space made of the `chosen` names.

        It is what the user asked for, so that a model trained on one data set can be scored on
        another that calls the same thing `segment crack`; `*` takes the only name there is.
        """
        if not self.takes_all:
            return self.terms[0]
        names = list(dict.fromkeys(chosen))
        return names[0] if len(names) == 1 else "foreground"


def _comparable(name: str) -> str:
    return re.sub(r"[\s_\-]+", " ", name).strip().lower()

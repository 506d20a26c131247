"""Pictures that can be asked for several things: one label per class, and what is known absent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faultline.data.manifest import Item, Problem, label_hash
from faultline.data.masks import load_mask
from faultline.data.prompts import PromptTable
from faultline.types import IGNORE_INDEX, LabelKind, LabelSpace

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Part:
    """Where the mask of one class is found.

    Attributes:
        item: The item that holds it.
        space: What the item's labels mean.
        plane: Position of the class in `space`; None where it is the whole foreground.
    """

    item: Item
    space: LabelSpace
    plane: int | None = None


@dataclass(frozen=True)
class PromptItem:
    """One picture of one source.

    Attributes:
        item: The picture; its id and group begin with the name of the source.
        source: Name of the source.
        parts: Class -> its label, for every class that the picture shows.
        absent: Classes that it is known, or taken, not to show.
    """

    item: Item
    source: str
    parts: Mapping[str, Part]
    absent: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Source and path below it; unique over all sources."""
        return self.item.id

    @property
    def sha256(self) -> str:
        """Hash of the picture's bytes."""
        return self.item.sha256

    @property
    def group(self) -> str:
        """Items of one group show the same thing and never part."""
        return self.item.group

    @property
    def path(self) -> Path:
        """The picture file."""
        return self.item.path

    @property
    def shows(self) -> tuple[str, ...]:
        """Classes that the picture shows."""
        return tuple(self.parts)

    def mask_of(self, name: str) -> Pixels:
        """Mask of a class, (H, W) of 0, 1 and 255; empty where the picture does not show it.

        Raises:
            MaskError: The label does not fit the picture.
        """
        part = self.parts.get(name)
        if part is None:
            return np.zeros((self.item.height, self.item.width), np.uint8)
        return plane_of(load_mask(part.item, part.space), part.space, part.plane)

    def label_hash(self) -> str:
        """Hex SHA-256 over the labels of every class shown."""
        digest = hashlib.sha256()
        for name, part in sorted(self.parts.items()):
            digest.update(f"{name} {part.plane} {label_hash(part.item)}\n".encode())
        return digest.hexdigest()


@dataclass
class PromptParts:
    """Items by role over all sources, ready to train and evaluate on.

    Attributes:
        table: The classes that are trained, with their wordings.
        train: Items that weights are fitted on.
        valid: Items that epoch and thresholds are chosen on.
        test: Items that nothing is chosen on; may be empty.
        weights: Source -> how often it is drawn from, relative to the others.
        problems: Files that cannot be used, with reasons.
        notes: What was decided on the user's behalf.
    """

    table: PromptTable
    train: list[PromptItem]
    valid: list[PromptItem]
    test: list[PromptItem]
    weights: dict[str, float] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 over ids, pictures and labels of every part."""
        return fingerprint([*self.train, *self.valid, *self.test])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the table."""
        return tuple(self.table.classes)


def fingerprint(items: Sequence[PromptItem]) -> str:
    """Hex SHA-256 over ids, picture bytes and labels; independent of where the folders lie."""
    digest = hashlib.sha256()
    for row in sorted((item.id, item.sha256, item.label_hash()) for item in items):
        digest.update("\t".join(row).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def plane_of(mask: Pixels, space: LabelSpace, plane: int | None) -> Pixels:
    """One class of a mask as `load_mask` gives it, as (H, W) of 0, 1 and 255."""
    if plane is None or space.kind is LabelKind.BINARY:
        return mask
    if space.kind is LabelKind.MULTILABEL:
        return np.ascontiguousarray(mask[plane])
    own: Pixels = (mask == plane).astype(np.uint8)
    own[mask == IGNORE_INDEX] = IGNORE_INDEX
    return own

"""The types that every floor shares, and the shape legend.

Shape legend: B batch, C channels, H, W height and width (row, column), K classes, N items,
T frames, L tokens, D embedding. Pictures are (3, H, W); masks (H, W) or (K, H, W); boxes
(x0, y0, x1, y1) in pixels of the original picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from faultline.errors import ConfigError

IGNORE_INDEX = 255
"""Mask value of a pixel that no loss and no metric counts."""


BACKGROUND = "background"
"""Name of the class that is none."""


class LabelKind(StrEnum):
    """How classes relate: `binary` and `multilabel` use sigmoids, `multiclass` a softmax."""

    BINARY = "binary"
    MULTILABEL = "multilabel"
    MULTICLASS = "multiclass"


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """Names, colours and kind of the classes a data set is labelled with.

    Attributes:
        kind: Relation between classes.
        names: One name per class. `binary` has exactly one (the foreground); in masks,
            `multiclass` counts the background as class 0. Labels of whole pictures have no
            background: `multilabel` may have none of the classes, `multiclass` has one of them.
        colours: One (red, green, blue) triple per class, 0-255, used for drawing.
    """

    kind: LabelKind
    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.kind is LabelKind.BINARY and len(self.names) != 1:
            raise ValueError(f"a binary label space has one class, not {len(self.names)}")
        if not self.colours:
            object.__setattr__(self, "colours", default_colours(len(self.names)))
        if len(self.colours) != len(self.names):
            raise ValueError(f"{len(self.names)} names but {len(self.colours)} colours")

    @property
    def num_outputs(self) -> int:
        """Number of logit channels K that a model for this label space gives."""
        return len(self.names)

    @property
    def first(self) -> int:
        """Position of the first class of pixels that is no background.

        Several labels per pixel have a background where their first class is called so.
        """
        named = self.kind is LabelKind.MULTILABEL and self.names[0].lower() == BACKGROUND
        return int(named or self.kind is LabelKind.MULTICLASS)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        colours = [list(colour) for colour in self.colours]
        return {"kind": self.kind.value, "names": list(self.names), "colours": colours}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LabelSpace:
        """Inverse of `to_dict`."""
        colours = tuple((int(r), int(g), int(b)) for r, g, b in values.get("colours", ()))
        return cls(LabelKind(values["kind"]), tuple(values["names"]), colours)


_PALETTE = (
    (230, 57, 70), (29, 120, 216), (255, 183, 3), (42, 157, 143), (131, 56, 236),
    (251, 133, 0), (0, 150, 199), (214, 40, 134), (106, 153, 78), (120, 85, 60),
)  # fmt: skip


def default_colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """`count` drawing colours, repeating a palette that stays apart for colour-blind readers."""
    return tuple(_PALETTE[index % len(_PALETTE)] for index in range(count))


def check_threshold(value: float) -> float:
    """`value`, if it can be a threshold: 0 would paint everything, and 1 nothing.

    Raises:
        ConfigError: It does not lie between 0 and 1, both excluded, or is NaN.
    """
    if not 0.0 < value < 1.0:
        raise ConfigError(f"threshold={value!r} does not lie between 0 and 1, both excluded")
    return value

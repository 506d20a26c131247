"""From settings to a label space and, for masks in colour, the rule that reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from faultline.data.importers.options import ImportOptions
from faultline.data.mask_rules import BLACK, Colour, colour_rule
from faultline.errors import ConfigError
from faultline.types import LabelKind, LabelSpace

BACKGROUND = "background"
IGNORE = "ignore"


def named_space(names: Sequence[str], options: ImportOptions) -> LabelSpace:
    """Label space of chosen category names; in a binary one they are merged."""
    if options.kind == "multiclass":
        return LabelSpace(LabelKind.MULTICLASS, (BACKGROUND, *names))
    if options.kind == "multilabel" or (options.kind == "auto" and options.classifies):
        return LabelSpace(LabelKind.MULTILABEL, tuple(names))
    return LabelSpace(LabelKind.BINARY, (options.foreground_name(names),))


def class_position(space: LabelSpace, name: str) -> int:
    """Where a category is found in a space that `named_space` made."""
    return 0 if space.kind is LabelKind.BINARY else space.names.index(name)


def mask_space(options: ImportOptions, prompts: Sequence[str] = ()) -> tuple[LabelSpace, str]:
    """Label space of mask files and the rule to read them, `auto` where files have to tell.

    Raises:
        ConfigError: The settings contradict each other.
        DataError: The labels are binary and no named colour counts as foreground.
    """
    if options.mask_colours:
        if options.mask_rule not in ("auto", "rgb"):
            raise ConfigError(
                f"mask_rule={options.mask_rule} does not use mask_colours",
                remedy="leave out one of them",
            )
        return _colour_space(_colours(options.mask_colours), options)
    if options.kind == "multilabel":
        raise ConfigError(
            "several labels per pixel cannot be told from one grey mask",
            remedy="give mask_colours, or use data.kind=multiclass with data.classes",
        )
    if options.kind == "binary" or (options.kind == "auto" and not options.classes):
        name = options.foreground_name(prompts)
        return LabelSpace(LabelKind.BINARY, (name,)), options.mask_rule
    if len(options.classes) < 2:
        raise ConfigError(
            "the classes of index masks have no names",
            remedy="list them with data.classes, background first",
        )
    return LabelSpace(LabelKind.MULTICLASS, tuple(options.classes)), options.mask_rule


def _colour_space(
    colours: dict[str, list[Colour]], options: ImportOptions
) -> tuple[LabelSpace, str]:
    names = [name for name in colours if name not in (BACKGROUND, IGNORE)]
    kind = options.kind
    if kind == "auto":
        kind = "binary" if len(names) == 1 else "multiclass"
    chosen = names
    if kind == "binary" and len(names) > 1:
        chosen = options.choose(names, "colour name of mask_colours", None)
    drawn = [colours[name][0] for name in chosen]
    positions: dict[str, int]
    if kind == "binary":
        space = LabelSpace(LabelKind.BINARY, (options.foreground_name(chosen),), (drawn[0],))
        positions = dict.fromkeys(chosen, 0)
    elif kind == "multilabel":
        space = LabelSpace(LabelKind.MULTILABEL, tuple(chosen), tuple(drawn))
        positions = {name: index for index, name in enumerate(chosen)}
    else:
        ground = colours.get(BACKGROUND, [BLACK])[0]
        space = LabelSpace(LabelKind.MULTICLASS, (BACKGROUND, *chosen), (ground, *drawn))
        positions = {name: index for index, name in enumerate(chosen, 1)}
    return space, colour_rule(_classes_by_colour(colours, positions, kind == "multilabel"))


def _classes_by_colour(
    colours: dict[str, list[Colour]], positions: dict[str, int], several: bool
) -> dict[Colour, tuple[int, ...] | None]:
    table: dict[Colour, tuple[int, ...] | None] = {}
    owner: dict[Colour, str] = {}
    for name, values in colours.items():
        for colour in values:
            if colour in owner and (not several or {name, owner[colour]} & {BACKGROUND, IGNORE}):
                raise ConfigError(
                    f"mask_colours gives {list(colour)} to {owner[colour]!r} and {name!r}",
                    remedy="give each name its own colour, or use data.kind=multilabel",
                )
            owner[colour] = name
            if name == IGNORE:
                table[colour] = None
            else:
                own = (positions[name],) if name in positions else ()
                table[colour] = (*(table.get(colour) or ()), *own)
    return table


def _colours(given: Mapping[str, Any]) -> dict[str, list[Colour]]:
    """Checked colours, one or several a name."""
    colours: dict[str, list[Colour]] = {}
    for name, value in given.items():
        several = _is_list(value) and len(value) > 0 and _is_list(value[0])
        colours[str(name)] = [_colour(name, triple) for triple in (value if several else [value])]
    if not set(colours) - {BACKGROUND, IGNORE}:
        raise ConfigError("mask_colours names no class", remedy="add one, as name: [r, g, b]")
    return colours


def _colour(name: str, value: Any) -> Colour:
    numbers = list(value) if _is_list(value) else []
    if len(numbers) != 3 or not all(
        isinstance(number, int) and 0 <= number <= 255 for number in numbers
    ):
        raise ConfigError(
            f"mask_colours.{name}={value!r} is no colour",
            remedy="write [red, green, blue], each 0 to 255",
        )
    return numbers[0], numbers[1], numbers[2]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))

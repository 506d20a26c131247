"""How the values of a mask file are read: explicit rules, and the choice of one for a data set.

| rule | pixel values | meaning |
|---|---|---|
| `binary01` | 0, 1 | 1 is foreground |
| `binary0255` | 0, 255 | 255 is foreground |
| `index` | 0 ... K-1 and 255 | class index; 255 is ignore (binary: 0, 1 and 255) |
| `palette` | palette positions 0 ... K-1 and 255 | as `index`, in a palette file (PASCAL VOC) |
| `rgb:<table>` | colours of the table | classes of that colour; (0, 0, 0) is background |
| `threshold` | 0 ... 255 | from 128 on foreground; never chosen by itself |
| `<binary rule>@K` | as that rule | its foreground is class K; of class folders with masks |
| `apart:<rule>` | as that rule | classes that exclude each other, each a plane of its own |
| `bits:C` | 0 ... 2^K - 1 | bit c is class c; below confidence C ignore (`pseudo_masks`) |

A rule is one string, so that a manifest holds all that is needed to read its masks. A value that
a rule does not list is an error, at import and again at every reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from faultline.errors import MaskError
from faultline.types import IGNORE_INDEX, LabelKind, LabelSpace

Colour = tuple[int, int, int]
Value = int | Colour
Reading = Literal["grey", "palette", "rgb"]

RULE_NAMES = ("binary01", "binary0255", "index", "palette", "rgb", "threshold")
THRESHOLD = 128
BLACK: Colour = (0, 0, 0)
SHOWN = 10
_IGNORE_WORD = "ignore"
APART = "apart:"
"""Begins the rule of exclusive classes that are read as independent ones."""


@dataclass(frozen=True, slots=True)
class ValueTable:
    """A parsed rule.

    Attributes:
        rule: The string it came from.
        reading: What a pixel value is: grey level, palette position or colour.
        classes: Positions in the label space that a value stands for; () is background, None is
            ignore.
    """

    rule: str
    reading: Reading
    classes: Mapping[Value, tuple[int, ...] | None]

    def wants(self) -> str:
        """The values it takes, for a message."""
        if self.rule.partition("@")[0] == "threshold":
            return "0 to 255"
        return ", ".join(
            f"{value} = ignore" if classes is None else str(value)
            for value, classes in self.classes.items()
        )


@dataclass(frozen=True, slots=True)
class MaskScan:
    """What one mask file holds.

    Attributes:
        path: The file.
        width: Columns, in pixels.
        height: Rows, in pixels.
        lossy: Whether its format smears values (JPEG).
        grey: Grey levels, None where the file has real colours.
        palette: Palette positions, None where the file has no palette.
        colours: Colours (some hundred at most), None where they were not asked for.
    """

    path: Path
    width: int
    height: int
    lossy: bool
    grey: frozenset[int] | None
    palette: frozenset[int] | None = None
    colours: frozenset[Colour] | None = field(default=None)

    def values(self, reading: Reading) -> frozenset[int] | frozenset[Colour] | None:
        """Values under a reading, None where the file cannot be read so."""
        return {"grey": self.grey, "palette": self.palette, "rgb": self.colours}[reading]

    def fits(self, table: ValueTable) -> bool:
        """Whether every value is listed by the rule."""
        values = self.values(table.reading)
        return values is not None and all(value in table.classes for value in values)


def parse_rule(rule: str, space: LabelSpace) -> ValueTable:
    """The table of a rule string under a label space.

    Raises:
        MaskError: The rule is unknown, malformed, or does not apply to this kind of label space.
    """
    binary, at, position = rule.partition("@")
    if at:
        return _class_table(rule, binary, position, space)
    name, _, argument = rule.partition(":")
    if name == "rgb" and argument:
        return ValueTable(rule, "rgb", _parse_colours(argument, len(space.names)))
    if name in ("index", "palette") and space.kind is not LabelKind.MULTILABEL:
        reading: Reading = "palette" if name == "palette" else "grey"
        return ValueTable(rule, reading, _index_table(space))
    if space.kind is LabelKind.BINARY:
        if name in ("binary01", "binary0255"):
            return ValueTable(rule, "grey", {0: (), (1 if name == "binary01" else 255): (0,)})
        if name == "threshold":
            every: dict[Value, tuple[int, ...] | None] = {}
            every |= {value: (() if value < THRESHOLD else (0,)) for value in range(256)}
            return ValueTable(rule, "grey", every)
    if name == "rgb":
        raise MaskError("mask rule 'rgb' needs a colour table", remedy=_COLOUR_REMEDY)
    if name in RULE_NAMES:
        raise MaskError(
            f"mask rule {name!r} does not apply to {space.kind.value} labels",
            remedy="several labels per pixel need a colour table (data.mask_colours); "
            "several classes 'index', 'palette' or a colour table",
        )
    raise MaskError(f"unknown mask rule {rule!r}", remedy=f"use one of {', '.join(RULE_NAMES)}")


def allows_any_value(rule: str) -> bool:
    """Whether a file read by `rule` may well hold more than 0, 1 and 255."""
    name = rule.partition(":")[0].partition("@")[0]
    return name in ("threshold", "rgb", "palette", "index", "apart", "bits")


def rule_of_class(rule: str, position: int) -> str:
    """A binary rule whose foreground is the class at `position` of a multiclass space."""
    return f"{rule}@{position}"


def _class_table(rule: str, binary: str, position: str, space: LabelSpace) -> ValueTable:
    if not (position.isascii() and position.isdigit() and 0 < int(position) < len(space.names)):
        raise MaskError(
            f"mask rule {rule!r} names no class of 1 to {len(space.names) - 1}",
            remedy="import the data set again",
        )
    if space.kind is not LabelKind.MULTICLASS:
        raise MaskError(f"mask rule {rule!r} does not apply to {space.kind.value} labels")
    table = parse_rule(binary, LabelSpace(LabelKind.BINARY, (space.names[int(position)],)))
    classes = {
        value: (int(position),) if inside else inside for value, inside in table.classes.items()
    }
    return ValueTable(rule, table.reading, classes)


_COLOUR_REMEDY = "give data.mask_colours, a name and a colour each, such as {lesion: [255, 0, 0]}"


def colour_rule(table: Mapping[Colour, tuple[int, ...] | None]) -> str:
    """The rule string of a colour table; black becomes background unless the table lists it."""
    full = {BLACK: (), **table}
    return "rgb:" + ";".join(
        f"{red:02x}{green:02x}{blue:02x}="
        + (_IGNORE_WORD if classes is None else "+".join(map(str, classes)))
        for (red, green, blue), classes in full.items()
    )


def _parse_colours(text: str, count: int) -> dict[Value, tuple[int, ...] | None]:
    table: dict[Value, tuple[int, ...] | None] = {}
    try:
        for entry in text.split(";"):
            colour, classes = entry.split("=")
            red, green, blue = bytes.fromhex(colour)
            if classes == _IGNORE_WORD:
                table[red, green, blue] = None
            else:
                table[red, green, blue] = tuple(int(k) for k in classes.split("+") if k)
    except ValueError as error:
        raise MaskError(f"mask rule 'rgb:{text}' is malformed: {error}") from error
    used = [k for classes in table.values() for k in classes or ()]
    if used and not 0 <= min(used) <= max(used) < count:
        raise MaskError(f"mask rule 'rgb:{text}' names class {max(used)}, but there are {count}")
    return table


def _index_table(space: LabelSpace) -> dict[Value, tuple[int, ...] | None]:
    table: dict[Value, tuple[int, ...] | None] = {IGNORE_INDEX: None}
    if space.kind is LabelKind.BINARY:
        return {0: (), 1: (0,), **table}
    return {**{index: (index,) for index in range(len(space.names))}, **table}


def infer_mask_rule(
    values: Iterable[Value], space: LabelSpace, colours: Mapping[Colour, object] | None = None
) -> str:
    """The one rule name that fits the pixel values of a single mask.

    Args:
        values: Grey levels or (red, green, blue) triples that occur.
        space: Label space that the mask belongs to.
        colours: Colour table, where there is one; it then is the only rule.

    Raises:
        MaskError: No rule fits; the message shows the values and what each rule wants.
    """
    found = frozenset(values)
    if colours is not None:
        if all(value == BLACK or value in colours for value in found):
            return "rgb"
        listed: dict[Colour, tuple[int, ...] | None] = dict.fromkeys(colours, ())
        raise misfit(found, space, table=parse_rule(colour_rule(listed), space))
    for name in applicable_rules(space):
        if name != "palette" and found <= parse_rule(name, space).classes.keys():
            return name
    raise misfit(found, space)


def applicable_rules(space: LabelSpace) -> tuple[str, ...]:
    """Rules that may be chosen by themselves for a label space, colour tables aside."""
    if space.kind is LabelKind.BINARY:
        return ("binary01", "binary0255", "index", "palette")
    return ("index", "palette") if space.kind is LabelKind.MULTICLASS else ()


def resolve_rule(scans: Sequence[MaskScan], space: LabelSpace) -> str:
    """The one rule by which all masks of a data set are read.

    The rule that most files fit wins; files that do not fit it are for the caller to report. A
    mask that fits several (an empty one) follows the others.

    Raises:
        MaskError: More than half of the masks fit no rule, or the masks contradict each other.
    """
    # Empty masks fit every rule and say nothing.
    telling = [scan for scan in scans if scan.grey != frozenset({0})]
    tables = {name: parse_rule(name, space) for name in applicable_rules(space)}
    if not tables:
        parse_rule("index", space)  # raises: such labels need a colour table
    counts = {name: sum(scan.fits(tables[name]) for scan in telling) for name in tables}
    if space.kind is LabelKind.BINARY:
        _settle_255(telling, counts)
    elif telling and all(scan.grey and scan.grey <= {0, 255} for scan in telling):
        raise MaskError(
            f"the masks hold only 0 and 255, but the labels are {len(space.names)} classes, "
            "where 255 means ignore",
            where=telling[0].path,
            remedy="leave out the class names for a binary task, or set data.mask_rule=index",
        )
    best = max(counts, key=lambda name: counts[name])
    if 2 * counts[best] < len(telling):
        misfits = [scan for scan in telling if not any(map(scan.fits, tables.values()))]
        raise scan_misfit(
            (misfits or telling)[0],
            space,
            share=f"{len(telling) - counts[best]} of {len(scans)} masks do not fit one rule; ",
        )
    return best


def _settle_255(telling: Sequence[MaskScan], counts: dict[str, int]) -> None:
    """Decide whether 255 is foreground or ignore, or refuse; strikes `index` from `counts`."""
    both = sum({1, 255} <= scan.grey <= {0, 1, 255} for scan in telling if scan.grey is not None)
    only = counts["binary0255"]
    if both == 0:
        counts["index"] = 0
    if (both and only) or (only and only == counts["binary01"]):
        raise MaskError(
            f"the masks contradict each other: {counts['binary01']} hold 0 and 1, {only} hold 0 "
            f"and 255, {both} hold 1 and 255, so 255 may be foreground or ignore",
            where=telling[0].path.parent,
            remedy="set data.mask_rule to binary01, binary0255 or index",
        )


def scan_misfit(
    scan: MaskScan, space: LabelSpace, *, table: ValueTable | None = None, share: str = ""
) -> MaskError:
    """The error for a scanned mask that fits no rule, or not the `table` in use."""
    found = scan.values(table.reading) if table is not None else scan.grey
    if found is None:
        found = scan.colours or scan.grey or frozenset()
    return misfit(found, space, table=table, where=scan.path, lossy=scan.lossy, share=share)


def misfit(
    found: Iterable[Value],
    space: LabelSpace,
    *,
    table: ValueTable | None = None,
    where: Path | None = None,
    lossy: bool = False,
    share: str = "",
) -> MaskError:
    """The error for mask values that fit no rule; shows them, and what each rule wants."""
    values = sorted(found, key=lambda value: (isinstance(value, tuple), value))
    shown = ", ".join(map(str, values[:SHOWN]))
    if len(values) > SHOWN:
        shown += f" ... (first {SHOWN} of {len(values)})"
    kind = "colours" if values and isinstance(values[0], tuple) else "values"
    return MaskError(
        f"{share}mask {kind} {shown} {_wanted(space, table)}",
        where=where,
        remedy=_misfit_remedy(kind, len(values), lossy, space),
    )


def _wanted(space: LabelSpace, table: ValueTable | None) -> str:
    if table is not None:
        return f"do not fit the rule {table.rule.partition(':')[0]}, which wants {table.wants()}"
    wants = [
        f"{name} wants {parse_rule(name, space).wants()}"
        + (" in a palette file" if name == "palette" else "")
        for name in applicable_rules(space)
    ]
    return "fit no rule: " + "; ".join([*wants, "rgb wants a colour table"])


def _misfit_remedy(kind: str, count: int, lossy: bool, space: LabelSpace) -> str:
    cut = (
        f", or set data.mask_rule=threshold to take {THRESHOLD} and above as foreground"
        if space.kind is LabelKind.BINARY
        else ""
    )
    if lossy:
        return f"JPEG smears the values of a mask: export the masks as PNG{cut}"
    if kind == "colours":
        return _COLOUR_REMEDY
    if count > SHOWN:
        return f"the mask has soft edges: export it without smoothing{cut}"
    return "correct the file, or name the rule with data.mask_rule"

"""What an inspector says: prompts and short notes, for spoken sentences that a machine makes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from faultline.errors import DataError
from faultline.speech.tokenizer import normalise_text

PHRASES_NAME = "phrases.txt"

_VERBS = ("segment", "outline", "find", "mark", "show", "measure")
_THINGS = (
    "crack", "cracks", "wall crack", "floor crack", "joint", "drywall seam", "taping area",
    "rust", "spalling", "stain", "hole", "scratch", "dent", "leak", "peeling paint",
    "loose tile", "broken tile", "wet spot", "corrosion", "the weld",
)  # fmt: skip
_NOTES = (
    "crack above the door",
    "crack left of the window",
    "long crack on the north wall",
    "no defect found",
    "water stain on the ceiling",
    "rust on the lower beam",
    "tile broken at the corner",
    "seam not taped",
    "paint peels near the floor",
    "check again next week",
    "two holes in the panel",
    "joint open by three millimetres",
    "spalling on column four",
    "surface is clean",
    "needs repair today",
    "photograph from the ladder",
    "start of section two",
    "end of section two",
    "weld is sound",
    "scratch is not deep",
)  # fmt: skip

PHRASES: tuple[str, ...] = (
    *(f"{verb} {thing}" for verb, thing in product(_VERBS, _THINGS)),
    *_NOTES,
)
"""140 prompts and notes."""


def read_phrases(path: str | Path) -> tuple[str, ...]:
    """Lines of a text file, empty ones left out.

    Raises:
        DataError: It cannot be read, or has none.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as text: {error}", where=path) from error
    phrases = tuple(dict.fromkeys(filter(None, map(normalise_text, text.splitlines()))))
    if not phrases:
        raise DataError("holds no phrase", where=path, remedy="write one phrase per line")
    return phrases


def left_out_line(phrases: Sequence[str]) -> str:
    """What is said of phrases that a recogniser cannot write."""
    some = ", ".join(map(repr, phrases[:3])) + (", ..." if len(phrases) > 3 else "")
    return f"left out {len(phrases)} phrases with characters that this recogniser lacks: {some}"

"""From prompts to file names, by one rule.

Spaces become `_`; letters, digits, `-`, `.` and `_` stay; every other byte of the UTF-8 text is
written `%XX`. A name of more than 150 bytes is cut and gets `-` and eight hex digits of the
prompt's SHA-256. So do names that differ in upper and lower case only, or not at all, all of
them: some file systems would take them for one.
"""

from __future__ import annotations

import hashlib
import string
from collections import Counter
from collections.abc import Sequence

from faultline.predict.inputs import MAX_FILE_BYTES, shortened

MAX_BYTES = 150
"""Longest name of a prompt in a file name."""
_SAFE = frozenset(string.ascii_letters + string.digits + "-._")
_MARK_LENGTH = 9


def prompt_name(prompt: str) -> str:
    """The part of a file name that stands for `prompt`; ASCII, at most `MAX_BYTES` bytes."""
    name = _escaped(prompt)
    return name if len(name) <= MAX_BYTES else _marked(name, prompt)


def prompt_names(prompts: Sequence[str]) -> dict[str, str]:
    """Prompt -> its name, no two of which are equal but for case."""
    names = {prompt: prompt_name(prompt) for prompt in prompts}
    meeting = Counter(name.casefold() for name in names.values())
    return {
        prompt: _marked(name, prompt) if meeting[name.casefold()] > 1 else name
        for prompt, name in names.items()
    }


def result_name(stem: str, name: str, suffix: str = ".png") -> str:
    """`{stem}__{name}{suffix}`, the stem cut and marked where the whole would be too long."""
    room = MAX_FILE_BYTES - len(f"__{name}{suffix}".encode())
    return f"{shortened(stem, room)}__{name}{suffix}"


def _escaped(prompt: str) -> str:
    written = []
    for sign in prompt:
        if sign == " ":
            written.append("_")
        elif sign in _SAFE:
            written.append(sign)
        else:
            raw = sign.encode("utf-8", "surrogatepass")
            written.append("".join(f"%{byte:02X}" for byte in raw))
    return "".join(written)


def _marked(name: str, prompt: str) -> str:
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
    kept = name[: MAX_BYTES - _MARK_LENGTH]
    half = kept.rfind("%")
    if 0 <= len(kept) - 2 <= half:  # never half of a %XX
        kept = kept[:half]
    return f"{kept}-{digest[: _MARK_LENGTH - 1]}"

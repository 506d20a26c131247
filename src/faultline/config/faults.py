"""What is wrong with words and values of a configuration, in the words of who wrote them."""

from __future__ import annotations

import os
from functools import cache
from importlib import resources
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from faultline.config.flat import FLAT_KEYS
from faultline.config.schema import NESTED_SECTIONS, OPEN_SECTIONS, Config
from faultline.registry import did_you_mean

GROUPS = ("data", "augment")
"""Sections that also take the name of a shipped YAML file."""


@cache
def defaults() -> dict[str, Any]:
    """Every setting by its dotted key, with its default."""
    return dict(leaves(OmegaConf.to_container(OmegaConf.structured(Config))))


@cache
def sections() -> set[str]:
    """Keys that hold settings of their own."""
    own = {key.partition(".")[0] for key in defaults() if "." in key}
    return own | {*OPEN_SECTIONS, *NESTED_SECTIONS}


def leaves(values: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted keys and values; dictionaries inside open sections stay whole."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        opened = prefix.count(".") < 1 or name in NESTED_SECTIONS
        if isinstance(value, dict) and (value or name in OPEN_SECTIONS) and opened:
            inner = leaves(value, f"{name}.")
            found.extend(inner if not (name in OPEN_SECTIONS and not value) else [(name, {})])
        else:
            found.append((name, value))
    return found


def is_open(key: str) -> bool:
    """Whether `key` lies in a section whose keys a registry checks."""
    return any(key.startswith(f"{section}.") for section in OPEN_SECTIONS)


def group_names(group: str) -> list[str]:
    """Names of the shipped YAML files of a group."""
    folder = resources.files("faultline.config.conf") / group
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def word_fault(word: str, known: dict[str, Any]) -> str | None:
    """What is wrong with a word's form, key or emptiness, or with the file that it names.

    Args:
        word: In Hydra's grammar, short forms rewritten.
        known: As `defaults` gives them.
    """
    key, separator, value = word.partition("=")
    key = key.lstrip("+~")
    if not key or not (separator or word.startswith("~")):
        return _no_setting(word)
    is_known = key in known or key in GROUPS or key in OPEN_SECTIONS or is_open(key)
    if not is_known:
        return _unknown(key, known)
    if separator and not is_open(key) and not value.strip(" '\""):
        return _empty(key, known)
    try:
        parsed = OverridesParser.create().parse_override(word)
    except HydraException:
        return (
            f"{key}={value} cannot be read: close every bracket, and put text with special "
            f"characters in quotes of its own: '{key}=\"...\"'"
        )
    if key == "augment" and not (parsed.is_delete() or parsed.is_sweep_override()):
        return _augment_fault(parsed.value())
    return None


def type_fault(key: str, value: Any, known: dict[str, Any]) -> str:
    """That `value` is not of the type that the setting `key` has."""
    default = known.get(key)
    what = next((text for kind, text in _TYPES.items() if type(default) is kind), "one value")
    if key == "data.split_seed":
        what = "a whole number"
    shown = "null" if value is None else repr(value)
    return f"{key}={shown} must be {what}"


_TYPES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list, such as [a, b]",
    dict: "a table, such as {name: value}",
}


def _no_setting(word: str) -> str:
    if word and os.path.isdir(os.path.expanduser(word)):
        return f"{word!r} is a folder: write data={word} to use the pictures in it"
    return f"{word!r} is not of the form key=value, such as data=photos/ or model=unet_mini"


def _empty(key: str, known: dict[str, Any]) -> str:
    if key == "data":
        return "data is empty: give a folder, as in data=photos/"
    none = f", or {key}=null for none" if known.get(key, "") is None else ""
    return f"{key} is empty: give it a value{none}"


def _unknown(key: str, known: dict[str, Any]) -> str:
    inside = [name for name in known if name.startswith(f"{key}.")]
    if inside:
        return f"{key!r} is a section, not a setting: set what is in it, such as {inside[0]}"
    flat = FLAT_KEYS.get(key.upper())
    hint = did_you_mean(key, known) if flat is None else f", did you mean {flat[0]!r}?"
    return f"unknown setting {key!r}{hint}"


def _augment_fault(value: Any) -> str | None:
    """`augment=` takes the name of a shipped set; single augmentations have keys of their own."""
    names = group_names("augment")
    if str(value) in names:
        return None
    return (
        f"augment={value} is not one of {', '.join(names)}{did_you_mean(str(value), names)}; "
        "single augmentations are set like augment.flip.p=0.3"
    )

"""Settings that are paths: what `~` stands for, and paths that hold in any working folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

READ = (
    "data.root", "data.test", "data.split_file", "data.sources", "data.manifest", "data.more",
    "data.masks", "prompts.table", "model.pretrained", "model.weights", "init.weights",
)  # fmt: skip
"""Settings, of pictures or of speech, that name what a run reads; some also take other words."""

PATHS = ("output_dir", *READ)
"""All settings that name files or folders."""

_ROOT = "root"
"""The path in an entry of `data.sources`."""

Change = Callable[[str], str]


def expand_home(config: Any) -> None:
    """Put the home folder in place of a leading `~` of every path in a configuration."""
    _change(config, PATHS, os.path.expanduser)


def make_absolute(config: Any) -> None:
    """Make every path that a run reads absolute, so that it is found again from another folder."""
    _change(config, READ, _absolute)


def with_absolute_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of settings by dotted key, their paths as `make_absolute` makes them."""
    return {key: _moved(value, _absolute) if key in READ else value
            for key, value in settings.items()}  # fmt: skip


def same_folder(first: str | None, second: str | None) -> bool:
    """Whether two settings name one folder; False where one of them names none."""
    if first is None or second is None:
        return False
    return Path(first).expanduser().resolve() == Path(second).expanduser().resolve()


def _absolute(value: str) -> str:
    path = os.path.expanduser(value)
    # What does not exist is a word: "toy", "if_available", the name of a network on a hub.
    return os.path.abspath(path) if os.path.exists(path) else value


def _change(config: Any, keys: tuple[str, ...], change: Change) -> None:
    for key in keys:
        section, _, name = key.rpartition(".")
        holder = getattr(config, section, None) if section else config
        if isinstance(holder, dict):
            if name in holder:
                holder[name] = _moved(holder[name], change)
        elif hasattr(holder, name):
            setattr(holder, name, _moved(getattr(holder, name), change))


def _moved(value: Any, change: Change) -> Any:
    """A path, or those in a list or in an entry of `data.sources`, changed; the rest as it is."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_moved(one, change) for one in value]
    if isinstance(value, Mapping):
        return {key: _moved(one, change) if key == _ROOT else one for key, one in value.items()}
    return value

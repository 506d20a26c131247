"""Grids: named lists of words, and every combination of what they sweep over.

Words are of Hydra's grammar and are read by its own parser: `model=unet,unet_mini`,
`seed=range(0,3)`, `model.depth=choice(2,3)`. Combinations are formed as by Hydra's basic sweeper,
with three differences: deletions (`~augment.blur`) are kept as written, words that are no part of
the grammar (folders) stay what they are, and seeds vary slowest, so that a first seed of
everything is there early.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from faultline.config.compose import full_key
from faultline.errors import ConfigError
from faultline.registry import did_you_mean

MOST = 10_000
"""Combinations at most: a slip of the pen in a range is found before it fills a disk."""

VARIANT = "variant"
_KEYS = ("about", "words", "variants")
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Grid:
    """A list of words that has a name.

    Attributes:
        name: Its name.
        about: One line on the question that it asks.
        words: What varies, and what does not, in Hydra's grammar.
        variants: Name -> words that belong together; one of them joins each combination.
    """

    name: str
    about: str
    words: tuple[str, ...]
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Combination:
    """One point of a grid.

    Attributes:
        words: All of its settings.
        varied: Key -> value of those that vary in the grid.
    """

    words: tuple[str, ...]
    varied: dict[str, str]


def grid_names() -> list[str]:
    """Grids that come with the package."""
    names = (entry.name for entry in _folder().iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_grid(name: str) -> Grid:
    """A grid by its name, or from a YAML file of one's own.

    Raises:
        ConfigError: There is no such grid, or its file is not one.
    """
    path = Path(name).expanduser() if name.endswith(_SUFFIXES) else _folder() / f"{name}.yaml"
    if not path.is_file():
        names = grid_names()
        raise ConfigError(
            f"no grid {name!r}{did_you_mean(name, names)}",
            remedy=f"name a grid ({', '.join(names)}), give a YAML file, or write key=value words",
        )
    try:
        loaded: Any = OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:  # PyYAML and OmegaConf raise a whole family here
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"cannot be read as YAML: {reason}", where=path) from error
    return _checked(path, loaded)


def grid_rows() -> list[dict[str, Any]]:
    """The grids of the package as plain values."""
    return [asdict(load_grid(name)) for name in grid_names()]


def split_grid(words: Sequence[str]) -> tuple[Grid | None, list[str]]:
    """The grid that `words` begin with, if they do, and the settings beside it.

    Raises:
        ConfigError: There is no such grid.
    """
    if words and "=" not in words[0] and not words[0].startswith("~"):
        return load_grid(words[0]), list(words[1:])
    return None, list(words)


def combinations(
    words: Sequence[str], variants: Mapping[str, Sequence[str]] | None = None
) -> list[Combination]:
    """Every combination of the values that `words` list, and of `variants`.

    Of two words for one key the later one counts, as on Hydra's command line.

    Raises:
        ConfigError: A sweep that cannot be listed, or too many combinations.
    """
    axes: dict[str, list[tuple[str, ...]]] = {}
    for word in words:
        key, choices = _axis(word)
        axes[key] = [(choice,) for choice in choices]
    # Before the words of a variant, so that these win.
    ordered = sorted(axes, key=lambda key: key != "seed")
    lists = [axes[key] for key in ordered]
    names = list(variants or {})
    if variants:
        ordered.append(VARIANT)
        lists.append([tuple(variants[name]) for name in names])
    count = math.prod(len(choices) for choices in lists)
    if count > MOST:
        raise ConfigError(f"the grid has {count:,} points, more than {MOST:,}")
    found = []
    for chosen in itertools.product(*(enumerate(choices) for choices in lists)):
        varied = {
            key: names[index] if key == VARIANT else words[0].partition("=")[2]
            for key, choices, (index, words) in zip(ordered, lists, chosen, strict=True)
            if len(choices) > 1
        }
        together = itertools.chain.from_iterable(words for _, words in chosen)
        found.append(Combination(tuple(together), varied))
    return found


def _axis(word: str) -> tuple[str, list[str]]:
    """The key that a word sets, and one word for each of its values."""
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return full_key(word.partition("=")[0]), [word]
    key = override.get_key_element()
    if not override.is_sweep_override():
        return full_key(key), [word]
    if not override.is_discrete_sweep():
        raise _no_list(word, "an interval has no end of values")
    try:
        values = list(itertools.islice(override.sweep_string_iterator(), MOST + 1))
    except HydraException as error:
        raise _no_list(word, str(error).splitlines()[0]) from error
    if not values:
        raise _no_list(word, "it holds no value")
    return full_key(key), [f"{key}={value}" for value in values]


def _no_list(word: str, why: str) -> ConfigError:
    return ConfigError(
        f"{word!r} is no list of values: {why}", remedy="write key=a,b,c or key=range(0,3)"
    )


def _checked(path: Path, loaded: Any) -> Grid:
    if not isinstance(loaded, dict):
        raise ConfigError("must be a mapping of keys to values", where=path)
    unknown = [f"{key!r}{did_you_mean(str(key), _KEYS)}" for key in loaded if key not in _KEYS]
    if unknown:
        raise ConfigError(
            f"unknown keys: {', '.join(unknown)}", where=path, remedy=f"known: {', '.join(_KEYS)}"
        )
    words, variants = loaded.get("words") or [], loaded.get("variants") or {}
    if not isinstance(variants, dict):
        raise ConfigError("variants must be names, each with a list of words", where=path)
    lists = {str(name): listed or [] for name, listed in variants.items()}
    if not all(_are_words(listed) for listed in (words, *lists.values())):
        raise ConfigError("words and variants must be lists of text", where=path)
    named = {name: tuple(listed) for name, listed in lists.items()}
    return Grid(path.stem, str(loaded.get("about") or ""), tuple(words), named)


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _folder() -> Path:
    return Path(str(resources.files("faultline.experiments"))) / "grids"

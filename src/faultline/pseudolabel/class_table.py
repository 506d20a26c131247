"""What is known of each class: the channels of its signs, and what its masks must satisfy.

The table of the package is `classes.yaml` beside this file; a user's file of the same form adds
classes and replaces those of the same name.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from faultline.errors import ConfigError
from faultline.pseudolabel.channels import BACKGROUND, CHANNELS, HEALTHY
from faultline.registry import did_you_mean

MEASURES = ("plant", "healthy", "anomaly", "surface", "degradation", "signs")
GOLD_COUNT = 15

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip
_CONDITION = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*([0-9.eE+-]+)\s*")
_KEYS = frozenset({"channels", "names", "rules", "gold"})


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition on shares of the picture, such as `degradation > 0.03 or surface > 0.03`.

    Attributes:
        text: As it was written.
        alternatives: (measure, comparison, limit); one of them has to hold.
    """

    text: str
    alternatives: tuple[tuple[str, str, float], ...]

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read a rule.

        Raises:
            ConfigError: It is not of the form, or names no measure.
        """
        found = []
        for part in str(text).split(" or "):
            match = _CONDITION.fullmatch(part)
            if match is None or match[1] not in MEASURES:
                raise ConfigError(
                    f"rule {text!r} is not understood at {part!r}",
                    remedy=f"write MEASURE > NUMBER, joined by ' or '; "
                    f"measures: {', '.join(MEASURES)}",
                )
            found.append((match[1], match[2], float(match[3])))
        return cls(str(text), tuple(found))

    def holds(self, shares: Mapping[str, float]) -> bool:
        """Whether it holds for these shares of the picture, by measure."""
        return any(_COMPARE[sign](shares[name], limit) for name, sign, limit in self.alternatives)


@dataclass(frozen=True, slots=True)
class PlantClass:
    """One class of pictures.

    Attributes:
        name: As the table has it.
        primary: Channel of its signs; `HEALTHY` where it has none.
        secondary: Channel that strong discolouration is in as well, or None.
        names: Other names.
        rules: What its masks must satisfy.
        gold: Pictures in a gold set.
    """

    name: str
    primary: int
    secondary: int | None = None
    names: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    gold: int = GOLD_COUNT

    @property
    def channels(self) -> tuple[int, ...]:
        """Primary and, where there is one, secondary channel."""
        return (self.primary,) if self.secondary is None else (self.primary, self.secondary)


@dataclass(frozen=True)
class ClassTable:
    """Classes by name, and the rules that hold for all."""

    classes: Mapping[str, PlantClass]
    universal: tuple[Rule, ...] = ()

    @cached_property
    def _index(self) -> dict[str, PlantClass]:
        index = {comparable(entry.name): entry for entry in self.classes.values()}
        for entry in self.classes.values():
            for name in entry.names:
                index.setdefault(comparable(name), entry)
        return index

    def of(self, name: str) -> PlantClass:
        """The class that a folder's name means.

        Raises:
            ConfigError: There is none; the classes known are listed.
        """
        return self.of_all([name])[name]

    def of_all(self, names: Iterable[str]) -> dict[str, PlantClass]:
        """The classes that folders' names mean.

        Raises:
            ConfigError: Some mean none; all of these are told at once.
        """
        names = list(names)
        unknown = [name for name in names if comparable(name) not in self._index]
        if unknown:
            told = ", ".join(f"{name!r}{did_you_mean(name, self.classes)}" for name in unknown)
            raise ConfigError(
                f"no channels are known for class {told}; known: {', '.join(self.classes)}",
                remedy="rename the folder, or give --channel-map FILE with an entry for it "
                "(docs/pseudo-labels.md)",
            )
        return {name: self._index[comparable(name)] for name in names}


def comparable(name: str) -> str:
    """A class name without case, spaces and signs: `Red_rot`, `RedRot` and `red rot` are one."""
    return re.sub(r"[\W_]+", "", name).casefold()


def load_class_table(path: str | Path | None = None) -> ClassTable:
    """The table of the package, with the classes of `path` added.

    Raises:
        ConfigError: The file cannot be read, or an entry is not as it should be; all at once.
    """
    own = str(resources.files("faultline.pseudolabel") / "classes.yaml")
    table = _read(Path(own))
    if path is None:
        return table
    added = _read(Path(path))
    replaced = {comparable(name) for name in added.classes}
    kept = {n: entry for n, entry in table.classes.items() if comparable(n) not in replaced}
    return ClassTable({**kept, **added.classes}, added.universal or table.universal)


def _read(path: Path) -> ClassTable:
    try:
        values = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        raise ConfigError("there is no such table of classes", where=path) from None
    except Exception as error:  # PyYAML and OmegaConf raise a whole family here
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"cannot be read as YAML: {reason}", where=path) from error
    if not isinstance(values, dict) or not isinstance(values.get("classes"), dict):
        raise ConfigError(
            "has no `classes:`", where=path, remedy="see docs/pseudo-labels.md for the form"
        )
    problems: list[str] = []
    universal = _rules("universal", values.get("universal") or [], problems)
    entries = {
        str(name): _entry(str(name), given, problems) for name, given in values["classes"].items()
    }
    if problems:
        raise ConfigError("; ".join(problems), where=path)
    return ClassTable({n: entry for n, entry in entries.items() if entry is not None}, universal)


def _entry(name: str, given: Any, problems: list[str]) -> PlantClass | None:
    before = len(problems)
    if not isinstance(given, dict):
        problems.append(f"{name}: is {given!r}, not a table with `channels:`")
        return None
    unknown = sorted(set(map(str, given)) - _KEYS)
    if unknown:
        problems.append(f"{name}: unknown {', '.join(unknown)}; known: {', '.join(sorted(_KEYS))}")
    channels = _channels(name, given.get("channels"), problems)
    rules = _rules(name, given.get("rules") or [], problems)
    gold = given.get("gold", GOLD_COUNT)
    if not isinstance(gold, int) or gold < 1:
        problems.append(f"{name}: gold is {gold!r}, not a number of pictures")
    if len(problems) > before:
        return None
    names = tuple(str(one) for one in given.get("names") or ())
    secondary = channels[1] if len(channels) > 1 else None
    return PlantClass(name, channels[0], secondary, names, rules, gold)


def _channels(name: str, given: Any, problems: list[str]) -> list[int]:
    known = CHANNELS.names[HEALTHY:]
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, list) or not 1 <= len(words) <= 2:
        problems.append(f"{name}: channels is {given!r}, not one or two of {', '.join(known)}")
        return []
    wrong = [word for word in words if word not in known]
    problems += [
        f"{name}: no channel {word!r}{did_you_mean(str(word), known)}; known: {', '.join(known)}"
        for word in wrong
    ]
    found = [] if wrong else [CHANNELS.names.index(word) for word in words]
    if len(found) == 2 and (HEALTHY in found or found[0] == found[1]):
        problems.append(f"{name}: channels {', '.join(words)} do not go together")
    return [channel for channel in found if channel != BACKGROUND]


def _rules(name: str, given: Any, problems: list[str]) -> tuple[Rule, ...]:
    if not isinstance(given, list):
        problems.append(f"{name}: rules is {given!r}, not a list")
        return ()
    rules = []
    for text in given:
        try:
            rules.append(Rule.parse(text))
        except ConfigError as error:
            problems.append(f"{name}: {error}")
    return tuple(rules)

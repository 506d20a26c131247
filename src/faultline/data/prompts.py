"""Prompts: what a person may type, and which class of a data set it means.

The table of the package is `prompts.yaml` beside this file; a user's file of the same form adds
classes and replaces those of the same name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from faultline.errors import ConfigError, DataError
from faultline.registry import did_you_mean

MAX_LENGTH = 200
"""Longest prompt, in characters: a wish, not an essay."""

_LISTS = ("prompts", "nouns", "names", "related", "held_out")


@dataclass(frozen=True, slots=True)
class PromptClass:
    """One thing that can be asked for.

    Attributes:
        name: Of the class, as tables and settings have it.
        prompts: What is asked in reports; the first one stands for the class.
        nouns: Other words for it; wordings for training are made of them.
        names: What data sets call it.
        related: Classes that may be in the same place unlabelled: never asked for as absent.
        held_out: Wordings that no training sees.
    """

    name: str
    prompts: tuple[str, ...]
    nouns: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and YAML."""
        return {key: list(getattr(self, key)) for key in _LISTS}


@dataclass(frozen=True)
class PromptTable:
    """Classes by name, and the templates that nouns are put into.

    Attributes:
        classes: By name, in the order of the files.
        templates: With one `{}` each.
    """

    classes: Mapping[str, PromptClass]
    templates: tuple[str, ...] = ("{}", "segment {}")
    _index: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Exact names go first: "uneven" names a class before it is a noun of another.
        for kind in ("name", "names", "prompts", "nouns", "held_out"):
            for entry in self.classes.values():
                given = getattr(entry, kind)
                for text in [given] if kind == "name" else given:
                    self._index.setdefault(comparable(text), entry.name)

    def class_of(self, name: str) -> str | None:
        """The class that a data set's name or a known wording means; None for an unknown one."""
        return self._index.get(comparable(name))

    def only(self, names: Iterable[str]) -> PromptTable:
        """The part of the table that concerns these classes."""
        wanted = set(names)
        kept = {name: entry for name, entry in self.classes.items() if name in wanted}
        return PromptTable(kept, self.templates)

    def with_classes(self, names: Iterable[str]) -> PromptTable:
        """The same with an entry `segment <name>` for each class that it does not have."""
        new = {name: _plain_class(name) for name in names if name not in self.classes}
        return PromptTable({**self.classes, **new}, self.templates)

    def holding_out(self, wordings: Iterable[str]) -> PromptTable:
        """The same with more wordings kept out of training, prompts of the table among them.

        Raises:
            ConfigError: A wording means no class of the table, or is all that a class has.
        """
        classes = dict(self.classes)
        for text in wordings:
            name = self.class_of(text) or self._class_inside(text)
            if name is None:
                raise ConfigError(
                    f"prompts.held_out: {text!r} is not a wording of any class in the prompt table",
                    remedy=f"known classes: {', '.join(self.classes)}",
                )
            entry = classes[name]
            asked = tuple(one for one in entry.prompts if comparable(one) != comparable(text))
            if not asked:
                raise ConfigError(
                    f"prompts.held_out: {text!r} is the only prompt of {name!r}",
                    remedy="give the class another prompt in the file that prompts.table names",
                )
            held_out = (*entry.held_out, clean_prompt(text))
            classes[name] = replace(entry, prompts=asked, held_out=held_out)
        return PromptTable(classes, self.templates)

    def related(self, first: str, second: str) -> bool:
        """Whether one of two classes may be seen, unlabelled, where the other is."""
        if first == second:
            return True
        pairs = ((first, second), (second, first))
        return any(b in self.classes[a].related for a, b in pairs if a in self.classes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and YAML; `table_of` reads them back."""
        return {
            "templates": list(self.templates),
            "classes": {name: entry.to_dict() for name, entry in self.classes.items()},
        }

    def _class_inside(self, text: str) -> str | None:
        """The class whose longest noun is part of `text`."""
        words = f" {comparable(text)} "
        found = [
            (len(noun), entry.name)
            for entry in self.classes.values()
            for noun in entry.nouns
            if f" {comparable(noun)} " in words
        ]
        return max(found)[1] if found else None


def package_table() -> PromptTable:
    """The table that the package ships."""
    text = resources.files("faultline.data").joinpath("prompts.yaml").read_text(encoding="utf-8")
    return table_of(OmegaConf.to_container(OmegaConf.create(text)))


def load_table(path: str | Path | None = None) -> PromptTable:
    """The package's table, with the classes of a user's file added or replaced.

    Raises:
        ConfigError: The file cannot be read, or is not of the form of `prompts.yaml`; the message
            names every mistake.
    """
    table = package_table()
    if path is None:
        return table
    try:
        values = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        raise ConfigError("no such prompt table", where=path) from None
    except Exception as error:  # PyYAML and OmegaConf raise a whole family here
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"the prompt table cannot be read as YAML: {reason}", where=path
        ) from error
    own = table_of(values, where=path)
    given = isinstance(values, dict) and values.get("templates")
    templates = own.templates if given else table.templates
    # The user's classes come first: where two claim a wording, his is meant.
    rest = {name: entry for name, entry in table.classes.items() if name not in own.classes}
    return PromptTable({**own.classes, **rest}, templates)


def table_of(values: Any, where: str | Path | None = None) -> PromptTable:
    """A table from plain values.

    Raises:
        ConfigError: They are not of the form of `prompts.yaml`; every mistake is named.
    """
    problems: list[str] = []
    if not isinstance(values, dict) or not isinstance(values.get("classes"), dict):
        problems.append("it must hold `classes:` with one entry per class")
        values = {"classes": {}}
    for key in set(values) - {"classes", "templates"}:
        problems.append(f"unknown key {key!r}{did_you_mean(str(key), ('classes', 'templates'))}")
    templates = _texts(values.get("templates", ["{}", "segment {}"]), "templates", problems)
    problems += [f"template {text!r} needs one {{}}" for text in templates if text.count("{}") != 1]
    classes = {
        str(name): entry
        for name, given in values["classes"].items()
        if (entry := _entry(str(name), given, problems)) is not None
    }
    problems += shared_wordings(classes)
    if problems:
        raise ConfigError(
            f"the prompt table cannot be used: {'; '.join(problems)}",
            where=where,
            remedy="docs/prompts.md shows the form",
        )
    return PromptTable(classes, templates)


def clean_prompt(text: str, *, where: str | Path | None = None) -> str:
    """A prompt in one form: Unicode NFKC, no control characters, single spaces.

    Raises:
        DataError: Nothing is left, or it is longer than `MAX_LENGTH` characters.
    """
    plain = unicodedata.normalize("NFKC", text)
    plain = "".join(" " if unicodedata.category(sign)[0] in "ZC" else sign for sign in plain)
    plain = " ".join(plain.split())
    if not plain:
        raise DataError(
            f"the prompt {text!r} is empty",
            where=where,
            remedy='say what to look for, for example "segment crack"',
        )
    if len(plain) > MAX_LENGTH:
        raise DataError(
            f"the prompt {plain[:40]!r}... has {len(plain)} characters, at most {MAX_LENGTH} are "
            "taken",
            where=where,
            remedy="name the thing in a few words; several things are several prompts",
        )
    return plain


def comparable(text: str) -> str:
    """The form in which wordings are compared: lower case, words with single spaces between."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return " ".join(re.sub(r"[^\w]+|_", " ", plain).split())


def read_prompts(path: str | Path) -> tuple[list[str], list[str]]:
    """Prompts of a text file, one per line, and notes; empty lines and `#` comments are left out.

    A line that repeats an earlier one is asked once, and noted.

    Raises:
        DataError: The file cannot be read, holds no prompt, or a line is no prompt.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(
            f"the prompt file cannot be read: {error.strerror or error}", where=path
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            "the prompt file is not UTF-8 text", where=path, remedy="save it as UTF-8"
        ) from error
    first: dict[str, int] = {}
    notes: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        prompt = clean_prompt(line, where=f"{path}, line {number}")
        if prompt in first:
            notes.append(f"{path}: line {number} repeats line {first[prompt]}: asked once")
        first.setdefault(prompt, number)
    if not first:
        raise DataError(
            "the prompt file holds no prompt", where=path, remedy="write one prompt per line"
        )
    return list(first), notes


def unique_prompts(prompts: Sequence[str]) -> list[str]:
    """Prompts cleaned, each once, in order.

    Raises:
        DataError: One is empty or too long.
    """
    return list(dict.fromkeys(clean_prompt(text) for text in prompts))


def _plain_class(name: str) -> PromptClass:
    words = comparable(name) or name
    return PromptClass(name, (f"segment {words}",), (words,), (name,))


def _entry(name: str, given: Any, problems: list[str]) -> PromptClass | None:
    if not isinstance(given, dict):
        problems.append(f"class {name!r} must hold lists such as `prompts:`")
        return None
    for key in set(given) - set(_LISTS):
        problems.append(f"class {name!r}: unknown key {key!r}{did_you_mean(str(key), _LISTS)}")
    lists = {key: _texts(given.get(key, []), f"{name}.{key}", problems) for key in _LISTS}
    if not lists["prompts"]:
        problems.append(f"class {name!r} has no prompts")
        return None
    return PromptClass(name, **lists)


def _texts(given: Any, what: str, problems: list[str]) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        problems.append(f"{what} must be a list of texts")
        return ()
    found = []
    for text in given:
        try:
            found.append(clean_prompt(text))
        except DataError as error:
            problems.append(f"{what}: {error.what}")
    return tuple(found)


def shared_wordings(classes: Mapping[str, PromptClass]) -> list[str]:
    """Wordings that two classes claim: nobody could tell which one is meant."""
    owner: dict[str, str] = {}
    problems = []
    for entry in classes.values():
        for text in (*entry.prompts, *entry.nouns, *entry.held_out):
            other = owner.setdefault(comparable(text), entry.name)
            if other != entry.name:
                problems.append(f"{text!r} is a wording of {other!r} and of {entry.name!r}")
    return problems

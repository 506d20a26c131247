"""One registry class: a name leads to a builder, and a wrong name to the nearest right one."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Generic, TypeVar

from faultline.errors import ConfigError, UnknownNameError
from faultline.schemas import plain_value, settings_schema

T = TypeVar("T")
B = TypeVar("B", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered thing: its builder, the other names it answers to, and one line about it."""

    name: str
    builder: Callable[..., T]
    summary: str
    aliases: tuple[str, ...] = ()
    tags: frozenset[str] = field(default_factory=frozenset)

    def settings(self) -> dict[str, inspect.Parameter]:
        """Parameters that the builder accepts, by name."""
        parameters = inspect.signature(self.builder).parameters
        variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        return {name: value for name, value in parameters.items() if value.kind not in variadic}

    def describe(self) -> dict[str, Any]:
        """Name, aliases, summary, tags, and each setting with its default, as plain values.

        `schema` is the JSON schema of the settings: types, defaults, and what each one means.
        """
        defaults = {name: value.default for name, value in self.settings().items()}
        return {
            "name": self.name,
            "aliases": list(self.aliases),
            "summary": self.summary,
            "tags": sorted(self.tags),
            "settings": {name: _plain(value) for name, value in defaults.items()},
            "schema": settings_schema(self.builder),
        }

    @property
    def accepts_anything(self) -> bool:
        """Whether the builder takes `**settings`, so that names cannot be checked here."""
        parameters = inspect.signature(self.builder).parameters.values()
        return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


class Registry(Generic[T]):
    """Names to builders, open to plugins through an entry-point group.

    Args:
        kind: What is registered, as it reads in an error ("model", "loss").
        group: Entry-point group whose entries are loaded on first use.
    """

    def __init__(self, kind: str, group: str | None = None) -> None:
        self.kind = kind
        self._group = group
        self._entries: dict[str, Entry[T]] = {}
        self._aliases: dict[str, str] = {}
        self._plugins_loaded = group is None

    def register(
        self, name: str, *, aliases: Iterable[str] = (), summary: str = "", tags: Iterable[str] = ()
    ) -> Callable[[B], B]:
        """Decorator that registers a class or function under `name`.

        Raises:
            ConfigError: The name or an alias is taken by something else.
        """

        def add(builder: B) -> B:
            first_line = (inspect.getdoc(builder) or "").strip().partition("\n")[0]
            entry = Entry(name, builder, summary or first_line, tuple(aliases), frozenset(tags))
            for key in (name, *entry.aliases):
                taken = self._entries.get(self._aliases.get(key, key))
                if taken is not None and taken.builder is not builder:
                    raise ConfigError(f"{self.kind} {key!r} is already registered")
            self._entries[name] = entry
            self._aliases.update(dict.fromkeys(entry.aliases, name))
            return builder

        return add

    def __contains__(self, name: object) -> bool:
        self._load_plugins()
        return name in self._entries or name in self._aliases

    def __iter__(self) -> Iterator[Entry[T]]:
        self._load_plugins()
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name))

    def names(self) -> list[str]:
        """Registered names, sorted, without aliases."""
        return [entry.name for entry in self]

    def get(self, name: str) -> Entry[T]:
        """Entry of `name` or of the alias `name`.

        Raises:
            UnknownNameError: Nothing is registered so; the message lists the nearest names.
        """
        self._load_plugins()
        entry = self._entries.get(self._aliases.get(name, name))
        if entry is None:
            known = [*self._entries, *self._aliases]
            raise UnknownNameError(
                f"unknown {self.kind} {name!r}{did_you_mean(name, known)}",
                remedy=f"known: {', '.join(self.names())}",
            )
        return entry

    def build(self, name: str, **settings: Any) -> T:
        """Call the builder of `name` with `settings`.

        Raises:
            UnknownNameError: See `get`.
            ConfigError: A setting is not accepted by the builder, or a required one is missing.
        """
        return self.check(name, settings).builder(**settings)

    def check(self, name: str, settings: Iterable[str]) -> Entry[T]:
        """Entry of `name`, once it is known to accept `settings`; nothing is built.

        Raises:
            UnknownNameError: See `get`.
            ConfigError: A setting is not accepted by the builder.
        """
        entry = self.get(name)
        allowed = entry.settings()
        unknown = [] if entry.accepts_anything else [key for key in settings if key not in allowed]
        if unknown:
            hints = "; ".join(f"{key!r}{did_you_mean(key, allowed)}" for key in unknown)
            raise ConfigError(
                f"{self.kind} {entry.name!r} has no setting {hints}",
                remedy=f"its settings: {', '.join(allowed) or 'none'}",
            )
        return entry

    def _load_plugins(self) -> None:
        if self._plugins_loaded or self._group is None:
            return
        self._plugins_loaded = True
        for point in metadata.entry_points(group=self._group):
            try:
                loaded = point.load()
            except Exception as error:  # whatever the plugin's own code raises
                raise ConfigError(
                    f"plugin {point.value!r} cannot be loaded: {type(error).__name__}: {error}",
                    where=f"entry point {self._group}",
                    remedy="repair or uninstall the package that brings it",
                ) from error
            # A plugin may register by decorator on import, or offer a bare builder.
            if point.name not in self._entries and callable(loaded):
                self.register(point.name)(loaded)


def _plain(value: Any) -> Any:
    if value is inspect.Parameter.empty:
        return "required"
    return plain_value(value)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`", did you mean 'x'?"` for the nearest known name in any case, or an empty string."""
    by_folded: dict[str, str] = {}
    for one in known:
        by_folded.setdefault(one.casefold(), one)
    near = difflib.get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=0.5)
    return f", did you mean {by_folded[near[0]]!r}?" if near else ""

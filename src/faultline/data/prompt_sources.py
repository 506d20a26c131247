"""Data sets as sources of prompted training: which they are, and how each is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from faultline.config.schema import DataConfig
from faultline.errors import ConfigError, DataError
from faultline.registry import did_you_mean

_OWN = ("root", "name", "class", "absent", "weight")
_READING = (
    "format", "positive", "mask_rule", "mask_colours", "classes", "kind", "group_by",
    "duplicate_distance", "validation", "valid_fraction", "test_fraction", "on_error",
)  # fmt: skip
"""Settings of `data` that say how one source is read and split."""
_FOR_ALL = (
    "crop", "resize", "foreground_share", "crops_per_image", "batch_size", "num_workers", "cache",
    "cache_gib",
)  # fmt: skip
"""Those that say how pictures are fed, whatever source they are of."""
_SETTINGS = tuple(field.name for field in fields(DataConfig))
OPTIONS = (*_OWN, *_READING)
"""What an entry of `data.sources` may have."""


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes:
        root: Its folder.
        name: In ids and tables; the folder's name unless set.
        data: How its labels are read and split.
        class_name: The class that its only kind of label means, where names do not tell.
        absent: Which classes of other sources its pictures are taken not to show: `all`, `none`,
            or a list of them.
        weight: How often it is drawn from, relative to the others.
    """

    root: Path
    name: str
    data: DataConfig
    class_name: str | None = None
    absent: str | tuple[str, ...] = "all"
    weight: float = 1.0


def sources_of(data: DataConfig) -> list[Source]:
    """The sources that `data.sources` lists, or the one that `data.root` is.

    Raises:
        ConfigError: An entry is of the wrong form, or has an option that nothing would read; the
            message names every mistake. Or there is a `data.test`.
        DataError: Nothing is given, or a folder does not exist.
    """
    if data.test:
        raise ConfigError(
            f"data.test={data.test} is not read with prompts: each data set has its own test part",
            remedy="leave it out",
        )
    given = listed_sources(data.sources) or ([data.root] if data.root else [])
    if not given:
        raise DataError(
            "no data set was given",
            remedy="add 'data.sources=[FOLDER,FOLDER]', or data=FOLDER for a single one",
        )
    problems: list[str] = []
    found = [_source(entry, data, number, problems) for number, entry in enumerate(given)]
    if problems:
        raise ConfigError("; ".join(problems), remedy="docs/prompts.md lists the options")
    return _named([source for source in found if source is not None])


def listed_sources(given: Any) -> list[Any]:
    """Entries of `data.sources`: a list, or a YAML file with one.

    Raises:
        ConfigError: The file cannot be read, or holds no list.
    """
    if isinstance(given, str) and given:
        given = [given]
    entries: list[Any] = list(given or [])
    if len(entries) == 1 and str(entries[0]).endswith((".yaml", ".yml")):
        return _from_file(Path(str(entries[0])).expanduser())
    return entries


def _from_file(path: Path) -> list[Any]:
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        raise ConfigError("no such list of sources", where=path) from None
    except Exception as error:  # PyYAML and OmegaConf raise a whole family here
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"cannot be read as YAML: {reason}", where=path) from error
    if isinstance(loaded, dict) and "sources" in loaded:
        loaded = loaded["sources"]
    if not isinstance(loaded, list):
        raise ConfigError("must be a list of sources", where=path)
    return loaded


def _source(entry: Any, data: DataConfig, number: int, problems: list[str]) -> Source | None:
    what = f"data.sources[{number}]"
    if isinstance(entry, str):
        entry = {"root": entry}
    if not isinstance(entry, Mapping) or not entry.get("root"):
        problems.append(f"{what}: must be a folder, or options with `root:`")
        return None
    options = {str(key): value for key, value in entry.items()}
    problems += [f"{what}: {_refused(key)}" for key in options if key not in OPTIONS]
    weight, absent = options.get("weight", 1.0), options.get("absent", "all")
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not weight > 0:
        problems.append(f"{what}: weight {weight!r} is not above 0")
    if not (absent in ("all", "none") or _is_names(absent)):
        problems.append(f"{what}: absent {absent!r} is not `all`, `none` or a list of classes")
    if len(problems):
        return None
    root = Path(str(options["root"])).expanduser()
    if not root.is_dir():
        raise DataError("there is no such folder", where=root, remedy="give existing folders")
    reading = {key: value for key, value in options.items() if key in _READING}
    name = str(options.get("name") or root.resolve().name)
    return Source(
        root,
        name,
        replace(data, **{"positive": "*", **_single(data, reading), "root": str(root)}),
        None if options.get("class") is None else str(options["class"]),
        absent if isinstance(absent, str) else tuple(absent),
        float(weight),
    )


def _refused(key: str) -> str:
    """Why an entry cannot have the option `key`."""
    if key in _FOR_ALL:
        return f"{key!r} is the same for all sources: set data.{key}"
    if key in _SETTINGS:
        return f"{key!r} is not used in prompted training: leave it out"
    return f"unknown option {key!r}{did_you_mean(key, OPTIONS)}"


def _single(data: DataConfig, reading: dict[str, Any]) -> dict[str, Any]:
    """Options of a source; a data set given as data.root takes those of `data` itself."""
    return {"positive": data.positive, **reading} if not data.sources else reading


def _is_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


def _named(sources: Sequence[Source]) -> list[Source]:
    """Sources with different names: equal ones get their parent folder's name in front."""
    names = [source.name for source in sources]
    named = [
        replace(source, name=f"{source.root.resolve().parent.name}-{source.name}")
        if names.count(source.name) > 1
        else source
        for source in sources
    ]
    taken = [source.name for source in named]
    twice = sorted({name for name in taken if taken.count(name) > 1})
    if twice:
        raise ConfigError(
            f"data.sources: several sources are called {', '.join(twice)}",
            remedy="give each a name of its own (name: ...)",
        )
    return named

"""The plan of an ablation: which runs, under which names, in which folder."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faultline.errors import ConfigError
from faultline.experiments.grid import Combination, combinations, split_grid
from faultline.experiments.runners import RUNNERS, Runner, kind_of_words
from faultline.experiments.settings import settings_id
from faultline.files import write_json, write_text

PLAN_NAME = "ablation.json"
SETTINGS_NAME = "settings.yaml"
DEFAULT_NAME = "ablation"
SCHEMA = 1
_LONGEST = 60
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Point:
    """One run that is to be made.

    Attributes:
        id: Name of its settings: equal settings, equal id.
        folder: Name of its folder, in that of the ablation.
        words: What it was planned with.
        varied: Key -> value of what varies in the grid.
        settings: Its complete configuration, as YAML; empty where it was read back from disk.
    """

    id: str
    folder: str
    words: tuple[str, ...]
    varied: dict[str, str]
    settings: str = ""

    @property
    def label(self) -> str:
        """What tells it from the other points."""
        return " ".join(f"{key}={value}" for key, value in self.varied.items()) or self.folder

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"id": self.id, "folder": self.folder, "words": list(self.words),
                "varied": self.varied}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What an ablation consists of.

    Attributes:
        name: Of the ablation; also its folder's.
        kind: Kind of its runs; see `RUNNERS`.
        folder: Where everything goes.
        points: The runs, in order.
        same: Points of the grid that were left out, as their settings equal another's.
    """

    name: str
    kind: str
    folder: Path
    points: tuple[Point, ...]
    same: int = 0


def make_plan(words: Sequence[str], *, file: str | Path | None = None) -> Plan:
    """Read the grid, and check every one of its points before anything is run.

    Args:
        words: Name or file of a grid if there is one, then words of Hydra's grammar, which win.
            `experiment` and `output_dir` name the folder.
        file: YAML of settings under all points.

    Raises:
        ConfigError: Everything that is wrong with any point.
    """
    grid, own = split_grid(words)
    kind, given = kind_of_words([*(grid.words if grid else ()), *own])
    if file is not None and not Path(file).is_file():
        raise ConfigError("no such configuration file", where=file)
    runner = RUNNERS.build(kind)
    found = combinations(given, grid.variants if grid else None)
    configs = _configs(runner, found, None if file is None else Path(file))
    places = {(config.output_dir, config.experiment) for config in configs}
    if len(places) > 1:
        raise ConfigError(
            "output_dir and experiment cannot be swept: they name the ablation's one folder"
        )
    root, experiment = places.pop()
    name = experiment or (grid.name if grid else DEFAULT_NAME)
    folder = Path(root) / name
    points: dict[str, Point] = {}
    for combination, config in zip(found, configs, strict=True):
        point = _point(runner, folder, combination, config)
        points.setdefault(point.id, point)
    return Plan(name, kind, folder, tuple(points.values()), len(found) - len(points))


def save_plan(plan: Plan, command: str) -> None:
    """Write `ablation.json` and the settings of each point; points that were there stay.

    Raises:
        ConfigError: The folder holds an ablation of another kind.
        OutputError: It cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    before = _read(plan.folder) if (plan.folder / PLAN_NAME).is_file() else {}
    if before and before["kind"] != plan.kind:
        raise ConfigError(
            f"holds an ablation of {before['kind']}, not of {plan.kind}",
            where=plan.folder,
            remedy="give it another name with experiment=NAME",
        )
    points = {row["id"]: row for row in before.get("points", [])}
    points |= {point.id: point.to_dict() for point in plan.points}
    for point in plan.points:
        settings = plan.folder / point.folder / SETTINGS_NAME
        if point.settings and not settings.is_file():
            write_text(settings, point.settings)
    write_json(
        plan.folder / PLAN_NAME,
        {
            "schema": SCHEMA,
            "name": plan.name,
            "kind": plan.kind,
            "created": before.get("created", now),
            "updated": now,
            "commands": list(dict.fromkeys([*before.get("commands", []), command])),
            "points": list(points.values()),
        },
    )


def load_plan(folder: str | Path) -> Plan:
    """The plan that `folder` was made by.

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    folder = Path(folder)
    if not (folder / PLAN_NAME).is_file():
        raise ConfigError(
            f"holds no {PLAN_NAME}", where=folder, remedy="give a folder of `faultline ablate`"
        )
    values = _read(folder)
    points = tuple(
        Point(row["id"], row["folder"], tuple(row["words"]), dict(row["varied"]))
        for row in values["points"]
    )
    return Plan(values["name"], values["kind"], folder, points)


def _configs(runner: Runner, found: Sequence[Combination], file: Path | None) -> list[Any]:
    """Configuration of each point, all mistakes reported at once."""
    configs: list[Any] = []
    problems: dict[str, str] = {}
    for combination in found:
        try:
            config = runner.load(combination.words, file)
            runner.check(config)
        except ConfigError as error:
            # The same slip is usually in many points.
            problems.setdefault(str(error), " ".join(combination.words))
        else:
            configs.append(config)
    if problems:
        shown = [f"{error} (at {words})" for error, words in list(problems.items())[:_SHOWN]]
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ConfigError(f"nothing was run: {'; '.join(shown)}{more}")
    return configs


def _point(runner: Runner, folder: Path, combination: Combination, config: Any) -> Point:
    name = settings_id(config)
    # Another grid may have made this point before, and called it by what varied there.
    before = next(folder.glob(f"*-{name}"), None)
    own = f"{_slug(combination.varied)}-{name}" if before is None else before.name
    config.output_dir, config.experiment = str(folder), own
    return Point(name, own, combination.words, combination.varied, runner.write(config))


def _slug(varied: dict[str, str]) -> str:
    """A folder name that tells people what it is; the id behind it tells it from all others."""
    parts = [value if key != "seed" else f"seed{value}" for key, value in _seed_last(varied)]
    plain = "-".join(Path(part.strip("'\"")).name for part in parts)
    name = re.sub(r"[^\w.+=-]+", "_", plain)[:_LONGEST].strip("_.-")
    return name or "run"


def _seed_last(varied: dict[str, str]) -> list[tuple[str, str]]:
    return sorted(varied.items(), key=lambda pair: pair[0] == "seed")


def _read(folder: Path) -> dict[str, Any]:
    path = folder / PLAN_NAME
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for row in values["points"]:
            if not {"id", "folder", "words", "varied"} <= row.keys():
                raise KeyError("point")
        values["name"], values["kind"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"cannot be read ({type(error).__name__})",
            where=path,
            remedy="move it away and run the ablation's command again: finished runs are kept",
        ) from error
    return values

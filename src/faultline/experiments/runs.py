"""Reads run folders of every kind, also those that are still going or were cut short."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from faultline.artifacts.curves import History, read_history
from faultline.artifacts.run import RunFolder, is_run
from faultline.config.paths import with_absolute_paths
from faultline.errors import ConfigError
from faultline.experiments.points import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    STATE_NAME,
    read_state,
)
from faultline.experiments.scores import (
    HeldOutScores,
    Metric,
    held_out_scores,
    numbers,
    primary_metric,
)
from faultline.experiments.settings import flat

_QUIET = 300.0
"""Seconds without a sign of life, at least, until a run counts as cut short."""
_START = 1800.0
"""The same before its first epoch has ended."""
REPRODUCTION = "reproduction.json"
"""Mark of a run that repeats another one: see `faultline reproduce`."""

_PARTS = ("checkpoints", "metrics.csv", "provenance.json")


@dataclass(frozen=True)
class Run:
    """What is known of one run.

    Attributes:
        path: Its folder.
        name: Its folder, from the one that was asked for.
        kind: What was learnt: `segmentation`, `classification`, `speech`, ...
        status: `finished`, `running`, `interrupted` or `failed`.
        settings: Every setting, by dotted key.
        metric: The score that it was selected by.
        validation: Scores of its best epoch.
        test: Scores on its test set; None without.
        facts: Parameters, steps, seconds, speed, memory, as far as known.
        fingerprint: Hash of the data set.
        package: Hash of the package that made it.
    """

    path: Path
    name: str
    kind: str
    status: str
    settings: dict[str, Any]
    metric: Metric
    validation: dict[str, float]
    test: HeldOutScores | None
    facts: dict[str, float] = field(default_factory=dict)
    fingerprint: str | None = None
    package: str | None = None

    @property
    def seed(self) -> int | None:
        """Its seed."""
        seed = self.settings.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def model(self) -> str:
        """Name of its network."""
        return str(self.settings.get("model.name", "-"))


@dataclass(frozen=True)
class Broken:
    """A run folder that cannot be read, and why."""

    path: Path
    reason: str


def read_runs(
    paths: Sequence[str | Path], now: float | None = None
) -> tuple[list[Run], list[Broken]]:
    """Every run in `paths` and below, and those that cannot be read.

    Args:
        paths: Run folders, or folders above them.
        now: Time that "still going" is judged by, in seconds since 1970.

    Raises:
        ConfigError: A path does not exist, or there is no run at all.
    """
    runs: list[Run] = []
    broken: list[Broken] = []
    for root in (Path(path).expanduser() for path in paths):
        if not root.is_dir():
            raise ConfigError("no such folder", where=root, remedy="give a folder of runs")
        for folder in find_runs(root):
            try:
                runs.append(read_run(folder, _name(folder, root, paths), now))
            except (ConfigError, OSError, ValueError, LookupError, TypeError) as error:
                broken.append(Broken(folder, _reason(error)))
    if not runs and not broken:
        raise ConfigError("holds no run", where=", ".join(map(str, paths)))
    unique = {run.path.resolve(): run for run in runs}
    return list(unique.values()), broken


def find_runs(root: Path) -> Iterator[Path]:
    """Folders that are runs or parts of one, in order; links and hidden folders are left out.

    So are runs that repeat another one, but for `root` itself: they would count twice.
    """
    for current, folders, files in os.walk(root):
        folder = Path(current)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if is_run(folder) or len({*folders, *files} & set(_PARTS)) > 1:
            folders.clear()
            if folder == root or REPRODUCTION not in files:
                yield folder


def read_run(folder: Path, name: str = "", now: float | None = None) -> Run:
    """What is known of the run in `folder`.

    Raises:
        ConfigError: Its configuration is missing or cannot be read.
        ValueError: One of its files holds something else than it should.
    """
    run = RunFolder(folder)
    settings = _settings(run.config)
    results = _json(run.results)
    provenance = _json(run.provenance)
    history = read_history(run.metrics_csv)
    kind = str(results.get("task") or _kind(settings))
    metric = primary_metric(kind, results)
    best = numbers(results.get("best") or {}) or _best_row(history, metric)
    test = held_out_scores(folder, settings)
    return Run(
        path=folder,
        name=name or folder.name,
        kind=kind,
        status=_status(run, results, history, time.time() if now is None else now),
        settings=settings,
        metric=metric,
        validation={key: value for key, value in best.items() if key not in ("epoch", "step")},
        test=test,
        facts=_facts(results, history, best, test),
        fingerprint=provenance.get("data_fingerprint"),
        package=provenance.get("package_hash"),
    )


def _name(folder: Path, root: Path, paths: Sequence[str | Path]) -> str:
    inside = folder.relative_to(root).as_posix()
    if inside == ".":
        return folder.resolve().name
    return inside if len(paths) == 1 else f"{root.name}/{inside}"


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"{path.name} is missing")
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:  # PyYAML and OmegaConf raise a whole family here
        reason = " ".join(str(error).split())[:100]
        raise ConfigError(f"{path.name} cannot be read: {reason}") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("model"), dict):
        raise ConfigError(f"{path.name} is no configuration of a run")
    # Runs of before paths were stored as absolute ones are of the same data as later ones.
    return with_absolute_paths(flat({str(key): value for key, value in loaded.items()}))


def _json(path: Path) -> dict[str, Any]:
    """Content of a file that may not be there yet."""
    if not path.is_file():
        return {}
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path.name} is damaged: {error}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path.name} holds no table")
    return loaded


def _kind(settings: Mapping[str, Any]) -> str:
    """The kind of a run that has no results yet."""
    if any(key.startswith("frontend.") for key in settings):
        return "speech"
    task = settings.get("task")
    return str(task) if task and task != "auto" else "segmentation"


def _best_row(history: History, metric: Metric) -> dict[str, float]:
    """Scores of the best epoch so far, from the rows that were logged."""
    points = history.curves.get(f"val/{metric.name}", [])
    if not points:
        return {}
    pick = max if metric.higher_is_better else min
    position, _ = pick(points, key=lambda point: point[1])
    row = {
        key.removeprefix("val/"): value
        for key, curve in history.curves.items()
        if key.startswith("val/")
        for at, value in curve
        if at == position
    }
    return {**row, history.axis: position}


def _status(run: RunFolder, results: Mapping[str, Any], history: History, now: float) -> str:
    """`finished` and the like as written by the training, unless it has gone on since."""
    alive = _last_sign(run, "metrics.csv", "provenance.json", "checkpoints/last.ckpt")
    written = results.get("status")
    if written and alive <= run.results.stat().st_mtime + 1.0:
        return str(written)
    state = read_state(run.path.parent)
    if (run.path.parent / STATE_NAME).is_file() and state.run == run.path.name:
        if state.status == FAILED:
            return FAILED
        if state.status == INTERRUPTED:
            return INTERRUPTED
    if now - alive <= _patience(history):
        return RUNNING
    if written == FINISHED:
        return FINISHED
    # Without a resume point it died before it had done anything.
    return INTERRUPTED if run.last_checkpoint.is_file() else FAILED


def _last_sign(run: RunFolder, *names: str) -> float:
    times = [(run.path / name).stat().st_mtime for name in names if (run.path / name).is_file()]
    return max(times, default=run.path.stat().st_mtime)


def _patience(history: History) -> float:
    """Seconds of silence that are no reason to worry: three epochs."""
    ends = [value for _, value in history.curves.get("seconds", [])]
    if not ends:
        return _START
    lengths = [after - before for before, after in zip([0.0, *ends], ends, strict=False)]
    return max(_QUIET, 3 * max(lengths))


def _facts(
    results: Mapping[str, Any],
    history: History,
    best: Mapping[str, float],
    test: HeldOutScores | None,
) -> dict[str, float]:
    """What it cost, as far as known."""
    columns = {name: [value for _, value in curve] for name, curve in history.curves.items()}
    speeds = columns.get("images_per_second", [])
    last = {key: values[-1] for key, values in columns.items() if values}
    epochs = [position for curve in history.curves.values() for position, _ in curve]
    found: dict[str, Any] = {
        "parameters": results.get("parameters"),
        "epochs": results.get("epochs") or (max(epochs) + 1 if epochs else None),
        "best_epoch": best.get("epoch"),
        "steps": results.get("steps"),
        "seconds": results.get("seconds") or last.get("seconds"),
        "images_per_second": results.get("images_per_second")
        or (sum(speeds) / len(speeds) if speeds else None),
        "memory_mib": max([*columns.get("peak_memory_mib", []), *columns.get("memory_mib", [])],
                          default=None),
        "gpu_memory_mib": max(columns.get("gpu_peak_mib", []), default=None),
        "test_seconds_per_image": None if test is None else test.seconds_per_image,
    }  # fmt: skip
    return {
        key: float(value)
        for key, value in found.items()
        if isinstance(value, (int, float)) and value == value
    }


def _reason(error: Exception) -> str:
    if isinstance(error, ConfigError):
        return error.what
    return f"{type(error).__name__}: {error}"

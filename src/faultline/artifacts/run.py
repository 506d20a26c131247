"""Run folders: `<root>/<experiment>/<UTC time>-<id>/`, and how to find them again."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faultline.errors import BundleError, ConfigError, OutputError
from faultline.files import check_folder, write_json, write_text

CONFIG_NAME = "config.yaml"
LATEST_NAME = "latest"
BEST_NAME = "best.safetensors"
_CHECKPOINTS = "checkpoints"
_BEST_PLACES = (Path(_CHECKPOINTS) / BEST_NAME, Path(BEST_NAME))
_NAME = re.compile(r"[\w][\w.+=@ -]*")
_ATTEMPTS = 16
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one training, and the paths of everything in it."""

    path: Path

    @classmethod
    def create(cls, root: str | Path, experiment: str, config_yaml: str) -> RunFolder:
        """Make a new run folder with its `config.yaml`, and point `latest` at it.

        Args:
            root: Folder of all runs, made if needed.
            experiment: Name of the experiment: one folder name.
            config_yaml: The complete configuration, as text.

        Raises:
            ConfigError: `experiment` is not usable as a folder name.
            OutputError: The folder cannot be written.
        """
        check_experiment(experiment)
        home = Path(root) / experiment
        check_folder(home)
        try:
            run = cls(_new_folder(home))
            run.checkpoints.mkdir()
            run.plots.mkdir()
        except OSError as error:
            raise OutputError(
                f"a run folder cannot be made: {error.strerror or error}",
                where=home,
                remedy="check free space and permissions, or choose another root for runs",
            ) from error
        write_text(run.config, config_yaml)
        point_latest(home, run.path.name)
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """The run at `path`: its folder, a file in it, an experiment's folder, or `latest`.

        Raises:
            ConfigError: There is no run.
        """
        return cls(resolve_run(path))

    @property
    def config(self) -> Path:
        """The complete configuration, reusable as it is."""
        return self.path / CONFIG_NAME

    @property
    def provenance(self) -> Path:
        """Where, when and from what the run was made."""
        return self.path / "provenance.json"

    @property
    def metrics_csv(self) -> Path:
        """Loss and metrics while training."""
        return self.path / "metrics.csv"

    @property
    def results(self) -> Path:
        """What came out of it."""
        return self.path / "results.json"

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.path / "report.html"

    @property
    def checkpoints(self) -> Path:
        """Folder of weights."""
        return self.path / _CHECKPOINTS

    @property
    def best(self) -> Path:
        """The bundle of the best epoch."""
        return self.path / _BEST_PLACES[0]

    @property
    def last_checkpoint(self) -> Path:
        """State of an interrupted training; serves only to resume it."""
        return self.checkpoints / "last.ckpt"

    @property
    def plots(self) -> Path:
        """Folder of plots."""
        return self.path / "plots"

    def write_provenance(self, values: Mapping[str, Any]) -> None:
        """Write `provenance.json`.

        Raises:
            OutputError: It cannot be written.
        """
        write_json(self.provenance, dict(values))


def check_experiment(name: str) -> None:
    """Make sure that an experiment's folder can have this name.

    Raises:
        ConfigError: It cannot.
    """
    if not _NAME.fullmatch(name) or name == LATEST_NAME:
        raise ConfigError(
            f"experiment {name!r} cannot be a folder name",
            remedy="use letters, digits, '_', '-' and '.', starting with a letter or digit",
        )


def _new_folder(home: Path) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    for _ in range(_ATTEMPTS):
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = home / f"{stamp}-{secrets.token_hex(3)}"
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise FileExistsError(f"no free name in {home}")


def point_latest(home: Path, name: str) -> None:
    """Make `home/latest` lead to `home/name`, in one step: a link, or else a text file.

    Raises:
        OutputError: `home/latest` is a folder or cannot be written.
    """
    link = home / LATEST_NAME
    temporary = home / f".{LATEST_NAME}-{secrets.token_hex(4)}"
    try:
        temporary.symlink_to(name, target_is_directory=True)
    except (OSError, NotImplementedError):
        write_text(link, name + "\n")  # no links here (some Windows and network drives)
        return
    try:
        os.replace(temporary, link)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OutputError(
            f"cannot be pointed at the new run: {error.strerror or error}",
            where=link,
            remedy="move away what is there",
        ) from error


def follow_latest(path: str | Path) -> Path:
    """`path` with every `latest` that is a text file replaced by the folder it names."""
    current = Path()
    for part in Path(path).expanduser().parts:
        current = current / part
        if part == LATEST_NAME and current.is_file():
            name = current.read_text(encoding="utf-8", errors="replace").strip()
            if _NAME.fullmatch(name):
                current = current.with_name(name)
    return current


def resolve_run(path: str | Path) -> Path:
    """Folder of the run that `path` means: see `RunFolder.open`.

    Raises:
        ConfigError: There is no run.
    """
    start = follow_latest(path)
    candidates = [start, follow_latest(start / LATEST_NAME), *list(start.parents)[:2]]
    for candidate in candidates:
        if is_run(candidate):
            return candidate.resolve()
    raise ConfigError(
        "is not a run" if start.exists() else "does not exist",
        where=path,
        remedy=f"give a folder that `faultline train` made (it holds a {CONFIG_NAME}), "
        f"or the experiment's folder for its newest run",
    )


def is_run(folder: Path) -> bool:
    """Whether `folder` is one that `RunFolder.create` made."""
    # A config.yaml alone is not enough: many a project's own folder has one.
    return (folder / CONFIG_NAME).is_file() and (folder / _CHECKPOINTS).is_dir()


def resolve_weights(path: str | Path) -> Path:
    """The weights file that `path` means: itself, or the best of a run, or of the newest run.

    Raises:
        BundleError: There is none.
    """
    start = follow_latest(path)
    if start.is_file():
        return start
    for folder in (start, follow_latest(start / LATEST_NAME)):
        for place in _BEST_PLACES:
            if (folder / place).is_file():
                return folder / place
    raise _no_weights(path, start)


def _no_weights(path: str | Path, start: Path) -> BundleError:
    """The error for a place without weights, which says what there is instead."""
    if not start.is_dir():
        return BundleError("no such file or folder", where=path, remedy=_files_near(start))
    if found := _files(start):
        listed = ", ".join(map(str, found[:_SHOWN]))
        return BundleError(
            f"this folder holds no {BEST_NAME}", where=path, remedy=f"give one of {listed}"
        )
    newest = start if is_run(start) else follow_latest(start / LATEST_NAME)
    runs = sorted(_runs_below(start), key=lambda run: run.name, reverse=True)
    done = [run for run in runs if (run / _BEST_PLACES[0]).is_file()]
    if is_run(newest):
        its = "" if newest == start else f"the newest run there, {newest.resolve().name}, "
        what = f"{its}has no weights yet: its training has not validated"
        remedy = "wait for its first validation, or resume it"
        remedy += f"; earlier runs have weights: {_listed(done)}" if done else ""
        return BundleError(what, where=path, remedy=remedy)
    if done:
        what = f"this folder holds no {BEST_NAME}, but runs below it do"
        return BundleError(what, where=path, remedy=f"give one, newest first: {_listed(done)}")
    if runs:
        what = "no training in this folder has validated yet, so there are no weights"
        return BundleError(what, where=path, remedy="wait for a first validation, or resume one")
    return BundleError(f"this folder holds no {BEST_NAME}", where=path, remedy=_files_near(start))


def _files(folder: Path) -> list[Path]:
    return sorted({*folder.glob("*.safetensors"), *folder.glob("checkpoints/*.safetensors")})


def _files_near(path: Path) -> str:
    folder = next((one for one in (path, *path.parents) if one.is_dir()), Path())
    found = _files(folder)
    if not found:
        return f"give a run's folder or the {BEST_NAME} in it"
    return f"there: {', '.join(str(file) for file in found[:_SHOWN])}"


def _runs_below(folder: Path, depth: int = 3) -> Iterator[Path]:
    """Run folders in `folder`, its experiments and the points of an ablation."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                continue
            inner = Path(entry.path)
            if is_run(inner):
                yield inner
            elif depth > 1:
                yield from _runs_below(inner, depth - 1)


def _listed(runs: Sequence[Path]) -> str:
    """The newest runs, by the name that an experiment's newest one always has."""
    shown = [
        run.with_name(LATEST_NAME)
        if follow_latest(run.with_name(LATEST_NAME)).resolve() == run.resolve()
        else run
        for run in runs[:_SHOWN]
    ]
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return ", ".join(map(str, shown)) + more


def home_of(weights: str | Path) -> Path:
    """Folder where results on `weights` belong: its run, or else the folder of the file.

    Raises:
        BundleError: There are no such weights.
    """
    file = resolve_weights(weights)
    try:
        return resolve_run(file)
    except ConfigError:
        return file.resolve().parent

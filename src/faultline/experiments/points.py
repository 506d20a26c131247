"""One point of an ablation on disk: how far it got, and taking it to its end."""

from __future__ import annotations

import json
import time
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from faultline.artifacts.run import RunFolder, is_run
from faultline.errors import FaultlineError
from faultline.experiments.plan import SETTINGS_NAME
from faultline.experiments.runners import RUNNERS, Runner
from faultline.files import write_json, write_text
from faultline.training.kinds import Say

STATE_NAME = "state.json"
TRACE_NAME = "error.txt"

MISSING = "missing"
RUNNING = "running"
FINISHED = "finished"
FAILED = "failed"
INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class State:
    """How far a point got.

    Attributes:
        status: `missing`, `running`, `finished`, `failed` or `interrupted`. A point that is
            `running` while nobody works on the ablation was cut short.
        run: Name of its run folder.
        evaluation: Folder of the results on its test set, from the run's; None without one.
        error: What it failed of.
        seconds: What the last attempt took.
    """

    status: str = MISSING
    run: str | None = None
    evaluation: str | None = None
    error: str | None = None
    seconds: float = 0.0


def read_state(folder: Path) -> State:
    """The state of the point in `folder`; `missing` if it cannot be read, or its run is gone."""
    try:
        values = json.loads((folder / STATE_NAME).read_text(encoding="utf-8"))
        state = State(**{name: values[name] for name in State.__slots__ if name in values})
    except (OSError, ValueError, TypeError):
        return State()
    return state if state.run is None or (folder / state.run).is_dir() else State()


def write_state(folder: Path, state: State) -> State:
    """Write `state`, and give it back."""
    write_json(folder / STATE_NAME, asdict(state))
    return state


def newest_run(folder: Path) -> Path | None:
    """The last run in a point's folder."""
    if not folder.is_dir():
        return None
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    runs = [entry for entry in entries if not entry.is_symlink() and is_run(entry)]
    return max(runs, key=lambda run: run.name, default=None)


def run_point(folder: Path, kind: str, say: Say) -> State:
    """Train and evaluate the point in `folder`, or go on where it stopped.

    A failure is written down, not raised: the other points do not depend on it.

    Raises:
        KeyboardInterrupt: It was stopped from outside.
    """
    before = read_state(folder)
    started = time.monotonic()
    state = write_state(folder, replace(before, status=RUNNING, error=None))
    (folder / TRACE_NAME).unlink(missing_ok=True)

    def done(status: str, **values: Any) -> State:
        seconds = round(time.monotonic() - started, 1)
        run = newest_run(folder)
        name = None if run is None else run.name
        return write_state(
            folder, replace(state, status=status, run=name, seconds=seconds, **values)
        )

    try:
        runner = RUNNERS.build(kind)
        run = _trained(runner, folder, before, say)
        if run is None:
            return done(INTERRUPTED)
        return done(FINISHED, evaluation=_evaluated(runner, run, before, say))
    except KeyboardInterrupt:
        done(INTERRUPTED)
        raise
    except Exception as error:  # whatever a network or a data set raises concerns this point alone
        write_text(folder / TRACE_NAME, traceback.format_exc())
        return done(FAILED, error=_told(error))


def _trained(runner: Runner, folder: Path, before: State, say: Say) -> Path | None:
    """Its finished run; None where it was interrupted."""
    run = newest_run(folder)
    if run is not None and run_status(run) == FINISHED:
        say(f"trained before: {run}")
        return run
    # What failed is started anew: its last resume point may be what it failed of.
    if run is not None and before.status != FAILED and RunFolder(run).last_checkpoint.is_file():
        result = runner.train(None, say, run)
    else:
        _put_aside(run)
        config = runner.read(folder / SETTINGS_NAME)
        # Where the point lies now: the ablation may be gone on with from another folder.
        config.output_dir = str(folder.parent)
        result = runner.train(config, say, None)
    return None if result.interrupted else Path(result.run.path)


def _evaluated(runner: Runner, run: Path, before: State, say: Say) -> str | None:
    """Folder of the results on its test set, relative to the run's; None without such a set."""
    if before.run == run.name and before.evaluation and (run / before.evaluation).is_dir():
        return before.evaluation
    folder = runner.evaluate(run, say)
    if folder is None:
        say("no test set: scores are of validation")
        return None
    return folder.resolve().relative_to(run.resolve()).as_posix()


def run_status(run: Path) -> str:
    """`status` of a run's `results.json`; `missing` without one."""
    with suppress(OSError, ValueError, AttributeError):
        values = json.loads(RunFolder(run).results.read_text(encoding="utf-8"))
        return str(values.get("status", MISSING))
    return MISSING


def _put_aside(run: Path | None) -> None:
    """Hide a run that is started anew: nothing is deleted, and it is not counted twice."""
    if run is not None:
        run.rename(run.with_name(f".{run.name}"))


def _told(error: Exception) -> str:
    if isinstance(error, FaultlineError):
        return str(error)
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}"

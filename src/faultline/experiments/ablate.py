"""Runs what is missing of an ablation, one after another or side by side, and lists failures."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from faultline.errors import ConfigError
from faultline.experiments.plan import Plan, Point
from faultline.experiments.points import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    MISSING,
    RUNNING,
    State,
    read_state,
    run_point,
)
from faultline.training.kinds import Say

_LOCK_NAME = ".lock"
_LISTED = {MISSING: "missing", RUNNING: "cut short, will go on", INTERRUPTED: "will go on",
           FAILED: "failed, will be tried again", FINISHED: "finished"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ablation:
    """How an ablation ended.

    Attributes:
        states: One per point, in the order of the plan.
        interrupted: Whether it was stopped from outside; the same command goes on.
    """

    states: tuple[tuple[Point, State], ...]
    interrupted: bool = False

    @property
    def failed(self) -> list[tuple[Point, State]]:
        """Points that failed."""
        return [pair for pair in self.states if pair[1].status == FAILED]


def describe(plan: Plan) -> list[str]:
    """The plan in lines: each point and how far it got."""
    states = [read_state(plan.folder / point.folder) for point in plan.points]
    done = sum(state.status == FINISHED for state in states)
    lines = [f"{plan.folder}: {len(plan.points)} runs, {done} finished"]
    if plan.same:
        lines.append(f"  {plan.same} more points have the settings of another and are left out")
    for point, state in zip(plan.points, states, strict=True):
        lines.append(f"  {point.id}  {point.label}  [{_LISTED.get(state.status, state.status)}]")
    return lines


def ablate(plan: Plan, say: Say, *, jobs: int = 1, address: str | None = None) -> Ablation:
    """Take every point of `plan` to its end; what failed is listed, and the rest goes on.

    Args:
        plan: Saved before (`save_plan`).
        say: Takes lines of text.
        jobs: Runs side by side; above 1 they are fanned out by Ray, each in its own process.
        address: Of a Ray cluster that shares this file system, or `auto`; None stays here.

    Raises:
        ConfigError: Someone else works on this ablation.
        MissingExtraError: Ray is asked for and not installed.
    """
    if jobs < 1:
        raise ConfigError(f"--jobs {jobs}: must be at least 1")
    with _alone(plan.folder):
        todo = [point for point in plan.points
                if read_state(plan.folder / point.folder).status != FINISHED]  # fmt: skip
        say(f"{plan.folder}: {len(plan.points)} runs, {len(plan.points) - len(todo)} finished")
        if jobs == 1 and address is None:
            interrupted = _one_after_another(plan, todo, say)
        else:
            from faultline.experiments.cluster import fan_out

            interrupted = fan_out(plan, todo, say, jobs, address)
        states = tuple((point, read_state(plan.folder / point.folder)) for point in plan.points)
    return Ablation(states, interrupted)


def _one_after_another(plan: Plan, todo: Sequence[Point], say: Say) -> bool:
    """Whether it was interrupted."""
    clock = Clock(len(todo), say)
    for number, point in enumerate(todo, 1):
        say(f"[{number}/{len(todo)}] {point.label}")
        state = run_point(plan.folder / point.folder, plan.kind, say)
        if state.status == INTERRUPTED:
            return True
        clock.tick(point, state)
        # A trainer and its callbacks hold one another: they would pile up from run to run.
        gc.collect()
    return False


class Clock:
    """Says how each point ended and how long the rest will take.

    Args:
        count: Points in all.
        say: Takes lines of text.
    """

    def __init__(self, count: int, say: Say) -> None:
        self.count, self.say = count, say
        self.done = 0
        self._started = time.monotonic()

    def tick(self, point: Point, state: State) -> None:
        """One more has ended."""
        self.done += 1
        left = self.count - self.done
        spent = time.monotonic() - self._started
        rest = f"; {left} left, about {_minutes(spent / self.done * left)}" if left else ""
        how = f"FAILED: {state.error}" if state.status == FAILED else state.status
        self.say(f"{point.label}: {how} after {_minutes(state.seconds)}{rest}")


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two at work on one ablation would train the same points twice."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(
            "another `faultline ablate` is running in this folder",
            where=folder,
            remedy="wait until it has ended",
        ) from error
    try:
        yield
    finally:
        lock.release()

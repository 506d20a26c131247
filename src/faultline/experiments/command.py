"""What `faultline ablate` does: plan, run what is missing, and put the table beside the runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from faultline.artifacts.provenance import command_line
from faultline.errors import ConfigError
from faultline.experiments.ablate import Ablation, ablate, describe
from faultline.experiments.grid import grid_names
from faultline.experiments.plan import Plan, load_plan, make_plan, save_plan
from faultline.experiments.summarize import group_lines, summarize
from faultline.training.kinds import Say

_MOST_CURVES = 12
FAILURE, STOPPED = 1, 130


def run_ablation(
    words: Sequence[str],
    *,
    file: Path | None = None,
    resume: Path | None = None,
    dry_run: bool = False,
    jobs: int = 1,
    address: str | None = None,
    say: Say = print,
) -> int:
    """Make or go on with an ablation; the exit code: 0, 1 if a run failed, 130 if stopped.

    Args:
        words: See `make_plan`.
        file: YAML of settings under all points.
        resume: Folder of an ablation that goes on as it was planned.
        dry_run: Show the plan and do nothing.
        jobs: See `ablate`.
        address: See `ablate`.
        say: Takes lines of text.

    Raises:
        ConfigError: Anything wrong with any point; nothing is run then.
    """
    plan = _plan(words, file, resume)
    if dry_run:
        for line in describe(plan):
            say(line)
        return 0
    save_plan(plan, command_line(sys.argv))
    ended = ablate(plan, say, jobs=jobs, address=address)
    _show(plan, ended, say)
    if ended.interrupted:
        say(f"stopped; go on with: faultline ablate --resume {plan.folder}")
        return STOPPED
    for point, state in ended.failed:
        say(f"FAILED {point.label}: {state.error}")
    if ended.failed:
        say(f"{len(ended.failed)} of {len(plan.points)} runs failed; the same command tries them "
            "again")  # fmt: skip
    return FAILURE if ended.failed else 0


def _plan(words: Sequence[str], file: Path | None, resume: Path | None) -> Plan:
    if resume is None:
        if not words:
            raise ConfigError(
                "no grid was given",
                remedy=f"name one ({', '.join(grid_names())}) or write key=a,b words",
            )
        return make_plan(words, file=file)
    if words or file is not None:
        raise ConfigError(
            "--resume takes the plan of the ablation and no other settings",
            remedy="leave out the other settings, or run the original command again",
        )
    return load_plan(resume)


def _show(plan: Plan, ended: Ablation, say: Say) -> None:
    """The table of what there is; silent where no run has begun."""
    if not any(state.run for _, state in ended.states):
        return
    curves = ["all"] if len(plan.points) <= _MOST_CURVES else []
    summary = summarize([plan.folder], curves=curves, say=say)
    for block, leading in zip(summary.blocks, summary.leading, strict=True):
        for line in ("", *group_lines(block, leading), ""):
            say(line)
    say(f"tables in {plan.folder / 'summary.html'}, summary.md, summary.csv and groups.csv")

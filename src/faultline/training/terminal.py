"""What every training command says at the terminal, before a training and after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from faultline.errors import ConfigError

if TYPE_CHECKING:
    from faultline.training.fit import TrainingResult

INTERRUPTED = 130
"""Exit status of a command that Ctrl-C ended."""


def refuse_beside_resume(resume: Path | None, *others: object) -> None:
    """A resumed run is made with its own settings: what is given beside it would be lost.

    Raises:
        ConfigError: A run to resume and other settings are given.
    """
    if resume is not None and any(others):
        raise ConfigError(
            "--resume takes the settings of the run and no others",
            remedy="leave out the other settings, or start a new run without --resume",
        )


def tell_end(result: TrainingResult, command: str, say: Callable[[str], None]) -> int:
    """Say how a training ended, and how to go on; the exit status."""
    if result.interrupted and result.run.last_checkpoint.is_file():
        say(f"stopped; go on with: {command} --resume {result.run.path}")
        return INTERRUPTED
    if result.interrupted:
        say("stopped before the first step: there is nothing to resume, give the command again")
        return INTERRUPTED
    if result.verdict:
        say(result.verdict)
    say(f"weights {result.run.best}")
    return 0

"""What `faultline ensemble run` and `faultline ensemble predict` say, and their exit codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from faultline.ensemble.audit import AUDIT_NAME
from faultline.ensemble.plan import Rules, parse_stages
from faultline.ensemble.predict import predict_pictures
from faultline.ensemble.results import table_lines
from faultline.ensemble.run import run_ensemble
from faultline.evaluation.segmentation import shown

Say = Callable[[str], None]
_MOST = 5


def run_command(
    models: Sequence[str],
    words: Sequence[str],
    *,
    config: Path | None,
    save: Path | None,
    folds: int,
    seed: int,
    stages: str,
    halt_gap: float,
    student: str | None,
    say: Say,
) -> int:
    """Make an ensemble; exit code 0, 1 where the audit blocks, 130 where it was stopped.

    Raises:
        FaultlineError: See `run_ensemble`.
    """
    rules = Rules(
        folds=folds, seed=seed, stages=parse_stages(stages), halt_gap=halt_gap, student=student
    )
    done = run_ensemble(models, words, rules, file=config, save=save, say=say)
    if done.interrupted:
        say("stopped; the same command goes on")
        return 130
    for line in table_lines(done.results):
        say(line)
    _tell_skipped(done.results, say)
    found = done.results["leakage"]
    say(
        f"audit: {found['violations']} violations, {found['halts']} halts, "
        f"{found['warnings']} warnings: {done.folder / AUDIT_NAME}"
    )
    if done.blocked:
        _tell_blocked(done.blocked, halt_gap, say)
        return 1
    gain = done.results["gain"]["macro_f1"]
    say(
        f"chosen on validation: {done.results['chosen']}; macro-F1 on test minus that of "
        f"{done.results['gain']['over']} alone {shown(gain['value'])} "
        f"({shown(gain['low'])} to {shown(gain['high'])})"
    )
    say(f"results {done.folder / 'results.json'}")
    return 0


def _tell_skipped(results: dict[str, Any], say: Say) -> None:
    for row in results["skipped"]:
        say(f"SKIPPED stage {row['stage']} {row['name']}: {row['reason']}")


def _tell_blocked(blocked: Sequence[str], halt_gap: float, say: Say) -> None:
    say("no test result is reported:")
    for line in blocked[:_MOST]:
        say(f"  {line}")
    if len(blocked) > _MOST:
        say(f"  and {len(blocked) - _MOST} more")
    if any("a gap of" in line for line in blocked):
        say(
            f"a gap above {halt_gap:g} says that more was learnt by heart than was understood: "
            "train shorter, augment more, or take a smaller model; once you know why it is there, "
            "--halt-gap allows more, and the audit records that"
        )


def predict_command(
    weights: Path, inputs: Sequence[str], save: Path, *, device: str, precision: str, say: Say
) -> int:
    """Answer pictures; exit code 0, or 1 where some could not be answered.

    Raises:
        FaultlineError: See `predict_pictures`.
    """
    done = predict_pictures(weights, inputs, save, device=device, precision=precision, say=say)
    for file, reason in done.failed[:_MOST]:
        say(f"failed: {file}: {reason}")
    say(
        f"{done.written} pictures answered, {len(done.failed)} failed, in {done.seconds:.1f} s; "
        f"table {done.table}"
    )
    return 1 if done.failed else 0

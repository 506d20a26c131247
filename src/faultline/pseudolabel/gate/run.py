"""`faultline gate run`: pass or reject, with the reason, for every picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faultline.data.images import read_image
from faultline.errors import ConfigError, DataError, FaultlineError
from faultline.files import check_writable, write_json
from faultline.predict.inputs import Job, find_jobs
from faultline.progress import progress_bar
from faultline.pseudolabel.gate.ask import Gate
from faultline.pseudolabel.gate.decision import (
    MIN_COMPONENT,
    MIN_HEALTHY,
    MIN_LESION,
    REFERENCE_SIDE,
    Decision,
    Thresholds,
)

RESULTS_NAME = "gate_test_results.json"
EXPECTED = {"reject": 1.0, "pass": 0.97}
"""Targets of section 15: all pictures of something else rejected, more than 97 % of plants pass."""


@dataclass(frozen=True)
class GateRequest:
    """What `faultline gate run` is asked for.

    Attributes:
        inputs: Pictures, folders, globs.
        weights: One to three segmenters.
        thresholds: Report of a calibration; None asks for 15 % of every picture.
        save: Folder of the results.
        class_name: Class of the pictures, where it is known.
        expect: "pass" or "reject": what all pictures should get.
        lesion: Probability from which a sign of disease counts.
        device: See `Predictor`.
        say: Takes lines of text.
    """

    inputs: Sequence[Path]
    weights: Sequence[Path]
    thresholds: Path | None
    save: Path
    class_name: str | None = None
    expect: str | None = None
    lesion: float = MIN_LESION
    device: str = "auto"
    say: Callable[[str], None] = print


@dataclass
class GateResult:
    """What the gate said.

    Attributes:
        decisions: By file.
        failed: (file, reason) of pictures that cannot be read.
        met: Whether what was expected came true; None where nothing was.
    """

    decisions: dict[str, Decision] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    met: bool | None = None


def run_gate(request: GateRequest) -> GateResult:
    """Ask the gate about every picture; write `gate_test_results.json`.

    Raises:
        ConfigError: Thresholds or expectation cannot be used, or there are too many segmenters.
        BundleError: A bundle segments into other channels.
        DataError: There are no pictures.
        OutputError: The results cannot be written.
    """
    if request.expect not in (None, *EXPECTED):
        raise ConfigError(f"--expect {request.expect!r}", remedy="give pass or reject")
    thresholds = read_thresholds(request.thresholds)
    gate = Gate(request.weights, thresholds, request.class_name, request.lesion, request.device)
    jobs = find_jobs(list(request.inputs), None)
    if not jobs:
        raise DataError("there are no pictures", where=", ".join(map(str, request.inputs)))
    check_writable(request.save)
    result = GateResult()
    with progress_bar("pictures") as progress:
        for number, job in enumerate(jobs, 1):
            _ask(gate, job, result, request.say)
            progress(number, len(jobs))
    result.met = _met(result, request.expect)
    write_json(request.save / RESULTS_NAME, _to_dict(request, gate, result))
    for line in _summary(request, result):
        request.say(line)
    return result


def read_thresholds(path: Path | None) -> Thresholds:
    """Thresholds from a calibration report; the default for all where there is none.

    Raises:
        ConfigError: The file cannot be read or used.
    """
    if path is None:
        return Thresholds()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot be read: {error}",
            where=path,
            remedy="give the calibration_report.json of `faultline gate calibrate`",
        ) from error
    return Thresholds.from_dict(values, path)


def _ask(gate: Gate, job: Job, result: GateResult, say: Callable[[str], None]) -> None:
    name = str(job.source)
    try:
        decision = gate.ask(read_image(job.source))
    except FaultlineError as error:
        result.failed.append((name, str(error)))
        say(f"failed  {name}: {error}")
        return
    result.decisions[name] = decision
    say(f"{'pass  ' if decision.passed else 'reject'}  {name}: {decision.reason}")


def _met(result: GateResult, expect: str | None) -> bool | None:
    if expect is None or not result.decisions:
        return None if expect is None else False
    passed = sum(one.passed for one in result.decisions.values())
    total = len(result.decisions)
    if expect == "reject":
        return passed == 0
    return passed > EXPECTED["pass"] * total


def _to_dict(request: GateRequest, gate: Gate, result: GateResult) -> dict[str, Any]:
    return {
        **gate.describe(),
        "thresholds": None if request.thresholds is None else str(request.thresholds),
        "class": request.class_name,
        "least_component": {"pixels": MIN_COMPONENT, "of": [REFERENCE_SIDE, REFERENCE_SIDE]},
        "least_healthy": MIN_HEALTHY,
        "pictures": len(result.decisions),
        "passed": sum(one.passed for one in result.decisions.values()),
        "folders": _by_folder(result),
        "expected": request.expect,
        "met": result.met,
        "results": {name: one.to_dict() for name, one in result.decisions.items()},
        "failed": [{"file": file, "reason": reason} for file, reason in result.failed],
    }


def _by_folder(result: GateResult) -> dict[str, dict[str, int]]:
    """Pictures and passes of each folder, which is often a class."""
    folders: dict[str, dict[str, int]] = {}
    for name, one in result.decisions.items():
        row = folders.setdefault(Path(name).parent.name, {"pictures": 0, "passed": 0})
        row["pictures"] += 1
        row["passed"] += one.passed
    return folders


def _summary(request: GateRequest, result: GateResult) -> list[str]:
    passed = sum(one.passed for one in result.decisions.values())
    lines = [f"{passed} of {len(result.decisions)} pass, {len(result.failed)} failed"]
    if result.met is not None:
        wanted = "all rejected" if request.expect == "reject" else "more than 97 % to pass"
        lines.append(f"expected {wanted}: {'met' if result.met else 'NOT met'}")
    return [*lines, f"written: {request.save / RESULTS_NAME}"]

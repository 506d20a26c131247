"""What `faultline reproduce` does: train a run's settings again, and see whether it comes out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from faultline.artifacts.bundle import load_bundle
from faultline.artifacts.run import RunFolder
from faultline.errors import ConfigError
from faultline.experiments.compare import (
    Difference,
    WeightDifference,
    compare_environments,
    compare_histories,
    compare_tables,
    compare_weights,
)
from faultline.experiments.points import FINISHED
from faultline.experiments.runners import RUNNERS, Runner, kind_of_run
from faultline.experiments.runs import REPRODUCTION, read_run
from faultline.experiments.scores import Metric, numbers
from faultline.experiments.settings import PLACES
from faultline.files import write_json
from faultline.training.kinds import Say

IDENTICAL = "identical"
EQUIVALENT = "equivalent"
DIFFERENT = "different"
OTHER_DATA = "other data"


@dataclass(frozen=True)
class Reproduction:
    """What came of a second training.

    Attributes:
        verdict: `identical` (every bit of the weights), `equivalent` (they could not be, and the
            score is within tolerance), `different`, or `other data`.
        reason: One sentence.
        run: The second run; None where none was trained.
        weights: Of the best epoch.
        scores: Scores of the best epoch that differ.
        history: Where the epochs part.
        environment: Code, libraries and machine, where they differ.
        inexact: Why bits may differ; empty where they must not.
    """

    verdict: str
    reason: str
    run: Path | None = None
    weights: WeightDifference | None = None
    scores: list[Difference] = field(default_factory=list)
    history: list[Difference] = field(default_factory=list)
    environment: list[Difference] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)

    @property
    def reproduced(self) -> bool:
        """Whether the run came out again."""
        return self.verdict in (IDENTICAL, EQUIVALENT)

    def lines(self) -> list[str]:
        """For the console."""
        found = [] if self.weights is None else [f"weights      {self.weights}"]
        if self.weights is not None:
            found += _listed("scores", self.scores) or ["scores       equal"]
            found += _listed("history", self.history) or ["history      equal"]
            found += _listed("environment", self.environment) or ["environment  equal"]
        return [*found, f"{self.verdict}: {self.reason}"]


def reproduce(
    run: str | Path,
    *,
    save: str | Path | None = None,
    against: str | Path | None = None,
    tolerance: float = 0.02,
    say: Say = print,
) -> Reproduction:
    """Train the settings of `run` again with its number of threads, and compare.

    Args:
        run: A finished run.
        save: Folder of runs for the second one; by default that of the first, under
            `<experiment>-reproduced`.
        against: A run to compare with instead of training.
        tolerance: How far the score may be where bits cannot repeat: other versions, another
            machine, a GPU, or a time budget.
        say: Takes lines of text.

    Raises:
        ConfigError: There is no such run, or it is not finished.
        DataError: Its data cannot be read any more.
    """
    if not tolerance >= 0:
        raise ConfigError(f"--tolerance {tolerance}: must be 0 or more")
    first = RunFolder.open(run)
    _check_finished(first)
    if against is not None:
        second = RunFolder.open(against)
        _check_finished(second)
        return _report(first, second, tolerance)
    runner, config = _config(first)
    changed = _other_data(runner, config, first)
    if changed is not None:
        return Reproduction(OTHER_DATA, changed)
    root = first.path.parent
    config.output_dir = str(save if save is not None else root.parent)
    config.experiment = f"{root.name}-reproduced"
    with _threads(_json(first.provenance)):
        result = runner.train(config, say, None)
    if result.interrupted:
        raise KeyboardInterrupt
    found = _report(first, RunFolder(result.run.path), tolerance)
    write_json(result.run.path / REPRODUCTION, {"of": str(first.path), **_plain(found)})
    return found


def compare_runs(first: RunFolder, second: RunFolder, tolerance: float) -> Reproduction:
    """The verdict on two finished runs of equal settings."""
    before, after = _json(first.provenance), _json(second.provenance)
    read = read_run(first.path)
    weights = compare_weights(load_bundle(first.path).state, load_bundle(second.path).state)
    best, again = (numbers(_json(one.results).get("best") or {}) for one in (first, second))
    environment = compare_environments(before, after)
    inexact = _why_inexact(read.settings, before, environment)
    verdict, reason = _judge(weights, best, again, read.metric, inexact, tolerance)
    return Reproduction(
        verdict,
        reason,
        second.path,
        weights,
        compare_tables(best, again),
        compare_histories(first.metrics_csv, second.metrics_csv),
        environment,
        inexact,
    )


def _report(first: RunFolder, second: RunFolder, tolerance: float) -> Reproduction:
    before, after = (read_run(one.path).settings for one in (first, second))
    # A later version may have settings that the first run did not know.
    other = [one for one in compare_tables(before, after)
             if one.name not in PLACES and one.name in before and one.name in after]  # fmt: skip
    if other:
        raise ConfigError(
            f"the runs have other settings: {'; '.join(map(str, other[:3]))}",
            where=second.path,
            remedy="compare runs of equal settings",
        )
    prints = [_json(one.provenance).get("data_fingerprint") for one in (first, second)]
    if prints[0] != prints[1]:
        return Reproduction(OTHER_DATA, _data_changed(*prints), second.path)
    return compare_runs(first, second, tolerance)


def _judge(
    weights: WeightDifference,
    best: Mapping[str, float],
    again: Mapping[str, float],
    metric: Metric,
    inexact: list[str],
    tolerance: float,
) -> tuple[str, str]:
    if weights.identical:
        return IDENTICAL, "every bit of the weights came out again"
    off = abs(best.get(metric.name, math.nan) - again.get(metric.name, math.nan))
    said = f"{metric.name} is off by {off:.4g}"
    if not inexact:
        return DIFFERENT, f"nothing explains it: same data, code, libraries and machine; {said}"
    why = f"bits need not repeat ({'; '.join(inexact[:3])})"
    if off <= tolerance:
        return EQUIVALENT, f"{said}, within {tolerance:g}; {why}"
    return DIFFERENT, f"{said}, more than {tolerance:g}; {why}"


def _why_inexact(
    settings: Mapping[str, Any], before: Mapping[str, Any], environment: list[Difference]
) -> list[str]:
    """Reasons for which the same training may give other bits."""
    reasons = [f"other {difference.name}" for difference in environment]
    if settings.get("trainer.max_time"):
        reasons.append("trainer.max_time: the number of steps depends on the machine")
    on_gpu = (before.get("device") or {}).get("type") not in (None, "cpu")
    if on_gpu:
        repeat = bool(settings.get("deterministic"))
        reasons.append(
            "some kernels of a GPU do not repeat, deterministic=true or not"
            if repeat
            else "most kernels of a GPU repeat only with deterministic=true"
        )
    if settings.get("trainer.devices") not in (None, 1):
        reasons.append("several devices")
    return reasons


def _check_finished(run: RunFolder) -> None:
    status = _json(run.results).get("status")
    if status != FINISHED or not run.best.is_file():
        raise ConfigError(
            f"is not a finished run (status {status or 'missing'})",
            where=run.path,
            remedy=f"finish it first: faultline train --resume {run.path}",
        )


def _config(run: RunFolder) -> tuple[Runner, Any]:
    runner = RUNNERS.build(kind_of_run(_sections(run)))
    return runner, runner.read(run.config)


def _sections(run: RunFolder) -> dict[str, Any]:
    """Top-level keys of the configuration, sections without their content."""
    settings = read_run(run.path).settings
    return {key.partition(".")[0]: value for key, value in settings.items()}


def _other_data(runner: Runner, config: Any, run: RunFolder) -> str | None:
    """Why a second training would learn from something else; None if it would not."""
    before = _json(run.provenance).get("data_fingerprint")
    after = runner.prepare(config).fingerprint
    return None if before in (None, after) else _data_changed(before, after)


def _data_changed(before: Any, after: Any) -> str:
    return (
        f"the data set has changed since (fingerprint {str(before)[:12]} -> {str(after)[:12]}); "
        "nothing can be said about the training"
    )


@contextmanager
def _threads(provenance: Mapping[str, Any]) -> Iterator[None]:
    """As many threads as the run had: sums in another order give other bits."""
    wanted, now = (provenance.get("device") or {}).get("threads"), torch.get_num_threads()
    torch.set_num_threads(int(wanted or now))
    try:
        yield
    finally:
        torch.set_num_threads(now)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"is damaged: {error}", where=path) from error
    return loaded


def _plain(found: Reproduction) -> dict[str, Any]:
    values = asdict(found)
    return {**values, "run": str(found.run)}


def _listed(title: str, differences: list[Difference], most: int = 6) -> list[str]:
    lines = [f"{title if not index else '':<12} {difference}"
             for index, difference in enumerate(differences[:most])]  # fmt: skip
    more = len(differences) - most
    return [*lines, f"{'':<12} and {more} more"] if more > 0 else lines

"""A training in phases: each a fit of its own that starts from the best weights of the one before.

`phases.json` tells which phases are finished; `checkpoints/phase_<name>.safetensors` are their
best weights. A run that was stopped goes on in the phase that its resume point belongs to.
"""

from __future__ import annotations

import csv
import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from faultline.artifacts.bundle import Bundle, load_bundle, save_bundle
from faultline.artifacts.run import RunFolder
from faultline.config.schema import Config
from faultline.config.validate import duration
from faultline.files import link_or_copy, write_bytes, write_json
from faultline.seeding import seed_everything
from faultline.training.fit import Fitting, Ready, TrainingResult
from faultline.training.kinds import P, Say, TrainingKind

LOG_NAME = "phases.json"
_LEAST_SECONDS = 1.0


class Phase(Protocol):
    """What is known of a phase from outside."""

    @property
    def name(self) -> str:
        """Unique in its training."""
        ...

    @property
    def title(self) -> str:
        """In words."""
        ...

    @property
    def epochs(self) -> int:
        """Epochs at most."""
        ...


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a training goes on after a phase.

    Attributes:
        stops: Whether it does not.
        line: Why, in words.
    """

    stops: bool
    line: str


class PhasedKind(TrainingKind[P]):
    """A kind of training in phases. Loaders, scorer and guards are those of the phase entered."""

    @abstractmethod
    def phases(self, config: Config) -> Sequence[Phase]:
        """The phases, in order; those of no epochs left out."""

    @abstractmethod
    def enter(self, phase: Phase, config: Config, task: Any) -> Config:
        """Begin a phase: prepare `task` for it; gives the settings that hold in it."""

    def gate(
        self, phase: Phase, bundle: Bundle, run: RunFolder, ready: Ready
    ) -> tuple[Gate, Bundle] | None:
        """Whether training goes on after `phase`, and its best bundle with the answer in it."""
        return None

    def choose(self, bests: dict[str, dict[str, Any]]) -> str:
        """The phase whose best weights the run ends with, by their scores."""
        return list(bests)[-1]


@dataclass
class PhaseLog:
    """What is finished of a training in phases.

    Attributes:
        path: `phases.json`.
        finished: Entry of each finished phase, by name.
        stopped: Why no further phase is run; empty where one is.
    """

    path: Path
    finished: dict[str, dict[str, Any]] = field(default_factory=dict)
    stopped: str = ""

    @classmethod
    def read(cls, path: Path) -> PhaseLog:
        """That of a run which goes on; an empty one where nothing was finished."""
        if not path.is_file():
            return cls(path)
        known = json.loads(path.read_text(encoding="utf-8"))
        finished = {str(entry["name"]): entry for entry in known["phases"]}
        return cls(path, finished, str(known["stopped"]))

    @property
    def seconds(self) -> float:
        """Time spent in finished phases."""
        return max((float(entry["seconds"]) for entry in self.finished.values()), default=0.0)

    @property
    def bests(self) -> dict[str, dict[str, Any]]:
        """Best scores of each finished phase."""
        return {name: entry["best"] for name, entry in self.finished.items()}

    def write(self) -> None:
        """Write it, in one step."""
        write_json(self.path, {"phases": list(self.finished.values()), "stopped": self.stopped})


def fit_phases(
    kind: PhasedKind[Any],
    ready: Ready,
    run: RunFolder,
    provenance: dict[str, Any],
    say: Say,
    resumed: bool,
) -> TrainingResult:
    """Train phase after phase; arguments as for `Fitting`."""
    return _Phases(kind, ready, run, provenance, say).fit(resumed)


@dataclass
class _Phases:
    kind: PhasedKind[Any]
    ready: Ready
    run: RunFolder
    provenance: dict[str, Any]
    say: Say

    def __post_init__(self) -> None:
        self.log = PhaseLog(self.run.path / LOG_NAME)

    def fit(self, resumed: bool) -> TrainingResult:
        """Run every phase that is left, then settle on the weights to keep."""
        phases = list(self.kind.phases(self.ready.config))
        goes_on_in = None
        if resumed:
            self.log = PhaseLog.read(self.log.path)
            goes_on_in = _phase_of(self.run.last_checkpoint)
        for index, phase in enumerate(phases):
            if phase.name in self.log.finished:
                continue
            if self.log.stopped:
                break
            result = self._run(phase, index, phases[index:], goes_on_in == phase.name)
            if result.interrupted:
                return result
        return self._settled()

    def _run(
        self, phase: Phase, index: int, left: Sequence[Phase], resumed: bool
    ) -> TrainingResult:
        config, task = self.ready.config, self.ready.task
        if self.log.finished:
            before = list(self.log.finished)[-1]
            task.network.load_state_dict(load_bundle(self._kept(before)).state)
        # Each phase draws from its own seed, so that it is the same after a stop between phases.
        config = replace(config, seed=(config.seed + index) % 2**32)
        seed_everything(config.seed, deterministic=config.deterministic)
        config = self.kind.enter(phase, config, task)
        config.trainer = replace(
            config.trainer, max_epochs=phase.epochs, max_time=self._budget(config, left)
        )
        prepared, precision = self.ready.prepared, self.ready.precision
        ready = Ready(
            config, prepared, precision, task,
            self.kind.training_loader(config, prepared),
            self.kind.validation_loader(config, prepared),
            self.kind.scorer(config, prepared, precision.precision),
        )  # fmt: skip
        fitting = Fitting(self.kind, ready, self.run, self.provenance, self.say)
        fitting.history.go_on(self._rows(), self.log.seconds)
        self.say(f"phase {phase.name}: {phase.title}")
        result = fitting.fit(resumed)
        if not result.interrupted:
            self._finish(phase, fitting, result)
        return result

    def _finish(self, phase: Phase, fitting: Fitting, result: TrainingResult) -> None:
        """Keep the best weights of a phase, and ask whether to go on."""
        link_or_copy(self.run.best, self._kept(phase.name))
        bundle = load_bundle(self._kept(phase.name))
        answer = self.kind.gate(phase, bundle, self.run, fitting.ready)
        if answer is not None:
            gate, bundle = answer
            self._replace(phase.name, bundle)
            self.say(gate.line)
            self.log.stopped = gate.line if gate.stops else ""
        self.log.finished[phase.name] = {
            "name": phase.name,
            "title": phase.title,
            "epochs": result.results["epochs"],
            "steps": result.results["steps"],
            "seconds": result.results["seconds"],
            "last_epoch": fitting.history.rows[-1]["epoch"] if fitting.history.rows else -1,
            "best": fitting.selection.best,
        }
        self.log.write()

    def _replace(self, name: str, bundle: Bundle) -> None:
        save_bundle(self._kept(name), bundle)
        write_bytes(self.run.best, self._kept(name).read_bytes())

    def _settled(self) -> TrainingResult:
        """Put the chosen weights in place, and write the results of the whole."""
        bests = self.log.bests
        chosen = self.kind.choose(bests)
        write_bytes(self.run.best, self._kept(chosen).read_bytes())
        config = self.ready.config
        results: dict[str, Any] = json.loads(self.run.results.read_text(encoding="utf-8"))
        results |= {
            "best": {**bests[chosen], "phase": chosen},
            "config": asdict(config),
            "seed": config.seed,
            "loss": config.loss,
            "epochs": sum(entry["epochs"] for entry in self.log.finished.values()),
            "steps": sum(entry["steps"] for entry in self.log.finished.values()),
            "seconds": self.log.seconds,
            "phases": list(self.log.finished.values()),
            "stopped": self.log.stopped,
            "parameters": sum(weights.numel() for weights in self.ready.task.network.parameters()),
            **self.kind.results(config, self.ready.prepared, self.ready.task),
        }
        write_json(self.run.results, results)
        verdict = f"phase {chosen}: {self.kind.verdict(bests[chosen])}"
        return TrainingResult(self.run, results, False, verdict)

    def _kept(self, name: str) -> Path:
        return self.run.checkpoints / f"phase_{name}.safetensors"

    def _budget(self, config: Config, left: Sequence[Phase]) -> str | None:
        """The share of the time that is left which is this phase's, by its epochs."""
        whole = duration(config.trainer.max_time)
        if whole is None:
            return None
        rest = whole.total_seconds() - self.log.seconds
        share = left[0].epochs / sum(phase.epochs for phase in left)
        return f"{max(_LEAST_SECONDS, rest * share):.3f}s"

    def _rows(self) -> list[dict[str, Any]]:
        """Rows of `metrics.csv` of finished phases."""
        if not self.log.finished or not self.run.metrics_csv.is_file():
            return []
        last = max(int(entry["last_epoch"]) for entry in self.log.finished.values())
        with self.run.metrics_csv.open(encoding="utf-8", newline="") as stream:
            rows = [_numbers(row) for row in csv.DictReader(stream)]
        return [row for row in rows if row["epoch"] <= last]


def _numbers(row: dict[str, str]) -> dict[str, Any]:
    whole = ("epoch", "step")
    return {key: int(value) if key in whole else float(value)
            for key, value in row.items() if value}  # fmt: skip


def _phase_of(checkpoint: Path) -> str | None:
    # Our own file, with optimizer and random states: not a pickle from elsewhere.
    known = torch.load(checkpoint, map_location="cpu", weights_only=False)
    name = known.get("phase")
    return None if name is None else str(name)

"""What `faultline ensemble run` does: members, stages, audit, and only then the test pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faultline.artifacts.run import RunFolder
from faultline.config.compose import to_yaml
from faultline.config.schema import Config
from faultline.ensemble import stages  # noqa: F401  (registers them)
from faultline.ensemble.audit import Audit
from faultline.ensemble.distillation import LABEL, NUMBER, Distillation, Student
from faultline.ensemble.fitting import (
    Fitted,
    Skipped,
    best_of,
    candidates,
    check_scores,
    fit_stages,
    not_built,
    score_line,
)
from faultline.ensemble.members import Member, make_member, test_table
from faultline.ensemble.plan import FULL, Division, Rules, classifier_config, member_configs
from faultline.ensemble.results import run_results, write_results
from faultline.ensemble.saved import forget_ensemble, save_ensemble
from faultline.ensemble.tables import Inputs, Role
from faultline.errors import ConfigError
from faultline.files import check_writable, write_json
from faultline.metrics.inputs import Floats

Say = Callable[[str], None]
PLAN_NAME = "plan.json"


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        folder: Where everything lies.
        results: What `results.json` holds; empty where it was interrupted.
        interrupted: Whether it was stopped from outside; the same call goes on.
        blocked: What the audit found that forbids test results.
    """

    folder: Path
    results: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False
    blocked: list[str] = field(default_factory=list)


def run_ensemble(
    models: Sequence[str],
    words: Sequence[str],
    rules: Rules,
    *,
    file: Path | None = None,
    save: Path | None = None,
    say: Say = print,
) -> Outcome:
    """Train the base models out of fold, fit the stages, audit them, and score on test.

    Args:
        models: Names of base models.
        words: Settings of their trainings, as for `faultline train`.
        rules: Settings of the ensemble.
        file: YAML of settings.
        save: The output folder; by default one named by the settings.
        say: Takes lines of text.

    Raises:
        ConfigError: Wrong settings, or the folder holds another plan.
        LeakageError: A stage was given what it may not see.
        FaultlineError: See `faultline.training.fit.train`.
    """
    configs = member_configs(models, words, file)
    taught = configs[next(iter(configs))]
    if rules.student is not None:
        taught = classifier_config(rules.student, words, file)
    first = next(iter(configs.values()))
    folder = save if save is not None else _own_folder(configs, rules)
    check_writable(folder)
    division = Division.of(first, rules)
    _keep_plan(folder, configs, rules, division)
    division.save_splits(folder / "splits", rules.seed)
    _announce(division, say)
    anchors = division.anchors(rules.anchors, rules.seed)
    members: list[Member] = []
    for name, config in configs.items():
        member = make_member(name, config, division, anchors, folder, say)
        if member is None:
            return Outcome(folder, interrupted=True)
        members.append(member)
    student = Distillation(taught, division, anchors, folder, say)
    return _Ensembling(configs, rules, division, members, student, folder, say).finish()


class _Ensembling:
    """From trained members to results."""

    def __init__(
        self, configs: dict[str, Config], rules: Rules, division: Division,
        members: Sequence[Member], distillation: Distillation, folder: Path, say: Say,
    ) -> None:  # fmt: skip
        self.configs, self.rules, self.division = configs, rules, division
        self.members, self.folder, self.say = members, folder, say
        self.distillation = distillation
        self.student: Student | None = None
        self.space = division.prepared.label_space
        self.audit = Audit(division, rules)
        self.fitted: list[Fitted] = []
        self.skipped: list[Skipped] = not_built(rules)

    def finish(self) -> Outcome:
        """Stages, audit, test."""
        self.audit.parts()
        for member in self.members:
            self.audit.member(member.name, member.tables[Role.OUT_OF_FOLD])
            self.audit.member(member.name, member.tables[Role.VALID])
        self.say("stages")
        if not self.audit.blocks:
            self._fit()
        if NUMBER in self.rules.stages and self.fitted and not self.audit.blocks:
            self._teach()
            if self.student is None:
                return Outcome(self.folder, interrupted=True)
        self.audit.test_set(self.division.prepared.test, _first_fingerprint(self.folder))
        self.audit.save(self.folder)
        blocked = [f"{one.stage}: {one.what}" for one in self.audit.blocking()]
        if blocked:
            forget_ensemble(self.folder)
        test = None if blocked else self._test()
        best = best_of(self.fitted) if self.fitted else None
        results = run_results(
            self.configs, self.rules, self.division, self.members, self._rows(), self.skipped,
            best, test, self.audit,
        )  # fmt: skip
        write_results(self.folder, results, next(iter(self.configs.values())))
        if best is not None and not blocked:
            self._save(best, results)
        return Outcome(self.folder, results, blocked=blocked)

    def _fit(self) -> None:
        tables = {role: self._inputs(role) for role in (Role.OUT_OF_FOLD, Role.VALID, Role.SEEN)}
        wanted = candidates(self.rules, self.members)
        for one in fit_stages(wanted, tables, self.space, self.audit, self.say):
            if isinstance(one, Skipped):
                self.skipped.append(one)
            else:
                self.fitted.append(one)

    def _teach(self) -> None:
        """Stage 7: a student of the best of stages 1 to 6."""
        earlier = [one for one in self.fitted if one.candidate.number < NUMBER]
        train, valid = self._inputs(Role.OUT_OF_FOLD), self._inputs(Role.VALID)
        self.student = self.distillation.teach(best_of(earlier), train, valid)
        if self.student is not None:
            self.audit.student(f"{NUMBER} {LABEL}", self.student.maker)
            check_scores(self.student, self.fitted, self.audit)
            self.say(score_line(self.student))

    def _rows(self) -> list[Fitted | Student]:
        """All that is scored."""
        return [*self.fitted, *([] if self.student is None else [self.student])]

    def _inputs(self, role: Role) -> Inputs:
        return Inputs.of([member.tables[role] for member in self.members], self.space.kind)

    def _test(self) -> list[Floats]:
        """Answers of each of `_rows` to the test pictures."""
        self.say("test")
        anchors = self.division.anchors(self.rules.anchors, self.rules.seed)
        tables = [
            test_table(
                member, self.configs[member.name], self.division, anchors, self.folder, self.say
            )
            for member in self.members
        ]
        inputs = Inputs.of(tables, self.space.kind)
        found = [one.stage.predict(inputs) for one in self.fitted]
        if self.student is not None:
            found.append(self.distillation.test(self.student))
        return found

    def _save(self, best: Fitted, results: dict[str, Any]) -> None:
        prepared = self.division.prepared
        seen = {
            "weights": sorted(item.sha256 for item in prepared.train),
            "selection": sorted(item.sha256 for item in prepared.valid),
        }
        save_ensemble(
            self.folder, best.candidate.label, best.stage,
            [RunFolder(member.runs[FULL]).best for member in self.members],
            [member.tables[Role.VALID] for member in self.members],
            self.space, best.threshold, seen,
            {"provenance": results["provenance"], "metrics": best.valid_brief.to_dict()},
        )  # fmt: skip


def _announce(division: Division, say: Say) -> None:
    prepared = division.prepared
    say(
        f"data: {len(prepared.train)} train in {division.folds} folds, "
        f"{len(prepared.valid)} validation, {len(prepared.test)} test"
    )
    for note in prepared.notes:
        say(f"  {note}")


def _own_folder(configs: dict[str, Config], rules: Rules) -> Path:
    """A folder named by the settings, so that the same call comes back to it."""
    digest = hashlib.sha256(json.dumps(_stored(rules)).encode())
    for config in configs.values():
        digest.update(to_yaml(config).encode())
    first = next(iter(configs.values()))
    return Path(first.output_dir) / (first.experiment or "ensemble") / digest.hexdigest()[:10]


def _stored(rules: Rules) -> dict[str, Any]:
    """Rules that decide what is trained and answered; the others may change from call to call."""
    return {"folds": rules.folds, "seed": rules.seed, "anchors": rules.anchors}


def _keep_plan(folder: Path, configs: dict[str, Config], rules: Rules, division: Division) -> None:
    """Write the plan, or make sure that the folder holds this one.

    Raises:
        ConfigError: It holds another one.
    """
    prepared = division.prepared
    plan = {
        "rules": _stored(rules),
        "models": list(configs),
        "data_fingerprint": prepared.fingerprint,
        "test_fingerprint": division.test_fingerprint,
        "fold_of": division.fold_of,
        "valid": sorted(item.id for item in prepared.valid),
    }
    path = folder / PLAN_NAME
    if path.is_file():
        before = _read_plan(path)
        # Models may be added: what the others have learnt stays as it is.
        changed = [
            key for key, value in plan.items() if key != "models" and before.get(key) != value
        ]
        if changed:
            raise ConfigError(
                f"this folder holds an ensemble of another plan ({', '.join(changed)} differ)",
                where=folder,
                remedy="give another folder with --save, or put data and settings back",
            )
    write_json(path, plan)


def _read_plan(path: Path) -> dict[str, Any]:
    """A plan; empty where it is damaged, so that it differs in everything."""
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}


def _first_fingerprint(folder: Path) -> str:
    return str(_read_plan(folder / PLAN_NAME).get("test_fingerprint"))

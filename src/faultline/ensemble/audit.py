"""The leakage audit: five checks of every stage, made from records and not from promises.

Section 8.3 of the second document. 1: training and test share nothing, by content and by group.
2: accuracy on training minus validation, warned of at 5 % and halted at 10 %. 3: a stage was
fitted on out-of-fold rows, one for each training picture, made by the network of its fold. 4: the
test set is what it was when the work began. 5: a stage loses more than 2 % to the one before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from faultline.data.manifest import Item
from faultline.ensemble.plan import Division, Rules, fingerprint
from faultline.ensemble.stage import FitRecord
from faultline.ensemble.tables import Maker, Role, Table
from faultline.files import write_json

AUDIT_NAME = "leakage_audit.json"
PASSED, WARNING, HALT, VIOLATION = "passed", "warning", "halt", "violation"


@dataclass(frozen=True)
class Finding:
    """What one check found of one stage.

    Attributes:
        check: Number of the check, 1 to 5.
        name: Its name.
        stage: What was looked at.
        status: `passed`, `warning`, `halt` or `violation`.
        what: In words.
        values: In numbers.
    """

    check: int
    name: str
    stage: str
    status: str
    what: str
    values: dict[str, Any] = field(default_factory=dict)


class Audit:
    """Collects what the checks find.

    Args:
        division: The data by their parts.
        rules: Limits.
    """

    def __init__(self, division: Division, rules: Rules) -> None:
        self.division, self.rules = division, rules
        self.findings: list[Finding] = []
        test = division.prepared.test
        self._test = frozenset(item.sha256 for item in test)
        self._test_groups = frozenset(item.group for item in test)
        self._train = {item.id: item for item in division.prepared.train}

    def count(self, status: str) -> int:
        """Findings of this status."""
        return sum(finding.status == status for finding in self.findings)

    @property
    def blocks(self) -> bool:
        """Whether no test result may be reported."""
        return self.count(VIOLATION) + self.count(HALT) > 0

    def blocking(self) -> list[Finding]:
        """What blocks, worst first."""
        found = [one for one in self.findings if one.status in (VIOLATION, HALT)]
        return sorted(found, key=lambda one: one.status != VIOLATION)

    def member(self, name: str, table: Table) -> None:
        """Checks 1 and 3 of one base model, from what its networks have seen."""
        for number, maker in enumerate(table.makers):
            what = f"{name}, fold {number + 1}" if len(table.makers) > 1 else name
            self._overlap(what, maker.fitted_on | maker.chosen_on, maker.groups)
        if table.role is Role.OUT_OF_FOLD:
            self._folds(name, table)
        elif table.role is Role.VALID:
            seen = int(table.seen.sum())
            words = f"{seen} validation pictures were trained on"
            self._add(3, "information flow", name, seen > 0, words, {"seen": seen})

    def student(self, name: str, maker: Maker) -> None:
        """Checks 1 and 3 of a student: it has seen the training pictures and no others."""
        self._overlap(name, maker.fitted_on | maker.chosen_on, maker.groups)
        expected = frozenset(item.sha256 for item in self._train.values())
        faults = {"it was trained on other pictures": maker.fitted_on != expected}
        values = {"seen": len(maker.fitted_on), "training": len(expected)}
        self._information(name, faults, values, "trained on the training pictures and no others")

    def stage(self, name: str, record: FitRecord) -> None:
        """Checks 1 and 3 of a stage, from what it was fitted on."""
        self._overlap(name, record.fitted_on | record.chosen_on, record.groups)
        expected = tuple(self._train)
        folds = np.array([self.division.fold_of[one] for one in expected])
        faults = {
            "role is not out_of_fold": record.role is not Role.OUT_OF_FOLD,
            "rows are not the training pictures, each once": record.ids != expected,
            "folds are not those of the division": not np.array_equal(record.folds, folds),
        }
        self._information(name, faults, {"rows": len(record.ids), "training": len(expected)})

    def gap(self, name: str, train: float, valid: float) -> None:
        """Check 2."""
        gap, rules = train - valid, self.rules
        status = HALT if gap > rules.halt_gap else WARNING if gap > rules.warn_gap else PASSED
        words = f"accuracy {train:.3f} in training, {valid:.3f} in validation: a gap of {gap:+.3f}"
        if status == HALT:
            words += f", more than {rules.halt_gap:g} allow"
        values = {"train_accuracy": train, "valid_accuracy": valid, "gap": gap}
        self.findings.append(Finding(2, "overfit", name, status, words, values))

    def drop(self, name: str, before: float, now: float) -> None:
        """Check 5, on validation accuracy of a stage and the one before."""
        lost = before - now
        status = WARNING if lost > self.rules.warn_drop else PASSED
        words = f"validation accuracy {now:.3f} after {before:.3f} of the stage before"
        values = {"before": before, "now": now}
        self.findings.append(Finding(5, "monotonicity", name, status, words, values))

    def test_set(self, items: Sequence[Item], first: str) -> None:
        """Check 4: the listed test set, and its files on disk, are those of the beginning."""
        changed = [item.id for item in items if _hash(item.path) != item.sha256]
        now = fingerprint(items)
        bad = bool(changed) or now != first
        words = "the test set is what it was when the work began"
        if bad:
            words = (
                f"the test set is not what it was when the work began: {len(changed)} files differ"
            )
        values = {"fingerprint": now, "first": first, "files": len(items), "changed": changed}
        self._add(4, "test set", "test", bad, words, values)

    def parts(self) -> None:
        """Check 1 of the data themselves: training, validation and test share nothing."""
        prepared = self.division.prepared
        held = {name: getattr(prepared, name) for name in ("train", "valid", "test")}
        for first, second in (("train", "test"), ("valid", "test"), ("train", "valid")):
            shared = {i.sha256 for i in held[first]} & {i.sha256 for i in held[second]}
            groups = {i.group for i in held[first]} & {i.group for i in held[second]}
            self._add(
                1, "overlap", "data", bool(shared or groups),
                f"{len(shared)} {first}-{second} overlaps",
                {"pictures": len(shared), "groups": len(groups)},
            )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        counts = {status: self.count(status) for status in (VIOLATION, HALT, WARNING, PASSED)}
        return {
            "violations": counts[VIOLATION],
            "halts": counts[HALT],
            "warnings": counts[WARNING],
            "passed": counts[PASSED],
            "test_results_reported": not self.blocks,
            "limits": self.rules.to_dict(),
            "test_fingerprint": self.division.test_fingerprint,
            "by_stage": {
                stage: sum(f.status == VIOLATION for f in self.findings if f.stage == stage)
                for stage in dict.fromkeys(f.stage for f in self.findings)
            },
            "findings": [asdict(finding) for finding in self.findings],
        }

    def save(self, folder: Path) -> Path:
        """Write `leakage_audit.json`.

        Raises:
            OutputError: It cannot be written.
        """
        write_json(folder / AUDIT_NAME, self.to_dict())
        return folder / AUDIT_NAME

    def _overlap(self, name: str, hashes: frozenset[str], groups: frozenset[str]) -> None:
        shared, same = hashes & self._test, groups & self._test_groups
        self._add(1, "overlap", name, bool(shared or same), f"{len(shared)} train-test overlaps",
                  {"pictures": len(shared), "groups": len(same), "seen": len(hashes)})  # fmt: skip

    def _folds(self, name: str, table: Table) -> None:
        expected = tuple(self._train)
        folds = np.array([self.division.fold_of[one] for one in expected])
        faults = {
            "rows are not the training pictures, each once": table.rows.ids != expected,
            "rows were made by the networks of other folds": not np.array_equal(
                table.made_by, folds
            ),
            "a network has seen what it answers": bool(table.seen.any()),
            "a network was trained on more or less than the other folds": any(
                maker.fitted_on != self._outside(number)
                for number, maker in enumerate(table.makers)
            ),
        }
        self._information(name, faults, {"rows": len(table.rows), "training": len(expected)})

    def _outside(self, fold: int) -> frozenset[str]:
        items = self.division.prepared.train
        return frozenset(i.sha256 for i in items if self.division.fold_of[i.id] != fold)

    def _information(
        self,
        name: str,
        faults: dict[str, bool],
        values: dict[str, Any],
        well: str = "out-of-fold rows, one for each training picture, of its fold",
    ) -> None:
        wrong = [words for words, is_so in faults.items() if is_so]
        words = "; ".join(wrong) or well
        self._add(3, "information flow", name, bool(wrong), words, values)

    def _add(
        self, check: int, name: str, stage: str, bad: bool, what: str, values: dict[str, Any]
    ) -> None:
        status = VIOLATION if bad else PASSED
        self.findings.append(Finding(check, name, stage, status, what, values))


def _hash(path: Path) -> str:
    """SHA-256 of a file; empty where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""

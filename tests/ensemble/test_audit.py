"""The audit finds what is wrong: every check is given something that breaks it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from faultline.data.manifest import Item
from faultline.data.prepare import Prepared
from faultline.ensemble.audit import HALT, PASSED, VIOLATION, WARNING, Audit
from faultline.ensemble.plan import Division, Rules, fingerprint
from faultline.ensemble.stage import FitRecord
from faultline.ensemble.tables import Maker, Role, Table
from faultline.types import LabelKind, LabelSpace

SPACE = LabelSpace(LabelKind.MULTICLASS, ("a", "b"))


def items(names, folder=Path()):
    return [Item(n, folder / n, None, n, f"sha-{n}", 1, 1, targets=(0,)) for n in names]


def division(folder=Path(), train="abcdef", valid="uv", test="xyz"):
    prepared = Prepared(SPACE, items(train), items(valid), items(test, folder), "data")
    fold_of = {name: number % 2 for number, name in enumerate(train)}
    return Division(prepared, fold_of, 2, fingerprint(prepared.test))


def record(parts, **changes):
    train = parts.prepared.train
    made = FitRecord(
        frozenset(i.sha256 for i in train), frozenset(i.group for i in train),
        frozenset(i.sha256 for i in parts.prepared.valid), Role.OUT_OF_FOLD,
        tuple(i.id for i in train), np.array([parts.fold_of[i.id] for i in train]),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def table(parts, **changes):
    train = parts.prepared.train
    rows, folds = parts.rows(train), np.array([parts.fold_of[i.id] for i in train])
    makers = tuple(
        Maker(f"fold {k}", frozenset(i.sha256 for i in train if parts.fold_of[i.id] != k),
              frozenset(i.group for i in train if parts.fold_of[i.id] != k), frozenset())
        for k in range(2)
    )  # fmt: skip
    empty = np.zeros((len(train), 2), np.float32)
    made = Table("net", Role.OUT_OF_FOLD, rows, makers, folds, empty, empty,
                 (empty[:1],) * 2, ("u",))  # fmt: skip
    return dataclasses.replace(made, **changes)


def audit(parts=None):
    return Audit(parts or division(), Rules())


def found(audit, check):
    return [one.status for one in audit.findings if one.check == check]


def test_all_is_well():
    parts = division()
    one = Audit(parts, Rules())
    one.parts()
    one.member("net", table(parts))
    one.stage("2 soft_voting", record(parts))
    assert {finding.status for finding in one.findings} == {PASSED}
    assert not one.blocks


@pytest.mark.parametrize("where", ["test", "valid"])
def test_1_a_copy_in_two_parts(where):
    parts = division(**{where: "xa"})
    one = audit(parts)
    one.parts()
    assert VIOLATION in found(one, 1)
    assert one.blocks


@pytest.mark.parametrize("name", ["fitted_on", "chosen_on", "groups"])
def test_1_a_stage_that_saw_a_test_picture(name):
    parts = division()
    seen = frozenset({"x"} if name == "groups" else {"sha-x"})
    one = audit(parts)
    one.stage("3 stacking", record(parts, **{name: getattr(record(parts), name) | seen}))
    assert found(one, 1) == [VIOLATION]
    assert one.to_dict()["by_stage"] == {"3 stacking": 1}


@pytest.mark.parametrize(
    ("gap", "status"), [(0.04, PASSED), (0.06, WARNING), (0.11, HALT), (-0.5, PASSED)]
)
def test_2_the_gap_warns_and_halts(gap, status):
    one = audit()
    one.gap("1 net", 0.5 + gap, 0.5)
    assert found(one, 2) == [status]
    assert one.blocks == (status == HALT)


@pytest.mark.parametrize(
    "changes",
    [
        {"role": Role.SEEN},
        {"ids": tuple("abcde")},
        {"ids": tuple("fedcba")},
        {"folds": np.array([1, 0, 1, 0, 1, 0])},
    ],
)
def test_3_a_stage_that_was_fitted_on_other_rows(changes):
    parts = division()
    one = audit(parts)
    one.stage("3 stacking", record(parts, **changes))
    assert found(one, 3) == [VIOLATION]


def test_3_rows_of_the_wrong_network():
    parts = division()
    one = audit(parts)
    one.member("net", table(parts, made_by=np.array([1, 0, 1, 0, 1, 0])))
    (finding,) = [f for f in one.findings if f.check == 3]
    assert finding.status == VIOLATION
    assert "other folds" in finding.what
    assert "has seen what it answers" in finding.what


def test_3_a_network_that_was_trained_on_all():
    parts = division()
    good = table(parts)
    everything = frozenset(i.sha256 for i in parts.prepared.train)
    makers = tuple(dataclasses.replace(maker, fitted_on=everything) for maker in good.makers)
    one = audit(parts)
    one.member("net", dataclasses.replace(good, makers=makers))
    assert found(one, 3) == [VIOLATION]


class TestTestSet:
    @pytest.fixture
    def parts(self, tmp_path):
        import hashlib

        held = []
        for name in "xyz":
            (tmp_path / name).write_bytes(name.encode())
            sha = hashlib.sha256(name.encode()).hexdigest()
            held.append(Item(name, tmp_path / name, None, name, sha, 1, 1, targets=(0,)))
        made = division()
        made.prepared.test[:] = held
        return dataclasses.replace(made, test_fingerprint=fingerprint(held))

    def test_4_unchanged(self, parts):
        one = audit(parts)
        one.test_set(parts.prepared.test, parts.test_fingerprint)
        assert found(one, 4) == [PASSED]

    def test_4_a_file_changed_on_disk(self, parts, tmp_path):
        (tmp_path / "y").write_bytes(b"brighter")
        one = audit(parts)
        one.test_set(parts.prepared.test, parts.test_fingerprint)
        assert found(one, 4) == [VIOLATION]
        assert one.findings[-1].values["changed"] == ["y"]

    def test_4_another_list(self, parts):
        one = audit(parts)
        one.test_set(parts.prepared.test[:2], parts.test_fingerprint)
        assert found(one, 4) == [VIOLATION]


@pytest.mark.parametrize(("lost", "status"), [(0.01, PASSED), (0.03, WARNING)])
def test_5_a_stage_that_loses_is_warned_of(lost, status):
    one = audit()
    one.drop("3 stacking", 0.9, 0.9 - lost)
    assert found(one, 5) == [status]
    assert not one.blocks


def test_the_file_counts_what_was_found(tmp_path):
    one = audit()
    one.gap("1 net", 0.9, 0.7)
    one.drop("2 vote", 0.9, 0.8)
    one.save(tmp_path)
    written = json.loads((tmp_path / "leakage_audit.json").read_text())
    assert (written["violations"], written["halts"], written["warnings"]) == (0, 1, 1)
    assert written["test_results_reported"] is False

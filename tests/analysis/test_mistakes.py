"""Error patterns, gaps and opponents, by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from faultline.analysis.gap import gap_of
from faultline.analysis.kept import Answers
from faultline.analysis.mistakes import (
    bring_together,
    common_confusions,
    hardest,
    pairs,
    patterns,
)
from faultline.analysis.sides import held_out_answers, opponents, score_runs
from faultline.analysis.subject import Run
from faultline.errors import DataError
from faultline.types import LabelKind

NAMES = ("a", "b", "c")
TRUTH = [0, 0, 1, 1, 2]


def answers(said, truth=TRUTH, ids=None):
    said, shown = np.asarray(said), np.asarray(truth)
    decided = said[:, None] == np.arange(3)
    probability = np.where(decided, 0.8, 0.1)
    ids = ids or [f"p{row}" for row in range(len(said))]
    return Answers(ids, list(ids), probability, shown[:, None] == np.arange(3), decided)


def together(*said):
    runs = [f"run{k}" for k in range(len(said))]
    return bring_together(runs, [answers(one) for one in said], NAMES, LabelKind.MULTICLASS)


def test_patterns_by_hand():
    right = np.array([[1, 0, 1, 0, 1], [1, 0, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 1, 0, 1]], bool)
    assert patterns(right) == [
        ("all right", -1), ("all wrong", -1), ("only one wrong", 2), ("only one right", 2),
        ("mixed", -1),
    ]  # fmt: skip


def test_of_two_runs_none_stands_alone():
    assert patterns(np.array([[1, 1], [0, 1]], bool)) == [("mixed", -1), ("all right", -1)]
    assert patterns(np.array([[1, 0]], bool)) == [("all right", -1), ("all wrong", -1)]


def test_pairs_and_common_confusions_by_hand():
    both = together([1, 0, 1, 0, 0], [1, 1, 1, 0, 2])
    (pair,) = pairs(both)
    assert pair.disagreement == pytest.approx(2 / 5)
    assert pair.error_overlap == pytest.approx(2 / 4)
    # a for b: 1 and 2, b for a: 1 and 1, c for a: 1 and 0.
    assert pair.confusion_overlap == pytest.approx(2 / 4)
    assert common_confusions(both) == [("a taken for b", [1, 2]), ("b taken for a", [1, 1])]


def test_the_surest_mistakes_come_first():
    both = together([1, 0, 1, 0, 0], [1, 1, 1, 0, 2])
    both.probability[:, 3, 1] = 0.01
    assert hardest(both, 5) == [3, 0]
    assert hardest(both, 1) == [3]


def test_pictures_are_brought_together_by_id():
    one = answers([0, 1], [0, 1], ["x", "y"])
    other = answers([2, 0, 1], [2, 0, 0], ["z", "x", "w"])
    found = bring_together(["a", "b"], [one, other], NAMES, LabelKind.MULTICLASS)
    assert found.ids == ["x"]
    assert found.right.tolist() == [[True], [True]]
    with pytest.raises(DataError, match="every run"):
        bring_together(["a", "b"], [one, answers([0], [0], ["q"])], NAMES, LabelKind.MULTICLASS)


def test_several_labels_in_words():
    truth = np.array([[1, 0, 1], [0, 0, 0]], bool)
    decided = np.array([[0, 0, 1], [0, 1, 0]], bool)
    one = Answers(["x", "y"], ["x", "y"], decided * 0.9, truth, decided)
    found = bring_together(["a"], [one], NAMES, LabelKind.MULTILABEL)
    assert found.words(truth[0]) == "a, c"
    assert found.words(truth[1]) == "none"
    assert {words for words, _ in common_confusions(found)} == {"a missed", "b named and not there"}


@pytest.mark.parametrize(
    ("wrong", "status"), [(0, "passed"), (2, "passed"), (3, "warning"), (5, "warning"), (6, "halt")]
)
def test_gap_limits(wrong, status):
    truth = [0] * 50
    valid = answers([1] * wrong + [0] * (50 - wrong), truth)
    assert gap_of("a", answers(truth, truth), valid).status == status


def test_opponents_in_order_or_all():
    def some(side, count):
        return [Run(f"{side}{k}", Path(), Path(), side, "m", f"{side}{k}") for k in range(count)]

    named = [(a.name, b.name) for a, b in opponents([*some(0, 2), *some(1, 2)])]
    assert named == [("00", "10"), ("01", "11")]
    assert len(opponents([*some(0, 3), *some(1, 2)])) == 6
    assert opponents(some(0, 3)) == []


def held_out(home, said, maker):
    """What `faultline evaluate` leaves: a table, and who made it."""
    home.mkdir()
    lines = ["id,group,truth,answer,right,p_a,p_b,p_c"]
    lines += [
        f"t{row},g{row},{NAMES[true]},{NAMES[answer]},{int(true == answer)},0,0,0"
        for row, (true, answer) in enumerate(zip(TRUTH, said, strict=True))
    ]
    (home / "per_image.csv").write_text("\n".join(lines) + "\n")
    (home / "metrics_test.json").write_text(json.dumps({"predictor": {"maker": maker}}))


def test_held_out_results_are_read_and_never_made(tmp_path):
    said = [[0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    runs = [Run(n, tmp_path / n, tmp_path / n, k, "m", n) for k, n in enumerate("xy")]
    for run, one in zip(runs, said, strict=True):
        held_out(run.home, one, run.fingerprint)
    both = bring_together("xy", [answers(one) for one in said], NAMES, LabelKind.MULTICLASS)
    scored, against = score_runs(runs, both)
    assert [(one.run.name, one.part) for one in scored] == [
        ("x", "valid"), ("y", "valid"), ("x", "test"), ("y", "test"),
    ]  # fmt: skip
    assert scored[2].scores["accuracy"].value == pytest.approx(4 / 5)
    assert [one.part for one in against] == ["valid", "test"]
    assert against[1].differences["accuracy"].value == pytest.approx(2 / 5)
    # F1 of x: 1 - 1/5, 1, 0; of y: 2/5, 1/2 and 0.
    expected = (4 / 5 + 1 + 0) / 3 - (2 / 5 + 1 / 2 + 0) / 3
    assert against[1].differences["macro_f1"].value == pytest.approx(expected)
    (tmp_path / "y" / "metrics_test.json").write_text('{"predictor": {"maker": "another"}}')
    assert held_out_answers(runs[1]) is None
    assert [one.part for one in score_runs(runs, both)[1]] == ["valid"]

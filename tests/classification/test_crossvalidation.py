"""Cross-validation: every picture once, by a model that has not seen it; it can be stopped."""

import csv
import json

import numpy as np
import pytest
from tiny_classification import TINY, run

from faultline.artifacts.bundle import load_bundle
from faultline.errors import ConfigError, DataError, LeakageError
from faultline.evaluation.classification.compare import compare, read_out_of_fold
from faultline.evaluation.classification.crossvalidate import crossvalidate, pool
from faultline.training.kinds import training_config

WORDS = (*TINY, "data.folds=3", "trainer.max_epochs=4", "optimizer.lr=0.004")


@pytest.fixture(scope="module")
def folds(steel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds") / "first"
    assert run("crossvalidate", f"data={steel}", *WORDS, "--save", folder) == 0
    return folder


def rows_of(folder):
    with (folder / "out_of_fold.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_picture_is_answered_once(folds):
    rows = rows_of(folds)
    assert len({row["id"] for row in rows}) == len(rows) == 90
    assert {row["fold"] for row in rows} == {"0", "1", "2"}


def test_no_model_has_seen_what_it_answers(folds):
    groups = {row["id"]: row["fold"] for row in rows_of(folds)}
    for number in range(3):
        run_folder = (folds / f"fold-{number}" / "latest").resolve()
        splits = json.loads((run_folder / "splits.json").read_text())
        fitted = {item["id"] for part in ("train", "valid") for item in splits[part]}
        assert not fitted & {name for name, fold in groups.items() if fold == str(number)}


def test_decisions_are_those_of_each_folds_own_thresholds(folds):
    for row in rows_of(folds):
        bundle = load_bundle(folds / f"fold-{row['fold']}" / "latest")
        said = [name for name in bundle.label_space.names
                if float(row[f"p_{name}"]) >= bundle.threshold.of(name) - 1e-6]  # fmt: skip
        assert row["answer"] == "; ".join(said)


def test_the_score_is_of_the_pooled_answers_with_an_interval(folds):
    results = json.loads((folds / "results.json").read_text())
    rows = rows_of(folds)
    scores = []
    for name in ("defect_1", "defect_2"):
        truth = np.array([name in row["truth"].split("; ") for row in rows])
        said = np.array([name in row["answer"].split("; ") for row in rows])
        scores.append(2 * (truth & said).sum() / (truth.sum() + said.sum()))
    found = results["summary"]["macro_f1"]
    assert found["value"] == pytest.approx(np.mean(scores))
    assert found["low"] < found["value"] < found["high"]
    assert [fold["held_out"] for fold in results["folds"]] == [30, 30, 30]
    assert "Folds" in (folds / "report.html").read_text()


def test_the_same_call_goes_on_where_it_stopped(folds, steel, capsys, monkeypatch):
    before = json.loads((folds / "results.json").read_text())
    kept = {number: (folds / f"fold-{number}" / "latest").resolve() for number in range(3)}
    # The second fold is as if it had been stopped in the middle, the third as if never begun.
    (kept[1] / "results.json").write_text('{"status": "interrupted"}')
    (folds / "fold-2" / "latest").unlink()
    assert run("crossvalidate", f"data={steel}", *WORDS, "--save", folds) == 0
    said = capsys.readouterr().out
    assert said.count("done before") == 1
    assert "resuming" in said
    assert (folds / "fold-1" / "latest").resolve() == kept[1]
    assert (folds / "fold-2" / "latest").resolve() != kept[2]
    after = json.loads((folds / "results.json").read_text())
    assert after["summary"] == before["summary"]


def test_an_interrupted_one_says_so(steel, tmp_path, monkeypatch, capsys):
    from faultline.training import classification_task

    def stop(self, batch, batch_idx):
        raise KeyboardInterrupt

    monkeypatch.setattr(classification_task.ClassificationTask, "training_step", stop)
    assert run("crossvalidate", f"data={steel}", *WORDS, "--save", tmp_path) == 130
    assert "the same command goes on" in capsys.readouterr().out
    assert not (tmp_path / "results.json").exists()


def test_other_settings_in_the_same_folder_are_refused(folds, steel, capsys):
    words = (*WORDS, "loss=bce")
    assert run("crossvalidate", f"data={steel}", *words, "--save", folds) == 2
    assert "trained with other settings (loss)" in capsys.readouterr().err


def test_two_are_compared_picture_by_picture(folds, steel, tmp_path, capsys):
    words = (*WORDS, "trainer.max_epochs=1", "optimizer.lr=1e-6", "--save", tmp_path / "worse")
    assert run("crossvalidate", f"data={steel}", *words, "--against", folds) == 0
    found = json.loads((tmp_path / "worse" / "comparison.json").read_text())["difference"]
    assert found["macro_f1"]["value"] < 0
    assert found["macro_f1"]["high"] < 0
    assert "macro_f1" in capsys.readouterr().out
    same = compare(read_out_of_fold(folds), read_out_of_fold(folds))
    assert all(interval.value == 0 for interval in same.values())


def test_a_comparison_with_nothing_is_refused_before_training(steel, tmp_path, capsys):
    words = ("--save", tmp_path / "out", "--against", tmp_path / "nothing")
    assert run("crossvalidate", f"data={steel}", *WORDS, *words) == 1
    assert "finished `faultline crossvalidate`" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_pictures_cannot_be_compared(folds, tmp_path):
    text = (folds / "out_of_fold.csv").read_text().splitlines()
    (tmp_path / "out_of_fold.csv").write_text("\n".join(text[:-1]))
    with pytest.raises(DataError, match="same pictures"):
        compare(read_out_of_fold(folds), read_out_of_fold(tmp_path))


def test_names_of_classes_may_hold_the_separator(tmp_path):
    rows = [
        "id,group,fold,truth,answer,right,p_a,p_heavy,p_rust; heavy",
        "x,x,0,a; rust; heavy,rust; heavy,0,0.1,0.2,0.9",
        "y,y,0,,heavy,0,0.1,0.9,0.2",
    ]
    (tmp_path / "out_of_fold.csv").write_text("\n".join(rows) + "\n")
    read = read_out_of_fold(tmp_path)
    assert read.truth.tolist() == [[True, False, True], [False, False, False]]
    assert read.decided.tolist() == [[False, False, True], [False, True, False]]


def test_a_picture_in_two_folds_is_refused():
    from faultline.data.manifest import Item
    from faultline.evaluation.classification.scoring import ClassRun

    item = Item("a.png", None, None, "a", "0", 1, 1, targets=(0,))
    part = ClassRun([item], scores=None)
    with pytest.raises(LeakageError, match=r"two folds: a\.png"):
        pool([part, part])


@pytest.mark.parametrize(
    ("words", "message"),
    [(["model=unet_mini"], "for segmentation"), (["data.folds=1"], "folds")],
)
def test_mistakes_are_explained(steel, tmp_path, words, message):
    with pytest.raises(ConfigError, match=message):
        crossvalidate(training_config([f"data={steel}", *words]), tmp_path)

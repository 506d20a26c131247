"""`faultline analyse` end to end on drawn pictures, and its refusals."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from analysis_samples import learn
from tiny_classification import run, write_folders

pytest.importorskip("captum.attr")


def ask(*words):
    return run("analyse", *words, "--device", "cpu", "--precision", "fp32", "--per-class", "4")


def weights(runs):
    return [word for path in runs for word in ("--weights", path)]


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def found(runs, tmp_path_factory):
    """Three runs, two of them held against the third."""
    out = tmp_path_factory.mktemp("analysis")
    assert ask(*weights(runs[:2]), "--against", runs[2], "--save", out) == 0
    return out


def test_every_output_is_there(found):
    for name in (
        "analysis.html", "analysis.json", "gradcam_heatmaps/grid.png",
        "gradcam_heatmaps/one/bar.png", "gradcam_heatmaps/young/spot.png",
        "gradcam_heatmaps/examples/clean.png", "feature_stats/activation_distributions.png",
        "feature_stats/cka.csv", "feature_stats/cka.png", "feature_stats/stages.csv",
        "error_patterns/pictures.csv", "error_patterns/pairs.csv",
        "error_patterns/confusion_overlap.png", "error_patterns/gaps.csv",
        "comparison/scores.csv", "comparison/differences.csv", "comparison/scores.png",
    ):  # fmt: skip
        assert (found / name).stat().st_size > 0, name
    page = (found / "analysis.html").read_text("utf-8")
    assert "left out, for want of masks" in page
    assert page.count("data:image/png") >= 7
    assert "http" not in page


def test_pictures_that_test_are_not_looked_at(found, runs):
    split = json.loads((runs[0] / "split.json").read_text())
    part = {row[0]: row[1] for row in split["items"]}
    said = json.loads((found / "analysis.json").read_text())
    looked = {one["id"]: one["part"] for one in said["sample"]}
    assert said["data"]["test_not_looked_at"] == sum(name == "test" for name in part.values()) > 0
    assert all(part[name] == where for name, where in looked.items())
    answered = {row["id"] for row in rows_of(found / "error_patterns" / "pictures.csv")}
    assert answered == {name for name, where in part.items() if where == "valid"}


def test_tables_agree_with_each_other(found):
    rows = rows_of(found / "error_patterns" / "pictures.csv")
    scores = {row["run"]: float(row["value"]) for row in rows_of(found / "comparison/scores.csv")
              if row["score"] == "accuracy"}  # fmt: skip
    for name in ("one", "other", "young"):
        right = np.mean([row[name] == row["truth"] for row in rows])
        assert scores[name] == pytest.approx(right, abs=1e-5)
    differences = [row for row in rows_of(found / "comparison" / "differences.csv")
                   if row["score"] == "accuracy"]  # fmt: skip
    assert [(row["first"], row["second"]) for row in differences] == [
        ("one", "young"), ("other", "young"),
    ]  # fmt: skip
    assert float(differences[0]["value"]) == pytest.approx(
        scores["one"] - scores["young"], abs=1e-5
    )
    pairs = rows_of(found / "error_patterns" / "pairs.csv")
    differ = np.mean([row["one"] != row["other"] for row in rows])
    assert float(pairs[0]["disagreement"]) == pytest.approx(differ, abs=1e-5)


def test_a_second_call_keeps_what_was_found(found, runs, capsys):
    before = (found / "error_patterns" / "pictures.csv").read_text()
    (found / "runs" / next(p.name for p in (found / "runs").glob("other-*"))).write_bytes(b"half")
    assert ask(*weights(runs[:2]), "--against", runs[2], "--save", found) == 0
    told = capsys.readouterr().out
    assert "one (1 of 3): kept from before" in told
    assert "other (2 of 3)\n" in told
    assert (found / "error_patterns" / "pictures.csv").read_text() == before


def test_several_labels_with_masks(steel, steel_runs, tmp_path, capsys):
    assert ask(*weights(steel_runs), "--save", tmp_path) == 0
    rows = rows_of(tmp_path / "class_attention_maps" / "heat_share.csv")
    own = {(row["class_name"], row["region"]) for row in rows}
    assert ("defect_1", "object") in own
    heat = {(row["run"], row["class_name"], row["region"]): row["heat"] for row in rows}
    for row in rows:
        share, area = float(row["heat"]), float(row["area"])
        assert 0 <= share <= 1
        assert 0 < area < 1
        assert float(row["gain"]) == pytest.approx(share - area, abs=1e-4)
        if row["region"] == row["class_name"]:
            assert row["heat"] == heat[row["run"], row["class_name"], "object"]
    assert (tmp_path / "class_attention_maps" / "heat_share.png").is_file()
    assert "of the heat on the object" in capsys.readouterr().out


@pytest.mark.slow
def test_held_out_results_are_compared_where_both_are_there(runs, tmp_path, capsys):
    copies = [shutil.copytree(path, tmp_path / name / "run") for path, name in
              zip(runs[:2], ("left", "right"), strict=True)]  # fmt: skip
    for copy in copies:
        assert run("evaluate", "--weights", copy, "--device", "cpu", "--precision", "fp32") == 0
    capsys.readouterr()
    out = tmp_path / "out"
    assert ask("--weights", copies[0], "--against", copies[1], "--save", out) == 0
    assert "left minus right (test): macro-F1" in capsys.readouterr().out
    tested = {row["run"]: float(row["value"]) for row in rows_of(out / "comparison" / "scores.csv")
              if (row["part"], row["score"]) == ("test", "macro_f1")}  # fmt: skip
    for name, copy in zip(("left", "right"), copies, strict=True):
        own = json.loads((copy / "metrics_test.json").read_text())["summary"]["macro_f1"]["value"]
        assert tested[name] == pytest.approx(own, abs=1e-5)
    # Results of other weights do not count.
    metrics = copies[1] / "metrics_test.json"
    metrics.write_text(metrics.read_text().replace('"maker": "', '"maker": "0'))
    assert ask("--weights", copies[0], "--against", copies[1], "--save", out) == 0
    assert "(test)" not in capsys.readouterr().out


class TestRefusals:
    def test_a_run_of_another_split(self, folders, runs, tmp_path, capsys):
        words = ["loss=cross_entropy", "data.split_seed=7", "trainer.max_epochs=1"]
        other = learn(folders, tmp_path, "apart", *words)
        assert ask("--weights", runs[0], "--weights", other, "--save", tmp_path / "out") == 1
        told = capsys.readouterr().err
        assert "test" in told
        assert "split" in told
        assert not (tmp_path / "out").exists()

    def test_other_classes(self, runs, tmp_path, capsys):
        data = write_folders(tmp_path / "data", {"bar": 8, "clean": 8})
        assert ask("--weights", runs[0], f"data={data}", "--save", tmp_path / "out") == 1
        assert "the data set shows bar, clean" in capsys.readouterr().err

    def test_one_run_twice(self, runs, tmp_path, capsys):
        assert ask(*weights([runs[0], runs[0]]), "--save", tmp_path) == 2
        assert "same weights" in capsys.readouterr().err

    def test_output_in_the_data_set(self, folders, runs, capsys):
        assert ask("--weights", runs[0], "--save", folders / "out") == 2
        assert "lies in the data set" in capsys.readouterr().err

    def test_no_pictures_asked_for(self, runs, tmp_path, capsys):
        assert run("analyse", "--weights", runs[0], "--per-class", "0", "--save", tmp_path) == 2
        assert "--per-class is 0" in capsys.readouterr().err

    def test_no_weights(self, tmp_path, capsys):
        assert ask("--weights", tmp_path / "nowhere", "--save", tmp_path) == 1
        assert "no such file" in capsys.readouterr().err


def test_a_picture_that_cannot_be_read_is_listed(folders, runs, tmp_path, capsys):
    """It was there when the data set was read, and is half by the time it is looked into."""
    from faultline.analysis import command, observe

    request = command.AnalyseRequest([], [runs[0]], tmp_path, per_class=3, device="cpu",
                                     precision="fp32")  # fmt: skip
    plan = command.make_plan(request)
    shown = plan.sample[0].item
    pixels = cv2.imread(str(shown.path))
    try:
        shown.path.write_bytes(b"half")
        found, before = observe.observe(plan, plan.subject.runs[0], tmp_path / "kept.npz")
    finally:
        cv2.imwrite(str(shown.path), pixels)
    assert not before
    assert np.isnan(found.heat[0]).all()
    assert np.isfinite(found.heat[1:]).all()
    assert shown.id not in found.pictures
    assert [one.file for one in found.problems][:1] == [shown.id]
    again, before = observe.observe(plan, plan.subject.runs[0], tmp_path / "kept.npz")
    assert before
    np.testing.assert_array_equal(again.heat, found.heat)
    np.testing.assert_array_equal(again.pooled["embedding"], found.pooled["embedding"])

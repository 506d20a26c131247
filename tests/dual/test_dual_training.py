"""Trainings of two heads from the command line to the answer; stops in every phase."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch
from tiny_classification import run
from tiny_dual import TINY

from faultline.artifacts.bundle import load_bundle
from faultline.artifacts.run import RunFolder
from faultline.errors import LeakageError
from faultline.predict.dual_head import classes_of
from faultline.training.fit import train
from faultline.training.kinds import training_config
from faultline.training.resume import ResumePoints


def silent(line):
    pass


def settings(data, out, *words):
    return training_config([f"data={data}", f"output_dir={out}", *TINY, *words])


def test_a_run_keeps_the_best_of_every_phase_and_says_what_it_did(steel_run):
    kept = {path.name for path in (steel_run / "checkpoints").iterdir()}
    assert kept >= {"phase_a.safetensors", "phase_b.safetensors", "phase_c.safetensors",
                    "best.safetensors", "last.ckpt"}  # fmt: skip
    phases = json.loads((steel_run / "phases.json").read_text())
    assert [one["name"] for one in phases["phases"]] == ["a", "b", "c"]
    with (steel_run / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["epoch"]) for row in rows] == list(range(14))
    assert not rows[0].get("train/loss_classes")
    assert rows[6]["train/loss_classes"]
    assert rows[6]["train/loss_masks"]
    assert not rows[-1].get("train/loss_masks")
    results = json.loads((steel_run / "results.json").read_text())
    assert results["status"] == "finished"
    assert results["config"]["phases"]["a"]["epochs"] == 6
    log = json.loads((steel_run / "rollback_log.json").read_text())["decisions"][0]
    assert log["before"] is None
    assert log["rolled_back"] is False


def test_phases_leave_what_they_freeze(steel_run):
    a, b, c = (load_bundle(steel_run / "checkpoints" / f"phase_{name}.safetensors").state
               for name in "abc")  # fmt: skip
    parts = [name for name in b if name.startswith("decoder.")]
    assert all(torch.equal(b[name], c[name]) for name in parts)
    assert not all(torch.equal(a[name], b[name]) for name in parts)
    # A moves neither backbone nor head, so that B starts from what A started from.
    still = [name for name in a if not name.startswith("decoder.")]
    assert not all(torch.equal(a[name], b[name]) for name in still)


def test_masks_and_classes_are_learnt(steel_run):
    best = json.loads((steel_run / "results.json").read_text())["best"]
    assert best["iou"] > 0.3
    assert best["macro_average_precision"] > 0.7


def test_evaluation_scores_both_heads_on_held_out_pictures(steel_run, capsys):
    assert run("evaluate", "--weights", steel_run) == 0
    out = capsys.readouterr().out
    assert "never seen by the weights" in out
    assert "classes: macro-F1" in out
    assert "masks: mean IoU" in out
    found = json.loads((steel_run / "metrics_test.json").read_text())
    assert found["leakage"]["checked"]
    assert set(found["masks"]["classes"]) == {"defect_1", "defect_2"}
    per_channel = [one["pooled"]["iou"]["value"] for one in found["masks"]["classes"].values()]
    assert found["mean_iou"] == pytest.approx(np.mean(per_channel))
    assert found["mean_iou"] > 0.2
    for part in ("masks", "classes"):
        assert (steel_run / part / "report.html").is_file()
    roles = json.loads((steel_run / "splits.json").read_text())
    assert found["classes"]["images"] == found["masks"]["images"] == len(roles["test"])


def test_pictures_that_were_seen_are_never_scored(steel_run, tmp_path, capsys):
    """Another seed would divide the data set in another way."""
    assert run("evaluate", "--weights", steel_run, "seed=3", "--save", tmp_path / "x") != 0
    assert "the weights saw" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_inference_writes_masks_and_classes(steel_run, steel, tmp_path):
    out = tmp_path / "out"
    pictures = sorted((steel / "train_images").glob("*.png"))[:3]
    asked = [word for picture in pictures for word in ("--input", picture)]
    assert run("infer", "--weights", steel_run, *asked, "--save", out) == 0
    for picture in pictures:
        for end in ("_mask.png", "_overlay.png"):
            shape = cv2.imread(str(out / f"{picture.stem}{end}")).shape
            assert shape == cv2.imread(str(picture)).shape
    assert len(list(out.glob("*defect_1*"))) == 3
    with (out / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    with (out / "measurements.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == len(rows) == 3
    assert all(0 <= float(row["p_defect_1"]) <= 1 for row in rows)


def weights_of(run_folder):
    return load_bundle(run_folder.best).state


@pytest.mark.parametrize(("phase", "step"), [("a", 2), ("b", 5), ("b", 6), ("c", 2), ("c", 6)])
def test_a_run_stopped_in_any_phase_goes_on_as_if_it_had_not(
    steel, tmp_path, phase, step, monkeypatch, whole_run
):
    """Epochs are of 3 steps, so 2 and 5 are in the middle of one, 6 is the end of a phase."""
    config = settings(steel, tmp_path, "trainer.checkpoint_every_steps=1")

    class Killed(BaseException):
        pass

    save = ResumePoints.save

    def save_and_die(self, trainer):
        save(self, trainer)
        if trainer.lightning_module.phase_name == phase and trainer.global_step >= step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ResumePoints, "save", save_and_die)
        with pytest.raises(Killed):
            train(config, say=silent)
    stopped = RunFolder.open(tmp_path / "tiny_dual" / "latest")
    resumed = train(config, say=silent, resume=stopped.path)
    assert not resumed.interrupted
    assert resumed.run.path == stopped.path
    a, b = weights_of(whole_run), weights_of(resumed.run)
    assert all(torch.equal(a[name], b[name]) for name in a)
    own = json.loads(whole_run.results.read_text())["phases"]
    theirs = json.loads(resumed.run.results.read_text())["phases"]
    assert [one["best"] for one in own] == [one["best"] for one in theirs]
    with resumed.run.metrics_csv.open() as stream:
        assert [int(row["epoch"]) for row in csv.DictReader(stream)] == list(range(6))


@pytest.fixture(scope="module")
def whole_run(steel, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return train(settings(steel, out, "trainer.checkpoint_every_steps=1"), say=silent).run


def test_masks_that_are_too_bad_stop_it_before_phase_c(steel, tmp_path):
    lines = []
    result = train(settings(steel, tmp_path, "phases.min_iou=1.0"), say=lines.append)
    assert any("rollback after phase b, phase c is not run: mean IoU" in line for line in lines)
    assert not (result.run.checkpoints / "phase_c.safetensors").exists()
    assert load_bundle(result.run.best).metrics["rollback"]["rolled_back"] is True
    assert "rollback" in result.results["stopped"]
    again = train(settings(steel, tmp_path), say=silent, resume=result.run.path)
    assert not (again.run.checkpoints / "phase_c.safetensors").exists()


def test_pseudo_labels_teach_masks_and_every_picture_its_class(pseudo_labelled, tmp_path):
    root, folder = pseudo_labelled
    lines = []
    words = ("phases.a.epochs=4", "phases.b.epochs=4", "phases.c.epochs=1")
    config = settings(root, tmp_path, f"data.masks={folder}", *words)
    result = train(config, say=lines.append)
    assert any("9 of tier C" in line and "3 without" in line for line in lines)
    assert result.results["tiers"] == {"A": 12, "B": 12, "C": 9, "none": 3}
    bundle = load_bundle(result.run.best)
    assert bundle.label_space.names == ("background", "bar", "spot")
    assert bundle.label_space.colours[2] == (255, 0, 0)
    assert classes_of(bundle).label_space.names == ("bar", "clean", "spot")
    assert run("evaluate", "--weights", result.run.path) == 0
    found = json.loads((result.run.path / "metrics_test.json").read_text())
    assert "not with the truth" in found["masks_are"]
    assert found["masks"]["images"] < found["classes"]["images"]


@pytest.fixture(scope="module")
def classifier_run(masked_folders, tmp_path_factory):
    """A classifier whose backbone and head are those of the tiny network."""
    out = tmp_path_factory.mktemp("classifier")
    result = train(settings(masked_folders, out, "phases.a.epochs=0", "phases.c.epochs=0"),
                   say=silent)  # fmt: skip
    return result.run


def test_a_training_starts_from_an_earlier_run_and_is_held_against_it(
    masked_folders, classifier_run, tmp_path
):
    lines = []
    words = (f"init.weights={classifier_run.path}", "phases.a.epochs=1", "phases.b.epochs=1",
             "phases.b.lr_backbone=1e-9", "phases.b.lr_classes=1e-9", "phases.b.lr_masks=1e-9",
             "phases.c.epochs=0")  # fmt: skip
    result = train(settings(masked_folders, tmp_path, *words), say=lines.append)
    assert any(line.startswith("weights: backbone (") and "classes" in line for line in lines)
    log = json.loads((result.run.path / "rollback_log.json").read_text())["decisions"][0]
    assert log["score"] == "accuracy"
    own = json.loads(classifier_run.results.read_text())["best"]["accuracy"]
    assert log["before"] == pytest.approx(own)
    a = load_bundle(result.run.checkpoints / "phase_a.safetensors").state
    before = load_bundle(classifier_run.best).state
    taken = [name for name in before if name.startswith(("backbone.", "head."))]
    assert all(torch.equal(a[name], before[name]) for name in taken)
    seen = load_bundle(result.run.best).seen["weights"]
    assert set(load_bundle(classifier_run.best).seen["weights"]) <= set(seen)


def test_a_classification_that_became_worse_is_rolled_back(
    masked_folders, classifier_run, tmp_path
):
    words = (f"init.weights={classifier_run.path}", "phases.a.epochs=0", "phases.b.epochs=1",
             "phases.b.lr_classes=30", "phases.b.lr_backbone=1")  # fmt: skip
    result = train(settings(masked_folders, tmp_path, *words), say=silent)
    log = json.loads((result.run.path / "rollback_log.json").read_text())["decisions"][0]
    assert log["rolled_back"] is (log["after"] < log["before"] - 0.005)
    assert log["rolled_back"] is True
    assert not (result.run.checkpoints / "phase_c.safetensors").exists()


def test_weights_that_have_learnt_from_what_validates_are_refused(
    masked_folders, classifier_run, tmp_path
):
    words = (f"init.weights={classifier_run.path}", "seed=5")
    with pytest.raises(LeakageError, match="pictures to validate on"):
        train(settings(masked_folders, tmp_path, *words), say=silent)
    assert not list(tmp_path.iterdir())


def test_weights_of_another_backbone_are_refused(masked_folders, classifier_run, tmp_path, capsys):
    words = (f"init.weights={classifier_run.path}", "model.width=8")
    code = run("train", f"data={masked_folders}", f"output_dir={tmp_path}", *TINY, *words)
    assert code != 0
    assert "backbone -, size -) is another one" in capsys.readouterr().err


def test_time_is_shared_among_the_phases(masked_folders, tmp_path):
    words = ("trainer.max_time=6s", "phases.a.epochs=30", "phases.b.epochs=30",
             "phases.c.epochs=30", "phases.a.patience=0", "phases.b.patience=0",
             "phases.c.patience=0")  # fmt: skip
    result = train(settings(masked_folders, tmp_path, *words), say=silent)
    assert [one["name"] for one in result.results["phases"]] == ["a", "b", "c"]
    assert result.results["seconds"] < 20

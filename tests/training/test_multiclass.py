"""Classes that exclude each other, the whole way: shapes, training, evaluation, inference."""

import csv
import json
import sys

import cv2
import numpy as np
import pytest
import torch

from faultline.artifacts.bundle import load_bundle
from faultline.cli import main
from faultline.data.synthetic import ShapeSettings, write_shapes_dataset
from faultline.training.multiclass import MeanIoUScorer
from faultline.types import LabelKind, LabelSpace

NAMES = ("background", "circle", "ring")
TRAIN = [
    "model=unet_mini", "model.base_channels=8", "data.crop=64", "data.batch_size=8",
    "data.crops_per_image=2", "scheduler.warmup_steps=5",
    "trainer.precision=fp32", "trainer.accelerator=cpu",
    "trainer.tensorboard=false", "optimizer.lr=0.003", "trainer.max_epochs=6", "augment=none",
]  # fmt: skip


def run(*words):
    before, sys.argv = sys.argv, ["faultline", *map(str, words)]
    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    finally:
        sys.argv = before
    return 0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("shapes") / "data"
    settings = ShapeSettings(
        size=(64, 64), kinds=NAMES[1:], count=(1, 2), noise=4.0, radius=(0.2, 0.3)
    )
    write_shapes_dataset(root, {"train": 48, "valid": 8, "test": 6}, seed=1, settings=settings)
    return root


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    assert run("train", f"data={data}", f"output_dir={out}", *TRAIN) == 0
    return out / "unet_mini" / "latest"


class TestTraining:
    def test_it_learns_and_selects_by_mean_iou(self, trained):
        results = json.loads((trained / "results.json").read_text())
        best = results["best"]
        assert best["iou"] > 0.25
        assert best["iou"] == pytest.approx(np.mean([best["iou_circle"], best["iou_ring"]]))
        assert 0 < best["pixel_accuracy"] <= 1
        assert results["criterion"]["kind"] == "multiclass"

    def test_each_class_has_its_curve(self, trained):
        with (trained / "metrics.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert {"val/iou", "val/iou_circle", "val/iou_ring", "val/pixel_accuracy"} <= set(rows[0])
        scores = [float(row["val/iou"]) for row in rows]
        best = json.loads((trained / "results.json").read_text())["best"]
        assert best["iou"] == pytest.approx(max(scores), abs=1e-6)

    def test_the_bundle_has_no_threshold(self, trained):
        bundle = load_bundle(trained)
        assert bundle.threshold.status == "most_probable"
        assert bundle.label_space.names == NAMES
        assert bundle.label_space.kind is LabelKind.MULTICLASS

    def test_the_console_speaks_of_mean_iou(self, data, tmp_path, capsys):
        words = ["trainer.max_epochs=1", "data.crops_per_image=1", "trainer.guard_epochs=0"]
        assert run("train", f"data={data}", f"output_dir={tmp_path}", *TRAIN, *words) == 0
        shown = capsys.readouterr().out
        assert "mean IoU" in shown
        assert "pixel accuracy" in shown
        assert "best validation mean IoU" in shown
        assert "threshold" not in shown

    def test_a_resumed_run_goes_on(self, data, tmp_path, capsys):
        words = [f"data={data}", f"output_dir={tmp_path}", *TRAIN, "trainer.max_epochs=1"]
        assert run("train", *words) == 0
        folder = (tmp_path / "unet_mini" / "latest").resolve()
        config = folder / "config.yaml"
        config.write_text(config.read_text().replace("max_epochs: 1", "max_epochs: 2"))
        assert run("train", "--resume", folder) == 0
        assert json.loads((folder / "results.json").read_text())["epochs"] == 2


@pytest.fixture(scope="module")
def metrics(trained):
    assert run("evaluate", "--weights", trained) == 0
    return json.loads((trained / "metrics_test.json").read_text())


class TestEvaluation:
    def test_means_and_classes(self, metrics, trained):
        together = metrics["multiclass"]
        assert together["names"] == list(NAMES)
        assert metrics["pooled"]["iou"] == together["iou"]
        assert together["iou"]["low"] < together["iou"]["value"] < together["iou"]["high"]
        each = [together["classes"][name]["iou"]["value"] for name in NAMES[1:]]
        assert together["iou"]["value"] == pytest.approx(np.mean(each))
        table = np.array(together["confusion"])
        assert table.sum() == 6 * 64 * 64
        assert together["pixel_accuracy"]["value"] == pytest.approx(np.trace(table) / table.sum())

    def test_one_against_the_rest_agrees(self, metrics):
        for name in NAMES[1:]:
            own = metrics["classes"][name]["pooled"]
            assert own["iou"]["value"] == pytest.approx(
                metrics["multiclass"]["classes"][name]["iou"]["value"]
            )

    def test_the_report_shows_classes_and_no_threshold(self, metrics, trained):
        page = (trained / "report.html").read_text()
        assert "What is taken for what" in page
        assert "Mean IoU over the classes" in page
        assert "Every pixel gets its most probable class" in page
        assert "default that nobody tuned" not in page
        assert "Scores over the threshold" not in page
        assert metrics["threshold"]["status"] == "most_probable"
        assert not (trained / "plots" / "threshold_ring.png").exists()

    def test_the_console(self, trained, tmp_path, capsys):
        assert run("evaluate", "--weights", trained, "--save", tmp_path) == 0
        shown = capsys.readouterr().out
        assert "mean IoU 0." in shown
        assert "  circle" in shown

    def test_a_threshold_is_refused(self, trained, tmp_path, capsys):
        words = ("--threshold", "0.4", "--save", tmp_path / "out")
        assert run("evaluate", "--weights", trained, *words) == 2
        assert "the classes exclude each other" in capsys.readouterr().err


def test_inference_writes_class_indices(trained, data, tmp_path, capsys):
    words = ("--input", data / "test" / "images", "--save", tmp_path)
    assert run("infer", "--weights", trained, *words) == 0
    assert "most probable class" in capsys.readouterr().out
    masks = sorted(tmp_path.glob("*_mask.png"))
    assert len(masks) == len(list(tmp_path.glob("*_overlay.png"))) == 6
    found = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in masks]
    values = set(np.unique(np.stack(found)).tolist())
    assert values <= {0, 1, 2}
    assert len(values) > 1


class TestTheScorer:
    space = LabelSpace(LabelKind.MULTICLASS, NAMES)

    def counted(self, probability, truth):
        from types import SimpleNamespace

        scorer = MeanIoUScorer(self.space, "fp32")
        batch = SimpleNamespace(mask=torch.tensor(truth, dtype=torch.uint8))
        scorer.count(None, torch.tensor(probability), batch)
        return scorer

    def test_takes_the_most_probable_class_whatever_its_probability(self):
        # One row of three pixels: background, circle at 0.4 > 0.35, ring.
        probability = [[[[0.9, 0.35, 0.1]], [[0.05, 0.4, 0.1]], [[0.05, 0.25, 0.8]]]]
        scores = self.counted(probability, [[[0, 1, 2]]]).scores(None)
        assert scores["iou"] == 1.0
        assert scores["pixel_accuracy"] == 1.0

    def test_absent_classes_by_the_stated_rules(self):
        # Truth holds circles only; nothing is called ring: it is left out of the mean.
        probability = [[[[0.1, 0.9]], [[0.8, 0.05]], [[0.1, 0.05]]]]
        scores = self.counted(probability, [[[1, 0]]]).scores(None)
        assert scores["iou"] == scores["iou_circle"] == 1.0
        assert np.isnan(scores["iou_ring"])
        # A ring is marked where there is none: 0, and the mean feels it.
        probability = [[[[0.1, 0.1]], [[0.8, 0.1]], [[0.1, 0.8]]]]
        scores = self.counted(probability, [[[1, 0]]]).scores(None)
        assert scores["iou_ring"] == 0.0
        assert scores["iou"] == 0.5

    def test_ignored_pixels_are_left_out(self):
        probability = [[[[0.1, 0.1]], [[0.8, 0.8]], [[0.1, 0.1]]]]
        scorer = self.counted(probability, [[[1, 255]]])
        assert scorer.scores(None)["iou"] == 1.0
        assert scorer.histogram.pixels == 1

    def test_starts_anew(self):
        scorer = self.counted([[[[0.1]], [[0.8]], [[0.1]]]], [[[1]]])
        scorer.start()
        assert np.isnan(scorer.scores(None)["iou"])

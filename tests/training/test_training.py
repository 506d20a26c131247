"""Training: it learns, it repeats, it resumes, it stops when told, it says when it is blind."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from training_settings import SMALL, settings, silent

from faultline.artifacts.bundle import load_bundle
from faultline.config import from_yaml
from faultline.data.manifest import Item, MaskFile
from faultline.errors import (
    TrainingError,
)
from faultline.training.fit import train
from faultline.training.labels import mask_values
from faultline.training.schedule import cosine_factor


@pytest.fixture(scope="module")
def trained(line_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    lines = []
    result = train(settings(line_data, out, "trainer.max_epochs=12"), say=lines.append)
    return result, lines


class TestARun:
    def test_learns_the_lines(self, trained):
        # Painting everything would give about 0.1.
        assert trained[0].results["best"]["iou"] > 0.35

    def test_writes_what_the_design_lists(self, trained):
        run = trained[0].run
        names = ["config.yaml", "provenance.json", "metrics.csv", "results.json", "splits.json"]
        names += ["checkpoints/best.safetensors", "checkpoints/last.ckpt"]
        for name in names:
            assert (run.path / name).is_file(), name
        assert list(run.plots.glob("*.png"))
        assert (run.path.parent / "latest").resolve() == run.path.resolve()
        assert from_yaml(run.config).trainer.precision == "fp32"

    def test_metrics_have_a_row_an_epoch(self, trained):
        with trained[0].run.metrics_csv.open() as stream:
            rows = list(csv.DictReader(stream))
        assert [int(row["epoch"]) for row in rows] == list(range(12))
        assert float(rows[-1]["train/loss"]) < float(rows[0]["train/loss"])
        for name in ("val/iou", "val/iou_at_0.5", "val/threshold", "images_per_second"):
            assert rows[-1][name], name

    def test_the_best_epoch_is_the_one_kept(self, trained):
        result = trained[0]
        with result.run.metrics_csv.open() as stream:
            scores = [float(row["val/iou"]) for row in csv.DictReader(stream)]
        assert result.results["best"]["iou"] == pytest.approx(max(scores), abs=1e-6)
        bundle = load_bundle(result.run.path)
        assert bundle.metrics["validation"]["iou"] == pytest.approx(max(scores), abs=1e-6)

    def test_the_bundle_knows_what_it_has_seen(self, trained, line_data):
        result = trained[0]
        bundle = load_bundle(result.run.path)
        splits = json.loads((result.run.path / "splits.json").read_text())
        assert bundle.seen["weights"] == sorted(item["sha256"] for item in splits["train"])
        assert bundle.seen["selection"] == sorted(item["sha256"] for item in splits["valid"])
        assert bundle.threshold.status == "tuned"
        assert 0 < bundle.threshold.value < 1

    def test_prints_parameters_and_precision(self, trained):
        text = "\n".join(trained[1])
        assert "parameters" in text
        assert "precision fp32" in text


@pytest.mark.parametrize("keep", [1, 3])
def test_as_many_bundles_stay_as_are_wanted(keep, line_data, tmp_path):
    words = ("trainer.max_epochs=8", f"trainer.keep_best={keep}")
    result = train(settings(line_data, tmp_path, *words), say=silent)
    with result.run.metrics_csv.open() as stream:
        scores = [float(row["val/iou"]) for row in csv.DictReader(stream)]
    records = [k for k, score in enumerate(scores) if score >= max(scores[: k + 1])]
    found = sorted(path.name for path in result.run.checkpoints.glob("before-*"))
    expected = records[:-1][-(keep - 1) :] if keep > 1 else []
    assert found == [f"before-epoch-{k:04}.safetensors" for k in expected]
    for name, epoch in zip(found, expected, strict=True):
        kept = load_bundle(result.run.checkpoints / name).metrics["validation"]
        assert kept["iou"] == pytest.approx(scores[epoch], abs=1e-6)
    assert load_bundle(result.run.path).metrics["validation"]["epoch"] == records[-1]


def test_max_time_stops_and_still_validates(line_data, tmp_path):
    result = train(settings(line_data, tmp_path, "trainer.max_time=4s"), say=silent)
    assert result.results["seconds"] < 20
    assert result.results["best"]


@pytest.mark.parametrize(
    "words", [("trainer.max_steps=2",), ("trainer.max_epochs=2", "trainer.validate_every=5")]
)
def test_a_training_that_ends_between_validations_is_validated(line_data, tmp_path, words):
    result = train(settings(line_data, tmp_path, *words), say=silent)
    assert result.results["best"]["step"] == result.results["steps"] > 0
    assert load_bundle(result.run.path).threshold.status == "tuned"
    assert "val/iou" in result.run.metrics_csv.read_text()


def test_an_epoch_without_validation_shows_none(line_data, tmp_path):
    lines: list[str] = []
    words = ("trainer.max_epochs=3", "trainer.validate_every=2")
    result = train(settings(line_data, tmp_path, *words), say=lines.append)
    with result.run.metrics_csv.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [bool(row["val/iou"]) for row in rows] == [False, True, True]
    first, second, third, last = (line for line in lines if line.startswith("epoch "))
    assert all("val loss" in line and "IoU" in line for line in (second, last))
    assert all("val loss" not in line and "IoU" not in line for line in (first, third))


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer.name=sgd", "optimizer.lr=0.05"),
        ("scheduler.name=ReduceLROnPlateau", "scheduler.patience=0"),
        ("scheduler.name=none", "trainer.accumulate=2"),
        ("trainer.ema=0.9",),
        ("trainer.precision=bf16",),
        ("loss=focal_tversky",),
        ("loss=cldice",),
        ("model=unet_mini",),
        ("data.crop=0", "data.batch_size=2"),
        ("data.resize=64", "data.crop=32"),
        ("data.cache=disk", "data.num_workers=1"),
        ("trainer.early_stopping_patience=1", "trainer.max_epochs=4", "optimizer.lr=1e-9"),
        ("trainer.tensorboard=true",),
    ],
    ids=lambda words: words[0],
)
def test_settings_train(line_data, tmp_path, words, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    result = train(settings(line_data, tmp_path, "trainer.max_epochs=2", *words), say=silent)
    assert result.results["status"] == "finished"
    assert np.isfinite(result.results["last"]["threshold"])


def test_early_stopping_stops(line_data, tmp_path):
    words = ("trainer.early_stopping_patience=2", "trainer.max_epochs=30", "optimizer.lr=1e-9")
    result = train(settings(line_data, tmp_path, *words), say=silent)
    assert result.results["epochs"] < 30


def test_a_threshold_by_hand_wins_and_says_so(line_data, tmp_path):
    words = ("trainer.max_epochs=1", "threshold=0.4")
    result = train(settings(line_data, tmp_path, *words), say=silent)
    threshold = load_bundle(result.run.path).threshold
    assert threshold.value == 0.4
    assert threshold.status == "by_hand"


def test_the_zero_iou_failure_is_announced_with_its_cause(line_data, tmp_path):
    """The failure of the fourth document: an unweighted loss, a fixed threshold, no foreground."""
    words = ("loss=bce", "threshold=0.9", "optimizer.lr=1e-5", "trainer.max_epochs=3")
    lines = []
    train(settings(line_data, tmp_path, *words), say=lines.append)
    text = "\n".join(lines)
    assert "no foreground after 3 validations" in text
    assert "threshold" in text


@pytest.mark.parametrize(
    ("rule", "found"),
    [("binary0255", [0, 7, 255]), ("binary0255@2", [0, 7, 255]), ("threshold", None),
     ("threshold@3", None), ("index", None), ("rgb:000000=;ff0000=0", None)],
)  # fmt: skip
def test_only_masks_of_two_values_are_suspected_for_others(rule, found, tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "m.png"), np.array([[0, 7, 255]], np.uint8))
    mask = MaskFile(tmp_path / "m.png", rule)
    item = Item("m", tmp_path / "m.jpg", None, "m", "0", 3, 1, mask_file=mask)
    plain = Item("n", tmp_path / "n.jpg", None, "n", "1", 3, 1)
    assert mask_values([item, plain]) == found


def test_the_diagnosis_shows_labels_and_mask_values(tmp_path):
    import cv2

    for split, count in (("train", 4), ("valid", 2), ("test", 1)):
        for number in range(count):
            folder = tmp_path / "data" / split
            (folder / "images").mkdir(parents=True, exist_ok=True)
            (folder / "masks").mkdir(exist_ok=True)
            rng = np.random.default_rng([count, number])
            picture = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
            mask = np.zeros((64, 64), np.uint8)
            mask[number + 3] = 255
            cv2.imwrite(str(folder / "images" / f"{split}{number}.png"), picture)
            cv2.imwrite(str(folder / "masks" / f"{split}{number}.png"), mask)
    lines = []
    words = ("loss=bce", "threshold=0.9", "optimizer.lr=1e-6", "trainer.max_epochs=3")
    train(settings(tmp_path / "data", tmp_path / "runs", *words), say=lines.append)
    text = "\n".join(lines)
    assert "0, 255" in text
    assert "1.6 % in training" in text or "1.56 % in training" in text  # one row of 64


def test_classes_that_exclude_each_other_train_too(tmp_path):
    """Three classes by a colour table; the settings are read back from the run's own file."""
    import cv2

    colours = {"leaf": [0, 176, 0], "lesion": [255, 0, 0]}
    for split, count in (("train", 4), ("valid", 2), ("test", 2)):
        folder = tmp_path / "data" / split
        (folder / "images").mkdir(parents=True)
        (folder / "masks").mkdir()
        for number in range(count):
            rng = np.random.default_rng([len(split), ord(split[-1]), number])
            mask = np.zeros((64, 64, 3), np.uint8)
            mask[10:50, 10:50] = colours["leaf"]
            mask[20:30, 15 + number : 30] = colours["lesion"]
            picture = np.clip(mask + rng.normal(60, 20, mask.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / "images" / f"{split}{number}.png"), picture[..., ::-1])
            cv2.imwrite(str(folder / "masks" / f"{split}{number}_mask.png"), mask[..., ::-1])
    words = [f"data.mask_colours={{leaf:{colours['leaf']},lesion:{colours['lesion']}}}"]
    words += ["data.kind=multiclass", "trainer.max_epochs=40", "scheduler.warmup_steps=5"]
    result = train(settings(tmp_path / "data", tmp_path / "runs", *words), say=silent)
    assert result.results["best"]["iou"] > 0.5
    assert from_yaml(result.run.config).data.mask_colours == colours
    from faultline.evaluation.command import evaluate_weights

    metrics = evaluate_weights(result.run.path, say=silent).metrics
    assert {"leaf", "lesion"} <= set(metrics["classes"])


@pytest.mark.slow
def test_two_processes_train_one_model(line_data, tmp_path):
    words = [f"data={line_data}", f"output_dir={tmp_path}", *SMALL, "trainer.max_epochs=3"]
    words += ["trainer.devices=2", "trainer.strategy=ddp", "data.batch_size=2"]
    command = [sys.executable, "-m", "faultline", "train", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = list((tmp_path / "scratch_ed_plus").glob("2*"))
    assert len(runs) == 1
    results = json.loads((runs[0] / "results.json").read_text())
    assert results["status"] == "finished"
    assert results["steps"] == 9
    assert load_bundle(runs[0]).threshold.status == "tuned"


def test_the_guard_can_stop_the_training(line_data, tmp_path):
    words = ("loss=bce", "threshold=0.9", "optimizer.lr=1e-5", "trainer.guard_action=stop")
    with pytest.raises(TrainingError, match="finds no foreground"):
        train(settings(line_data, tmp_path, "trainer.max_epochs=9", *words), say=silent)


def test_the_guard_is_silent_when_training_works(trained):
    assert "no foreground" not in "\n".join(trained[1])


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_training_that_ends_at_chance_gets_its_diagnosis_at_the_end(epochs, line_data, tmp_path):
    words = ("loss=bce", "optimizer.lr=1e-9", f"trainer.max_epochs={epochs}")
    lines = []
    train(settings(line_data, tmp_path, *words), say=lines.append)
    told = [line for line in lines if "no foreground" in line]
    count = "1 validation" if epochs == 1 else "4 validations"
    assert [line.partition("\n")[0] for line in told] == [
        f"no foreground at the end, after {count}"
    ]
    assert "Diagnosis of the predictions" in told[0]


def test_cosine_rises_and_falls():
    rising = [cosine_factor(step, 0.0, 10, 0.1) for step in range(10)]
    assert rising == pytest.approx([0.1 * (n + 1) for n in range(10)])
    assert cosine_factor(100, 1.0, 10, 0.1) == pytest.approx(0.1)
    assert cosine_factor(100, 0.5, 10, 0.1) == pytest.approx(0.55)

"""Training: it learns, it repeats, it resumes, it stops when told, it says when it is blind."""

import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from faultline.artifacts.bundle import load_bundle
from faultline.config import from_yaml, load_config
from faultline.data.prepare import prepare
from faultline.errors import (
    ConfigError,
    DataError,
    LeakageError,
    OutputError,
    TrainingError,
    UnknownNameError,
)
from faultline.training.fit import train
from faultline.training.schedule import cosine_factor

SMALL = [
    "model=scratch_ed_plus", "model.base_channels=8", "data.crop=64", "data.batch_size=4",
    "data.crops_per_image=1", "trainer.precision=fp32", "trainer.accelerator=cpu",
    "trainer.tensorboard=false", "data.validation=split", "optimizer.lr=0.01",
]  # fmt: skip


def settings(data, out, *words):
    return load_config([f"data={data}", f"output_dir={out}", *SMALL, *words])


def silent(line):
    pass


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


def weights_of(path):
    return load_bundle(path).state


def last_weights(run):
    return torch.load(run.last_checkpoint, weights_only=False)["state_dict"]


def test_the_same_seed_gives_the_same_weights_bit_for_bit(line_data, tmp_path):
    words = ("trainer.max_epochs=2",)
    first = train(settings(line_data, tmp_path / "a", *words), say=silent)
    second = train(settings(line_data, tmp_path / "b", *words), say=silent)
    a, b = last_weights(first.run), last_weights(second.run)
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("words", [(), ("trainer.ema=0.9",), ("model=scratch_ed_plus_dropout",)])
@pytest.mark.parametrize("stop_at", [4, 6])
def test_a_resumed_run_equals_an_uninterrupted_one(
    line_data, tmp_path, words, stop_at, monkeypatch
):
    """Interrupted in the middle (step 4) and at the end (step 6) of epochs of 3 steps."""
    common = ("trainer.max_epochs=4", "trainer.checkpoint_every_steps=2", *words)
    whole = train(settings(line_data, tmp_path / "whole", *common), say=silent)
    run = interrupted_after(line_data, tmp_path / "cut", common, stop_at, monkeypatch)
    resumed = train(load_config(), say=silent, resume=run.path)
    assert not resumed.interrupted
    a, b = last_weights(whole.run), last_weights(resumed.run)
    assert all(torch.equal(a[key], b[key]) for key in a)
    with resumed.run.metrics_csv.open() as stream:
        assert [int(row["epoch"]) for row in csv.DictReader(stream)] == [0, 1, 2, 3]
    assert resumed.results["best"]["iou"] == whole.results["best"]["iou"]


def interrupted_after(data, out, words, step, monkeypatch):
    """A run that dies like a killed process right after resume point `step` was written."""
    from faultline.training.resume import ResumePoints

    class Killed(BaseException):
        pass

    save = ResumePoints.save

    def save_and_die(self, trainer):
        save(self, trainer)
        if trainer.global_step >= step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ResumePoints, "save", save_and_die)
        with pytest.raises(Killed):
            train(settings(data, out, *words), say=silent)
    from faultline.artifacts.run import RunFolder, resolve_run

    return RunFolder.open(resolve_run(out / "scratch_ed_plus_dropout" / "latest"
                                      if "model=scratch_ed_plus_dropout" in words
                                      else out / "scratch_ed_plus" / "latest"))  # fmt: skip


def test_ctrl_c_leaves_a_run_that_can_go_on(line_data, tmp_path):
    words = [f"data={line_data}", f"output_dir={tmp_path}", *SMALL, "trainer.max_epochs=500"]
    command = [sys.executable, "-m", "faultline", "train", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 90
    for line in process.stdout:
        if line.startswith("epoch   1") or time.monotonic() > deadline:
            break
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=90)[0]
    assert process.returncode == 130, rest
    assert "--resume" in rest
    run = next((tmp_path / "scratch_ed_plus").glob("2*"))
    assert json.loads((run / "results.json").read_text())["status"] == "interrupted"
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("max_epochs: 500", "max_epochs: 4"))
    resumed = train(load_config(), say=silent, resume=run)
    assert resumed.results["status"] == "finished"


def test_max_time_stops_and_still_validates(line_data, tmp_path):
    result = train(settings(line_data, tmp_path, "trainer.max_time=4s"), say=silent)
    assert result.results["seconds"] < 20
    assert result.results["best"]


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
    words += ["data.kind=multiclass", "trainer.max_epochs=3"]
    result = train(settings(tmp_path / "data", tmp_path / "runs", *words), say=silent)
    assert result.results["best"]["iou"] > 0
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


class TestSplits:
    def test_two_splits_keep_the_second_as_test(self, line_data, tmp_path):
        for split in ("train", "valid"):
            (tmp_path / split).symlink_to(line_data / split)
        prepared = prepare(load_config([f"data={tmp_path}"]).data, 0)
        assert len(prepared.test) == 4
        assert len(prepared.valid) == 2
        assert any("test set" in note for note in prepared.notes)

    def test_test_given_as_the_shipped_valid(self, line_data):
        words = [f"data={line_data}", f"data.test={line_data / 'valid'}"]
        prepared = prepare(load_config(words).data, 0)
        assert {item.path.parent.name for item in prepared.test} == {"valid"}
        assert {item.path.parent.name for item in prepared.valid} == {"train"}

    def test_three_splits_are_used_as_shipped(self, line_data):
        prepared = prepare(load_config([f"data={line_data}"]).data, 0)
        assert [len(part) for part in (prepared.train, prepared.valid, prepared.test)] == [12, 4, 4]

    def test_no_split_holds_out_by_group(self, line_data):
        prepared = prepare(load_config([f"data={line_data / 'train'}"]).data, 0)
        assert prepared.test
        assert prepared.valid
        assert len(prepared.train) + len(prepared.valid) + len(prepared.test) == 12

    def test_near_copies_in_another_data_set_are_refused(self, line_data, tmp_path):
        import cv2

        folder = tmp_path / "other" / "test"
        folder.mkdir(parents=True)
        source = sorted((line_data / "train").glob("*.png"))[0]
        cv2.imwrite(str(folder / "turned.png"), cv2.rotate(cv2.imread(str(source)), 0))
        mask = np.zeros((128, 96), np.uint8)
        mask[5:9] = 255
        cv2.imwrite(str(folder / "turned_mask.png"), mask)
        words = [f"data={line_data}", f"data.test={folder}"]
        assert len(prepare(load_config(words).data, 0).test) == 1
        words.append("data.group_by=near_duplicates")
        with pytest.raises(LeakageError, match="turned"):
            prepare(load_config(words).data, 0)

    def test_training_pictures_as_test_are_refused(self, line_data):
        words = [f"data={line_data}", f"data.test={line_data / 'train'}"]
        with pytest.raises(LeakageError, match=r"train"):
            prepare(load_config(words).data, 0)


class TestBadInput:
    def test_no_data(self, tmp_path):
        with pytest.raises(DataError, match=r"no data set was given.*data=FOLDER"):
            train(load_config([f"output_dir={tmp_path}"]), say=silent)

    def test_unknown_model_and_loss(self, line_data, tmp_path):
        with pytest.raises(UnknownNameError, match="did you mean 'unet_mini'"):
            train(settings(line_data, tmp_path, "model=unet_min"), say=silent)
        with pytest.raises(UnknownNameError, match="did you mean 'bce_dice'"):
            train(settings(line_data, tmp_path, "loss=bce_dic"), say=silent)

    def test_unknown_model_leaves_no_run_behind(self, line_data, tmp_path):
        with pytest.raises(UnknownNameError):
            train(settings(line_data, tmp_path / "runs", "model=unet_min"), say=silent)
        assert not (tmp_path / "runs").exists()

    def test_unknown_model_setting(self, line_data, tmp_path):
        with pytest.raises(ConfigError, match="did you mean 'blocks'"):
            train(settings(line_data, tmp_path, "model.block=[1,1,1]"), say=silent)

    def test_no_positive_pixel_in_training(self, tmp_path, coco_writer, line_data):
        root = tmp_path / "data"
        coco_writer(root / "train", 4, 9)
        annotations = root / "train" / "_annotations.coco.json"
        content = json.loads(annotations.read_text())
        annotations.write_text(json.dumps({**content, "annotations": []}))
        (root / "valid").symlink_to(line_data / "valid")
        (root / "test").symlink_to(line_data / "test")
        with pytest.raises(DataError, match=r"none of the 4 training pictures has a foreground"):
            train(settings(root, tmp_path / "runs"), say=silent)

    def test_no_positive_pixel_in_validation(self, tmp_path, coco_writer, line_data):
        root = tmp_path / "data"
        coco_writer(root / "valid", 2, 8)
        annotations = root / "valid" / "_annotations.coco.json"
        content = json.loads(annotations.read_text())
        annotations.write_text(json.dumps({**content, "annotations": []}))
        (root / "train").symlink_to(line_data / "train")
        (root / "test").symlink_to(line_data / "test")
        with pytest.raises(DataError, match=r"none of the 2 validation pictures"):
            train(settings(root, tmp_path / "runs"), say=silent)

    def test_an_output_folder_that_is_a_file(self, line_data, tmp_path):
        (tmp_path / "runs").write_text("in the way")
        with pytest.raises(OutputError, match="runs"):
            train(settings(line_data, tmp_path / "runs"), say=silent)

    def test_a_full_disk_while_saving_keeps_the_old_weights(self, line_data, tmp_path, monkeypatch):
        import os

        import faultline.files

        replace, calls = os.replace, []

        def fail_on_the_second_bundle(source, target):
            if str(target).endswith("best.safetensors"):
                calls.append(target)
                if len(calls) == 2:
                    raise OSError(28, "No space left on device")
            replace(source, target)

        monkeypatch.setattr(faultline.files.os, "replace", fail_on_the_second_bundle)
        with pytest.raises(OutputError, match=r"No space left on device.*unchanged"):
            train(settings(line_data, tmp_path, "trainer.max_epochs=12"), say=silent)
        kept = next((tmp_path / "scratch_ed_plus").glob("2*/checkpoints"))
        assert load_bundle(kept / "best.safetensors").metrics
        assert [path.name for path in kept.iterdir() if path.name.startswith(".")] == []

    def test_resuming_what_cannot_be_resumed(self, trained, tmp_path):
        with pytest.raises(ConfigError):
            train(load_config(), say=silent, resume=tmp_path)


def test_cosine_rises_and_falls():
    rising = [cosine_factor(step, 0.0, 10, 0.1) for step in range(10)]
    assert rising == pytest.approx([0.1 * (n + 1) for n in range(10)])
    assert cosine_factor(100, 1.0, 10, 0.1) == pytest.approx(0.1)
    assert cosine_factor(100, 0.5, 10, 0.1) == pytest.approx(0.55)

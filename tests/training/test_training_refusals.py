"""What cannot be trained on is refused in one clear line, and nothing is lost."""

import json

import pytest
from training_settings import settings, silent

from faultline.artifacts.bundle import load_bundle
from faultline.config import load_config
from faultline.errors import (
    ConfigError,
    DataError,
    OutputError,
    UnknownNameError,
)
from faultline.training.fit import train


def strip_labels(split):
    annotations = split / "_annotations.coco.json"
    content = json.loads(annotations.read_text())
    annotations.write_text(json.dumps({**content, "annotations": []}))


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
        strip_labels(root / "train")
        (root / "valid").symlink_to(line_data / "valid")
        (root / "test").symlink_to(line_data / "test")
        with pytest.raises(DataError, match=r"none of the 4 training pictures has a foreground"):
            train(settings(root, tmp_path / "runs"), say=silent)

    def test_no_positive_pixel_in_validation(self, tmp_path, coco_writer, line_data):
        root = tmp_path / "data"
        coco_writer(root / "valid", 2, 8)
        strip_labels(root / "valid")
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

    def test_resuming_what_cannot_be_resumed(self, tmp_path):
        with pytest.raises(ConfigError):
            train(load_config(), say=silent, resume=tmp_path)

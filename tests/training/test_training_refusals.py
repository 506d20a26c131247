"""What cannot be trained on is refused in one clear line, and nothing is lost."""

import json

import pytest
from training_settings import settings, silent

from faultline.artifacts.bundle import load_bundle
from faultline.artifacts.run import RunFolder
from faultline.config import load_config
from faultline.errors import (
    ConfigError,
    DataError,
    OutputError,
)
from faultline.training.fit import train
from faultline.training.kinds import training_config


def strip_labels(split):
    annotations = split / "_annotations.coco.json"
    content = json.loads(annotations.read_text())
    annotations.write_text(json.dumps({**content, "annotations": []}))


class TestBadInput:
    def test_no_data(self, tmp_path):
        with pytest.raises(DataError, match=r"no data set was given.*data=FOLDER"):
            train(load_config([f"output_dir={tmp_path}"]), say=silent)

    def test_unknown_names_are_told_together_before_data_are_read(self, tmp_path):
        words = ["model=unet_min", "loss=bce_dic", "data.format=cocoo", "augment.flipp={}"]
        words += ["augment.blur.sgima=[1,2]", "~augment.rotate90"]
        with pytest.raises(ConfigError) as caught:
            train(load_config([*words, f"output_dir={tmp_path}"]), say=silent)
        for hint in ("unet_mini", "bce_dice", "coco", "flip", "sigma"):
            assert f"did you mean '{hint}'" in str(caught.value)
        assert "no data set" not in str(caught.value)

    def test_names_and_values_are_told_in_one_message_with_their_file(self, tmp_path):
        file = tmp_path / "settings.yaml"
        file.write_text("loss: {name: bce, gama: 2}\naugment: {flipp: {}}\n")
        with pytest.raises(ConfigError) as caught:
            training_config(["seed=x", "model=unet_min"], file=file)
        text = str(caught.value)
        for part in ("seed='x' must be a whole number", f"{file}: loss: loss 'bce' has no setting",
                     f"{file}: augment.flipp: unknown augmentation 'flipp'",
                     "; model: unknown model 'unet_min', did you mean 'unet_mini'"):  # fmt: skip
            assert part in text

    def test_a_model_of_another_task(self):
        with pytest.raises(ConfigError, match="'unet' is made for segmentation, not for classif"):
            training_config(["model=unet", "task=classification"])

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["augment.flipp={}"], "unknown augmentation 'flipp', did you mean 'flip'"),
            (["augment.flipp=null"], "unknown augmentation 'flipp'"),
            (["augment.flip=0.3"], r"augment\.flip: 0\.3 is not a table .* augment\.flip\.p=0\.3"),
            (["augment.flip.p=2"], r"augment\.flip: \{'p': 2\} is refused"),
            (
                ["augment.gamma.low=dark"],
                r"augment\.gamma\.low: 'dark' cannot stand in place of 0\.7",
            ),
            (["augment.blur.sigma=3"], r"augment\.blur\.sigma: 3 cannot .* of \[0\.3, 1\.2\]"),
            (["trainer.strategy=foo"], r"trainer: cannot be set up: .*foo.* -> check .*strategy"),
            (["experiment=../x"], "cannot be a folder name"),
            (["model=unet_min"], "unknown model 'unet_min'"),
            (["model.block=[1,1,1]"], "did you mean 'blocks'"),
            (["model.base_channels=-3"], "base_channels"),
            (["loss=tversky", "loss.alpha=-1"], r"loss\.alpha"),
        ],
    )
    def test_a_wrong_part_leaves_no_run_behind(self, words, message, line_data, tmp_path):
        with pytest.raises(ConfigError, match=message):
            train(settings(line_data, tmp_path / "runs", *words), say=silent)
        assert not (tmp_path / "runs").exists()

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
        message = rf"{tmp_path / 'runs'}: is a file, not a folder -> choose another output folder"
        with pytest.raises(OutputError, match=message):
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
        with pytest.raises(ConfigError, match=r"is not a run -> give a folder that `faultline"):
            train(load_config(), say=silent, resume=tmp_path)
        run = RunFolder.create(tmp_path, "begun", "seed: 1\n")
        with pytest.raises(ConfigError, match=r"holds no checkpoints/last\.ckpt to .*start again"):
            train(load_config(), say=silent, resume=run.path)

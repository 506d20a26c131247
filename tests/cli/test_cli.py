"""The command, end to end and in its errors, as a user types it."""

import io
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from faultline import __version__
from faultline.cli import main

TRAIN = [
    "model=scratch_ed_plus", "model.base_channels=8", "data.crop=64", "data.batch_size=4",
    "trainer.precision=fp32", "trainer.accelerator=cpu", "optimizer.lr=0.01",
    "trainer.max_epochs=6", "data.validation=split",
]  # fmt: skip


def run(*words):
    """Run the command in this process; its exit code."""
    before, sys.argv = sys.argv, ["faultline", *map(str, words)]
    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    finally:
        sys.argv = before
    return 0


@pytest.fixture(scope="module")
def trained(line_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("cli")
    assert run("train", f"data={line_data}", f"output_dir={out}", *TRAIN) == 0
    return out / "scratch_ed_plus" / "latest"


def test_signs_that_the_terminal_lacks_are_escaped(monkeypatch):
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert run("config", "output_dir=r\u00e9sultats") == 0
    terminal.flush()
    assert b"r\\xe9sultats" in raw.getvalue()


class TestTheWholeWay:
    def test_evaluate_writes_metrics_and_report_beside_the_weights(self, trained, capsys):
        assert run("evaluate", "--weights", trained / "checkpoints" / "best.safetensors") == 0
        assert "never seen by the weights" in capsys.readouterr().out
        metrics = json.loads((trained / "metrics_test.json").read_text())
        assert metrics["images"] == 4
        assert metrics["pooled"]["iou"]["value"] > 0.3
        assert metrics["threshold"]["origin"] == "tuned on validation"
        page = (trained / "report.html").read_text()
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert list((trained / "overlays").glob("*.png"))

    def test_a_threshold_by_hand_is_used_and_recorded(self, trained, tmp_path):
        words = ("--threshold", "0.9", "--save", tmp_path / "out")
        assert run("evaluate", "--weights", trained, *words) == 0
        metrics = json.loads((tmp_path / "out" / "metrics_test.json").read_text())
        assert metrics["threshold"]["value"] == 0.9
        assert metrics["threshold"]["origin"] == "set by hand"

    def test_a_threshold_as_a_word_or_in_a_file_is_used_too(self, trained, tmp_path):
        flat = tmp_path / "flat.yaml"
        flat.write_text("THRESHOLD: 0.8\n")
        for name, words in (("word", ["threshold=0.8"]), ("file", ["--config", flat])):
            folder = tmp_path / name
            assert run("evaluate", "--weights", trained, "--save", folder, *words) == 0
            metrics = json.loads((folder / "metrics_test.json").read_text())
            assert metrics["threshold"]["value"] == 0.8

    def test_weights_of_another_model_are_refused(self, trained, tmp_path, capsys):
        assert run("evaluate", "--weights", trained, "--model", "unet_mini") == 1
        words = ("--input", tmp_path, "--save", tmp_path / "out", "--model", "scratch_ed")
        assert run("infer", "--weights", trained, *words) == 1
        error = capsys.readouterr().err
        assert "holds weights of 'scratch_ed_plus', not of 'unet_mini'" in error
        assert "not of 'scratch_ed'" in error

    def test_the_trainings_own_test_set_does_not_go_with_other_data(
        self, line_data, tmp_path, coco_writer
    ):
        words = [f"data={line_data / 'train'}", f"data.test={line_data / 'test'}"]
        settings = [*TRAIN[:-2], "trainer.max_epochs=1"]
        assert run("train", *words, f"output_dir={tmp_path}", *settings) == 0
        run_folder = tmp_path / "scratch_ed_plus" / "latest"
        coco_writer(tmp_path / "other" / "test", 3, seed=78)
        assert run("evaluate", "--weights", run_folder, f"data={tmp_path / 'other'}") == 0
        written = run_folder / "evaluation-other" / "metrics_test.json"
        assert json.loads(written.read_text())["images"] == 3

    def test_the_test_set_that_a_run_names_is_its_own(self, line_data, tmp_path, coco_writer):
        words = [f"data={line_data / 'train'}", f"data.test={line_data / 'test'}"]
        settings = [*TRAIN[:-2], "trainer.max_epochs=1"]
        assert run("train", *words, f"output_dir={tmp_path}", *settings) == 0
        run_folder = tmp_path / "scratch_ed_plus" / "latest"
        assert run("evaluate", "--weights", run_folder) == 0
        assert run("evaluate", "--weights", run_folder, f"data.test={line_data}/test/") == 0
        assert not list(run_folder.glob("evaluation-*"))
        own = json.loads((run_folder / "metrics_test.json").read_text())
        assert own["images"] == 4
        coco_writer(tmp_path / "more" / "test", 3, seed=79)
        assert run("evaluate", "--weights", run_folder, f"data.test={tmp_path / 'more'}") == 0
        written = run_folder / "evaluation-more" / "metrics_test.json"
        assert json.loads(written.read_text())["images"] == 3
        from faultline.experiments.runs import read_run

        assert read_run(run_folder).test.values["iou"] == own["pooled"]["iou"]["value"]

    def test_another_data_set_is_written_to_a_folder_of_its_own(
        self, trained, tmp_path, coco_writer
    ):
        coco_writer(tmp_path / "other road" / "test", 3, seed=77)
        assert run("evaluate", "--weights", trained, f"data={tmp_path / 'other road'}") == 0
        metrics = json.loads((trained / "evaluation-other_road" / "metrics_test.json").read_text())
        assert metrics["images"] == 3

    def test_training_pictures_are_refused(self, trained, line_data, capsys):
        code = run("evaluate", "--weights", trained, f"data.test={line_data / 'train'}")
        assert code == 1
        assert "train" in capsys.readouterr().err

    def test_infer_writes_masks_overlays_and_a_table(self, trained, line_data, tmp_path):
        words = ("--input", line_data / "test", "--save", tmp_path)
        assert run("infer", "--weights", trained, *words) == 0
        masks = sorted(tmp_path.glob("*_mask.png"))
        assert len(masks) == len(list(tmp_path.glob("*_overlay.png"))) == 4
        mask = cv2.imread(str(masks[0]), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (96, 128)
        assert set(np.unique(mask)) <= {0, 255}
        table = (tmp_path / "measurements.csv").read_text().splitlines()
        assert len(table) == 5

    def test_infer_goes_on_after_a_bad_picture_and_says_so(self, trained, tmp_path, capsys):
        folder = tmp_path / "in"
        folder.mkdir()
        cv2.imwrite(str(folder / "good.png"), np.full((40, 50, 3), 128, np.uint8))
        (folder / "bad.jpg").write_bytes(b"")
        words = ("--input", folder, "--save", tmp_path / "out")
        assert run("infer", "--weights", trained, *words) == 1
        assert "bad.jpg" in capsys.readouterr().out
        assert (tmp_path / "out" / "good_mask.png").is_file()

    def test_config_file_and_model_option(self, line_data, tmp_path):
        flat = tmp_path / "flat.yaml"
        flat.write_text(
            "BASE_CHANNELS: 4\nEPOCHS: 1\nBATCH_SIZE: 4\nIMG_SIZE: 64\nTHRESHOLD: 0.4\n"
        )
        words = ("--config", flat, "--model", "scratch_ed", f"data={line_data}")
        assert run("train", *words, f"output_dir={tmp_path}", "trainer.precision=fp32") == 0
        results = json.loads((tmp_path / "scratch_ed" / "latest" / "results.json").read_text())
        assert results["model"] == {"name": "scratch_ed", "base_channels": 4}
        assert results["best"]["threshold"] == 0.4

    def test_doctor_passes_sound_data_and_fails_poisoned(self, line_data, tmp_path, coco_writer):
        assert run("doctor", f"data={line_data}") == 0
        coco_writer(tmp_path / "train", 4, seed=5)
        coco_writer(tmp_path / "test", 2, seed=6)
        copy = (tmp_path / "train").glob("*.png")
        first = next(copy)
        target = next((tmp_path / "test").glob("*.png"))
        target.write_bytes(first.read_bytes())
        assert run("doctor", f"data={tmp_path}", "--save", tmp_path / "found") == 1
        assert (tmp_path / "found" / "doctor.json").is_file()

    def test_synthesize_then_import(self, tmp_path):
        words = ("--train", "2", "--valid", "1", "--test", "1", "--height", "64", "--width", "80")
        assert run("synthesize", tmp_path / "made", *words) == 0
        assert len(list((tmp_path / "made").rglob("*.jpg"))) == 4


class TestListing:
    @pytest.mark.parametrize(
        ("what", "name"),
        [
            ("models", "scratch_ed_plus"),
            ("losses", "bce_dice"),
            ("augmentations", "rotate90"),
            ("importers", "coco"),
        ],
    )
    def test_lists_names_and_settings(self, what, name, capsys):
        assert run("list", what) == 0
        assert name in capsys.readouterr().out
        assert run("list", what, "--json") == 0
        rows = json.loads(capsys.readouterr().out)
        assert all(row["summary"] for row in rows)
        assert name in {row["name"] for row in rows}

    def test_models_are_listed_with_their_task_and_importers_without_what_is_given_to_them(
        self, capsys
    ):
        assert run("list", "models") == 0
        tasks = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines()[::2])
        assert tasks["scratch_ed_plus"] == tasks["unet"] == "segmentation"
        assert tasks["conv_next"] == "classification"
        assert tasks["prompt_ed"] == "prompted"
        assert tasks["dual_head"] == "dual_head"
        assert run("list", "importers") == 0
        assert "required" not in capsys.readouterr().out

    def test_config_prints_what_would_be_used(self, capsys):
        assert run("config", "model=unet_mini") == 0
        assert "name: unet_mini" in capsys.readouterr().out


class TestErrors:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["train", "modle=unet_mini"], "unknown setting 'modle'"),
            (["train", "data=/nowhere/at/all"], "neither a folder nor a data config"),
            (["train"], "no data set was given"),
            (["evaluate", "--weights", "/nowhere.safetensors"], "/nowhere.safetensors"),
            (["infer", "--weights", "/nowhere", "--input", "x"], "/nowhere"),
            (["train", "--resume", "/nowhere"], "/nowhere"),
            (["train", "--resume", ".", "seed=1"], "--resume takes the settings of the run"),
            (["train", "--config", "/no.yaml"], "no such configuration file"),
            (["train", "data="], "data is empty: give a folder, as in data=photos/"),
            (["infer", "--weights", "w", "--input", ""], "--input is empty -> give it a value"),
            (["infer", "--weights=", "--input", "x"], "--weights is empty"),
            (["evaluate", "--weights", "w", "--save", " "], "--save is empty"),
            (["doctor", "src/"], "'src/' is a folder: write data=src/ to use the pictures in it"),
            (["config", "src"], "'src' is a folder: write data=src"),
            (["train", "unet_mini"], "'unet_mini' is not of the form key=value, such as"),
            (
                ["train", "model=unet_min", "sed=1"],
                "unknown setting 'sed', did you mean 'seed'?; m",
            ),
        ],
    )
    def test_one_line_and_a_code(self, words, message, capsys):
        assert run(*words) in (1, 2)
        error = capsys.readouterr().err
        assert message in error
        assert len(error.strip().splitlines()) == 1
        assert "Traceback" not in error

    def test_empty_folder(self, tmp_path, capsys):
        assert run("train", f"data={tmp_path}") == 1
        error = capsys.readouterr().err
        assert error == (
            f"error: {tmp_path}: the folder holds no pictures -> give a folder of pictures with "
            "labels\n"
        )

    @pytest.mark.parametrize("value", ["0", "1", "1.5", "-0.1", "nan"])
    @pytest.mark.parametrize("command", ["infer", "evaluate", "diagnose"])
    def test_a_threshold_that_is_none_is_refused_everywhere(
        self, command, value, trained, line_data, tmp_path, capsys
    ):
        words = ["--input", line_data / "test"] if command == "infer" else []
        words += ["--save", tmp_path / "out", "--threshold", value]
        assert run(command, "--weights", trained, *words) == 2
        message = f"threshold={float(value)!r} does not lie between 0 and 1, both excluded"
        assert message in capsys.readouterr().err
        assert not list(tmp_path.rglob("*.png"))

    @pytest.mark.parametrize("command", ["infer", "evaluate", "diagnose"])
    def test_an_output_folder_that_is_a_file(self, command, trained, line_data, tmp_path, capsys):
        file = tmp_path / "out.csv"
        file.write_text("mine")
        words = ["--input", line_data / "test"] if command == "infer" else []
        for place in (file, file / "below"):
            assert run(command, "--weights", trained, *words, "--save", place) == 1
            error = capsys.readouterr().err
            assert f"{file}: is a file, not a folder -> choose another output folder" in error
        assert file.read_text() == "mine"

    def test_a_folder_of_experiments_is_no_weights(self, trained, capsys):
        words = ("--input", ".")
        assert run("infer", "--weights", trained.parent.parent, *words) == 1
        error = capsys.readouterr().err
        assert "holds no best.safetensors, but runs below it do -> give one, newest fir" in error
        assert str(trained) in error

    def test_a_pickle_is_refused(self, tmp_path, capsys):
        import torch

        torch.save({"weights": torch.zeros(2)}, tmp_path / "best.pth")
        words = ("--input", tmp_path, "--save", tmp_path / "out")
        assert run("infer", "--weights", tmp_path / "best.pth", *words) == 1
        assert "pickles can run code" in capsys.readouterr().err

    def test_no_pictures_to_infer(self, trained, tmp_path, capsys):
        words = ("--input", tmp_path, "--save", tmp_path / "out")
        assert run("infer", "--weights", trained, *words) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"error: {tmp_path}: no pictures found -> give files, folders or g")
        assert ".jpg" in error


class TestStartUp:
    def test_version(self, capsys):
        assert run("--version") == 0
        assert __version__ in capsys.readouterr().out

    @pytest.mark.parametrize(
        "command", ["train", "evaluate", "infer", "doctor", "synthesize", "config"]
    )
    def test_help_has_an_example(self, command, capsys):
        assert run(command, "--help") == 0
        assert f"faultline {command}" in capsys.readouterr().out

    def test_help_and_import_load_nothing_heavy(self):
        """The reason why they are quick; the time itself is measured in benchmarks/."""
        code = (
            "import sys, faultline.cli; from typer.main import get_command;"
            "get_command(faultline.cli.app).get_help;"
            "loaded = set(sys.modules);"
            "heavy = {'torch', 'numpy', 'cv2', 'lightning', 'matplotlib', 'hydra'} & loaded;"
            "sys.exit(f'loaded {heavy}' if heavy else 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

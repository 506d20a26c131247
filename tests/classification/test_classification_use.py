"""Using and evaluating classification weights, as the command line does it."""

import csv
import json
import os
import re

import cv2
import numpy as np
import pytest
from tiny_classification import run, train, write_folders

from faultline.artifacts.bundle import load_bundle, save_bundle
from faultline.artifacts.contents import Threshold
from faultline.errors import LeakageError
from faultline.evaluation.command import evaluate_weights
from faultline.predict.class_predictor import ClassPredictor


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def evaluated(steel_run):
    assert run("evaluate", "--weights", steel_run) == 0
    return steel_run


class TestEvaluate:
    def test_results_hold_metrics_config_and_provenance(self, evaluated):
        results = json.loads((evaluated / "results.json").read_text())
        assert results["status"] == "finished"  # what training wrote is kept
        assert results["test"]["summary"]["macro_f1"]["value"] > 0.6
        assert results["config"]["loss"]["name"] == "focal"
        assert results["provenance"]["package_hash"]
        assert len(results["test"]["classes"]) == 2

    def test_the_numbers_are_those_of_the_table(self, evaluated):
        metrics = json.loads((evaluated / "metrics_test.json").read_text())
        rows = rows_of(evaluated / "per_image.csv")
        assert len(rows) == metrics["images"]
        right = sum(row["right"] == "1" for row in rows) / len(rows)
        assert metrics["summary"]["subset_accuracy"]["value"] == pytest.approx(right)
        for index, found in enumerate(metrics["classes"]):
            truth = [found["name"] in row["truth"].split("; ") for row in rows]
            said = [found["name"] in row["answer"].split("; ") for row in rows]
            hits = sum(a and b for a, b in zip(truth, said, strict=True))
            assert found["support"] == sum(truth)
            assert found["f1"] == pytest.approx(2 * hits / (sum(truth) + sum(said)))
            cut = [float(row[f"p_{found['name']}"]) >= found["threshold"] - 1e-6 for row in rows]
            assert cut == said, index

    def test_the_report_shows_what_was_asked_for(self, evaluated):
        page = (evaluated / "report.html").read_text()
        for words in ("Each class", "Co-occurrence", "Reliability", "Classes in each part",
                      "Class balance", "Drawn", "alpha", "Found", "To reproduce this"):  # fmt: skip
            assert words in page, words
        assert "http" not in page.replace("http://www.w3.org", "")
        words = re.sub(r'"data:image[^"]*"', "", page)
        assert not re.search(r"\bnan\b", words.lower())

    def test_it_never_scores_what_was_seen(self, evaluated):
        metrics = json.loads((evaluated / "metrics_test.json").read_text())
        splits = json.loads((evaluated / "splits.json").read_text())
        tested = {row["id"] for row in rows_of(evaluated / "per_image.csv")}
        assert metrics["leakage"]["checked"]
        assert not tested & {item["id"] for part in ("train", "valid") for item in splits[part]}

    def test_seen_pictures_are_refused(self, evaluated, steel, tmp_path):
        # The same pictures under another root are another data set, all of it.
        copy = tmp_path / "copy"
        (copy / "train_images").mkdir(parents=True)
        for file in steel.rglob("*"):
            if file.is_file():
                (copy / file.relative_to(steel)).write_bytes(file.read_bytes())
        with pytest.raises(LeakageError, match="weights saw"):
            evaluate_weights(evaluated, [f"data={copy}"], save=tmp_path / "out")

    def test_another_data_set_gets_a_folder_of_its_own(self, folder_run, tmp_path):
        other = write_folders(tmp_path / "more", {"bar": 5, "clean": 4, "spot": 3}, seed=9)
        outcome = evaluate_weights(folder_run, [f"data={other}"], say=lambda line: None)
        assert outcome.folder.name == "evaluation-more"
        assert outcome.metrics["images"] == 12
        assert outcome.metrics["matrix"]["kind"] == "confusion"
        assert np.sum(outcome.metrics["matrix"]["rows"]) == 12
        assert not (outcome.folder / "results.json").read_text().count('"status": "finished"')

    def test_a_class_absent_from_the_test_is_not_defined(self, folder_run, tmp_path):
        other = write_folders(tmp_path / "three", {"bar": 4, "clean": 4, "spot": 1}, seed=5)
        for file in (other / "spot").iterdir():
            file.write_bytes(b"broken")
        outcome = evaluate_weights(
            folder_run, [f"data={other}"], save=tmp_path / "out", say=lambda line: None
        )
        spot = next(row for row in outcome.metrics["classes"] if row["name"] == "spot")
        assert spot["support"] == 0
        assert outcome.lines[0].startswith("WARNING: no picture shows spot: this says nothing")
        assert np.isnan(spot["f1"])
        stored = json.loads((tmp_path / "out" / "metrics_test.json").read_text())
        assert next(r for r in stored["classes"] if r["name"] == "spot")["f1"] is None
        assert "No picture shows spot" in (tmp_path / "out" / "report.html").read_text()

    def test_a_data_set_may_have_fewer_classes(self, folder_run, tmp_path):
        other = write_folders(tmp_path / "two", {"bar": 4, "spot": 4}, seed=5)
        outcome = evaluate_weights(
            folder_run, [f"data={other}"], save=tmp_path / "out", say=lambda line: None
        )
        support = {row["name"]: row["support"] for row in outcome.metrics["classes"]}
        assert support == {"bar": 4, "clean": 0, "spot": 4}
        assert outcome.metrics["summary"]["macro_f1"]["value"] > 0.5

    def test_other_classes_are_refused(self, folder_run, steel, capsys):
        assert run("evaluate", "--weights", folder_run, f"data={steel}") == 1
        assert "the model gives multiclass (bar, clean, spot)" in capsys.readouterr().err


class TestInfer:
    def test_a_row_a_picture_with_every_probability(self, steel_run, steel, tmp_path):
        assert run("infer", "--weights", steel_run, "--input", steel, "--save", tmp_path) == 0
        rows = rows_of(tmp_path / "predictions.csv")
        assert len(rows) == 90
        bundle = load_bundle(steel_run)
        for row in rows:
            shown = [name for name in bundle.label_space.names
                     if float(row[f"p_{name}"]) >= bundle.threshold.of(name) - 1e-6]  # fmt: skip
            assert row["classes"] == "; ".join(shown)
        document = json.loads((tmp_path / "predictions.json").read_text())
        assert document["kind"] == "multilabel"
        assert [one["classes"] for one in document["pictures"]] == [
            [name for name in row["classes"].split("; ") if name] for row in rows
        ]

    def test_one_format_only(self, steel_run, steel, tmp_path):
        words = ("infer", "--weights", steel_run, "--input", steel / "train_images" / "000.png")
        assert run(*words, "--save", tmp_path, "--format", "json") == 0
        assert [path.name for path in tmp_path.iterdir()] == ["predictions.json"]

    def test_bad_pictures_are_listed_and_the_rest_goes_on(self, folder_run, tmp_path, capsys):
        pictures = write_folders(tmp_path / "in", {"bar": 3}, seed=3)
        (pictures / "bar" / "broken.png").write_bytes(b"no picture")
        cv2.imwrite(str(pictures / "bar" / "wide.png"), np.zeros((3, 400, 3), np.uint8))
        words = ("infer", "--weights", folder_run, "--input", pictures, "--save", tmp_path / "out")
        assert run(*words) == 1
        rows = rows_of(tmp_path / "out" / "predictions.csv")
        assert [bool(row["error"]) for row in rows].count(True) == 1
        assert sum(bool(row["classes"]) for row in rows) == 4
        assert "left out" in capsys.readouterr().out

    def test_what_is_done_is_not_done_again(self, folder_run, tmp_path, monkeypatch):
        pictures = write_folders(tmp_path / "in", {"bar": 4}, seed=3)
        words = ["infer", "--weights", folder_run, "--input", pictures, "--save", tmp_path / "out"]
        assert run(*words) == 0
        first = (tmp_path / "out" / "predictions.csv").read_text()
        (pictures / "bar" / "new.png").write_bytes((pictures / "bar" / "bar-000.png").read_bytes())
        seen = []
        whole = ClassPredictor.predict_batch
        monkeypatch.setattr(
            ClassPredictor, "predict_batch",
            lambda self, images: (seen.append(len(images)), whole(self, images))[1],
        )  # fmt: skip
        assert run(*words, "--skip-existing") == 0
        assert sum(seen) == 1
        lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
        assert set(first.splitlines()) <= set(lines)
        assert len(lines) == 6
        later = (tmp_path / "out" / "predictions.csv").stat().st_mtime + 5
        os.utime(pictures / "bar" / "new.png", (later, later))
        assert run(*words, "--skip-existing") == 0
        assert sum(seen) == 2, "another picture of the same name"

    def test_there_is_no_scale_without_measures(self, steel_run, steel, tmp_path, capsys):
        words = ("infer", "--weights", steel_run, "--input", steel, "--save", tmp_path)
        assert run(*words, "--mm-per-px", "0.5") == 2
        assert "'classification' measure nothing -> leave it out" in capsys.readouterr().err

    def test_a_threshold_by_hand_wins(self, steel_run, steel, tmp_path):
        words = ("infer", "--weights", steel_run, "--input", steel, "--save", tmp_path)
        assert run(*words, "--threshold", "0.999") == 0
        for row in rows_of(tmp_path / "predictions.csv"):
            sure = [key[2:] for key in row if key.startswith("p_") and float(row[key]) >= 0.999]
            assert row["classes"] == "; ".join(sure)

    def test_a_threshold_by_hand_is_called_so(self, steel_run, tmp_path):
        words = ("evaluate", "--weights", steel_run, "--threshold", "0.4", "--save", tmp_path)
        assert run(*words) == 0
        page = (tmp_path / "report.html").read_text()
        assert "Threshold 0.400 for every class: set by hand." in page
        assert "the value of best F1" not in page

    @pytest.mark.parametrize("verb", ["evaluate", "infer"])
    def test_classes_that_exclude_each_other_have_none(
        self, verb, folder_run, folders, tmp_path, capsys
    ):
        words = ("--input", folders) if verb == "infer" else ()
        options = ("--threshold", "0.4", "--save", tmp_path / "out")
        assert run(verb, "--weights", folder_run, *words, *options) == 2
        assert "threshold 0.4 cannot be used: the classes exclude" in capsys.readouterr().err

    def test_mirrored_copies_are_averaged(self, steel_run):
        bundle = load_bundle(steel_run)
        picture = np.random.default_rng(0).integers(0, 255, (24, 30, 3), dtype=np.uint8)
        plain = ClassPredictor(bundle, "cpu", "fp32")
        four = [picture, picture[:, ::-1], picture[::-1], picture[::-1, ::-1]]
        mean = np.mean([p.probability for p in plain.predict_batch(four)], axis=0)
        found = ClassPredictor(bundle, "cpu", "fp32", tta=True).predict(picture).probability
        np.testing.assert_allclose(found, mean, atol=0.02)  # resizing is not quite symmetric

    def test_severstal_needs_masks(self, steel_run, steel, tmp_path, capsys):
        words = ("infer", "--weights", steel_run, "--input", steel, "--save", tmp_path)
        assert run(*words, "--format", "severstal") == 2
        assert "give no masks" in capsys.readouterr().err


def test_masks_go_out_as_severstal_rows(steel, tmp_path):
    """Segmentation of the same data set: its masks, as rows that the importer reads back."""
    out = tmp_path / "runs"
    words = ["model=unet_mini", "model.base_channels=4", "data=any_defect", f"data.root={steel}"]
    words += ["data.crop=0", "trainer.max_epochs=1", "trainer.precision=fp32", "data.batch_size=4"]
    words += ["trainer.tensorboard=false", f"output_dir={out}", "data.kind=multilabel"]
    assert run("train", *words) == 0
    weights = (out / "unet_mini" / "latest").resolve()
    bundle = load_bundle(weights)
    assert bundle.task == "segmentation"
    pictures = sorted((steel / "train_images").iterdir())[:4]
    inputs = [part for file in pictures for part in ("--input", file)]
    save = tmp_path / "out"
    assert run("infer", "--weights", weights, *inputs, "--save", save, "--format", "severstal") == 0
    rows = rows_of(save / "severstal.csv")
    from faultline.data.regions import decode_rles
    from faultline.data.severstal import rle_from_severstal

    for file in pictures:
        for index, name in enumerate(bundle.label_space.names, 1):
            layer = cv2.imread(str(save / f"{file.stem}_{name}_mask.png"), cv2.IMREAD_GRAYSCALE)
            own = [r for r in rows if r["ImageId"] == file.name and r["ClassId"] == str(index)]
            painted = np.zeros(layer.shape, np.uint8)
            if own:
                rle = rle_from_severstal(own[0]["EncodedPixels"], *layer.shape)
                painted = decode_rles([rle], *layer.shape)
            np.testing.assert_array_equal(painted > 0, layer > 0)


def test_a_bundle_of_an_unknown_task_is_refused(steel_run, steel, tmp_path, capsys):
    import dataclasses

    path = tmp_path / "speech.safetensors"
    save_bundle(path, dataclasses.replace(load_bundle(steel_run), task="singing"))
    assert run("infer", "--weights", path, "--input", steel, "--save", tmp_path / "out") == 1
    assert "made for the task 'singing'" in capsys.readouterr().err


class TestBundle:
    def test_thresholds_and_task_survive(self, steel_run, tmp_path):
        bundle = load_bundle(steel_run)
        save_bundle(tmp_path / "again.safetensors", bundle)
        again = load_bundle(tmp_path / "again.safetensors")
        assert again.threshold == bundle.threshold
        assert again.threshold.classes
        assert again.fingerprint == bundle.fingerprint

    def test_task_and_extra_are_part_of_the_fingerprint(self, steel_run):
        import dataclasses

        bundle = load_bundle(steel_run)
        others = [dataclasses.replace(bundle, task="segmentation"),
                  dataclasses.replace(bundle, extra={"words": 3})]  # fmt: skip
        prints = {bundle.fingerprint, *(other.fingerprint for other in others)}
        assert len(prints) == 3

    def test_a_shared_threshold_serves_classes_without_their_own(self):
        values = {"value": 0.4, "status": "tuned",
                  "classes": [{"name": "a", "value": 0.7, "status": "tuned"}]}  # fmt: skip
        threshold = Threshold.from_dict(values)
        assert (threshold.of("a"), threshold.of("b")) == (0.7, 0.4)
        assert "classes" not in Threshold().to_dict()


@pytest.mark.slow
def test_severstal_trains_with_a_real_nano_backbone(steel, tmp_path):
    pytest.importorskip("timm")
    words = ("model=conv_next", "trainer.max_epochs=1", "data.image_size=32", "optimizer.lr=0.001")
    assert run("train", f"data={steel}", f"output_dir={tmp_path}", "task=classification", *words,
               "trainer.tensorboard=false", "trainer.precision=fp32") == 0  # fmt: skip
    weights = tmp_path / "conv_next" / "latest"
    assert run("evaluate", "--weights", weights) == 0
    assert (weights / "report.html").is_file()


def test_training_twice_gives_the_same_weights(folders, tmp_path):
    words = ("trainer.max_epochs=2", "loss=cross_entropy", "data.sampler=weighted")
    first = load_bundle(train(folders, tmp_path / "a", *words))
    second = load_bundle(train(folders, tmp_path / "b", *words))
    assert first.fingerprint == second.fingerprint

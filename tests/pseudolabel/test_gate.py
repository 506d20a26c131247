"""The gate: its eight steps, calibration, votes and the commands."""

import csv
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaf_samples import leaf, write_segmenter
from tiny_classification import run

from faultline.artifacts.bundle import load_bundle
from faultline.errors import BundleError, ConfigError
from faultline.pseudolabel.channels import plant, signs
from faultline.pseudolabel.gate.calibrate import calibrate
from faultline.pseudolabel.gate.decision import Thresholds, decide
from faultline.pseudolabel.gate.segmenter import Segmenters
from faultline.pseudolabel.store import LabelFolder
from faultline.types import LabelKind, LabelSpace

ONE_PERCENT = 500 / 224**2


def mask(healthy=0.0, sick=0.0, side=224):
    """Rows of healthy tissue above rows of degradation, by share of the picture."""
    bits = np.ones((side, side), np.uint8)
    first, second = round(healthy * side), round((healthy + sick) * side)
    bits[:first], bits[first:second] = 2, 16
    return bits


class TestSteps:
    def test_4_too_little_plant(self):
        found = decide(mask(healthy=0.14))
        assert (found.passed, found.step) == (False, 4)
        assert "13.8%" in found.reason

    def test_4_by_class(self):
        assert decide(mask(healthy=0.14), threshold=0.12).passed

    def test_5_no_coherent_plant(self):
        scattered = np.ones((224, 224), np.uint8)
        scattered[::4, ::2] = 16
        scattered[2::4, 1::2] = 16
        found = decide(scattered)
        assert found.plant_ratio == 0.25
        assert (found.passed, found.step) == (False, 5)

    def test_6_any_sign_of_disease(self):
        found = decide(mask(sick=0.16))
        assert (found.passed, found.step, found.healthy_ratio) == (True, 6, 0)

    def test_7_healthy_tissue(self):
        found = decide(mask(healthy=0.3))
        assert (found.passed, found.step) == (True, 7)

    def test_8_else(self):
        found = decide(mask(healthy=0.1), threshold=0.05)
        assert (found.passed, found.step) == (False, 8)
        assert found.healthy_ratio <= 0.1

    def test_what_the_document_shows(self):
        """Section 10.2: shares of channels, and what comes of them."""
        assert decide(mask(healthy=0.30, sick=0.25)).passed  # Red_rot
        assert decide(mask(sick=0.15)).passed  # Smut
        assert decide(mask(healthy=0.10, sick=0.35)).passed  # Wilt
        assert decide(mask(healthy=0.70)).passed
        assert not decide(mask()).passed  # broccoli, screenshot, noise

    @pytest.mark.parametrize("side", [56, 224, 448])
    def test_500_pixels_are_those_of_224_by_224(self, side):
        for share, step in ((0.8 * ONE_PERCENT, 5), (1.3 * ONE_PERCENT, 6)):
            bits = np.ones((side, side), np.uint8)
            edge = round(side * share**0.5)
            bits[:edge, :edge] = 16
            assert decide(bits, threshold=0.001).step == step

    @given(st.lists(st.integers(0, 15), min_size=64, max_size=64), st.floats(0, 1))
    def test_never_passes_without_plant_and_coherence(self, values, threshold):
        bits = np.array(values, np.uint8).reshape(8, 8) << 1
        bits[bits == 0] = 1
        found = decide(bits, threshold)
        expected = (
            found.plant_ratio >= threshold
            and found.component >= 500
            and (bool(signs(bits).any()) or found.healthy_ratio > 0.1)
        )
        assert found.passed is expected
        assert found.plant_ratio == plant(bits).mean()

    @given(st.floats(0, 1), st.floats(0, 1))
    def test_a_higher_threshold_never_passes_more(self, low, high):
        low, high = sorted((low, high))
        bits = mask(healthy=0.4, sick=0.1)
        assert decide(bits, low).passed >= decide(bits, high).passed


class TestThresholds:
    def test_an_unknown_class_gets_the_lowest(self):
        found = Thresholds({"Smut": 0.08, "Healthy": 0.35})
        assert found.of(None) == 0.08
        assert found.of("healthy") == 0.35
        assert found.of("Rust") == 0.15
        assert Thresholds().of(None) == 0.15

    def test_a_calibration_that_failed_is_not_used(self):
        with pytest.raises(ConfigError, match="did not pass"):
            Thresholds.from_dict({"passed": False, "thresholds": {"A": 0.2}})
        with pytest.raises(ConfigError, match="0 to 1"):
            Thresholds.from_dict({"thresholds": {"A": 2}})

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=80))
    def test_at_most_5_percent_lie_below(self, ratios):
        found = calibrate({"A": ratios})["A"]
        assert found in ratios
        assert np.mean(np.array(ratios) < found) <= 0.05
        larger = [value for value in ratios if value > found]
        if larger:
            assert np.mean(np.array(ratios) < min(larger)) > 0.05 - 1 / len(ratios)


def write_gold(root, shares):
    """Masks by class -> shares of healthy tissue."""
    folder = LabelFolder(root)
    folder.write_channels()
    for name, values in shares.items():
        (root / name).mkdir(parents=True)
        for number, share in enumerate(values):
            cv2.imwrite(str(root / name / f"{number:03}_mask.png"), mask(healthy=share))
            cv2.imwrite(str(root / name / f"{number:03}_draft_mask.png"), mask(healthy=1))
    return root


class TestCalibration:
    def test_percentiles_and_thresholds_of_each_class(self, tmp_path, capsys):
        shares = {"Healthy": list(np.linspace(0.4, 0.9, 15)), "Smut": [0.25, 0.5, 0.75]}
        gold = write_gold(tmp_path / "gold", shares)
        assert run("gate", "calibrate", gold, "--output", tmp_path / "out") == 0
        report = json.loads((tmp_path / "out" / "calibration_report.json").read_text())
        true = {n: [round(s * 224) / 224 for s in values] for n, values in shares.items()}
        for name, values in true.items():
            row = report["classes"][name]
            assert row["pictures"] == len(values)
            for p in (5, 25, 50):
                assert row[f"p{p}"] == pytest.approx(np.percentile(values, p))
            assert report["thresholds"][name] == pytest.approx(min(values))
        assert report["passed"] is True
        assert "100.0% of 18 gold pictures pass" in capsys.readouterr().out

    def test_it_fails_and_names_the_pictures(self, tmp_path, capsys):
        gold = write_gold(tmp_path / "gold", {"Healthy": [*np.linspace(0.3, 0.9, 40), 0.05]})
        assert run("gate", "calibrate", gold) == 1
        out = capsys.readouterr().out
        assert "rejected: Healthy/040" in out
        report = json.loads((gold / "calibration_report.json").read_text())
        assert report["passed"] is False
        assert set(report["rejected"]) == {"Healthy/000", "Healthy/040"}

    def test_adjust_lowers_what_only_the_threshold_rejects(self, tmp_path):
        values = [*np.linspace(0.3, 0.9, 40), 0.2]
        gold = write_gold(tmp_path / "gold", {"Healthy": values})
        assert run("gate", "calibrate", gold, "--adjust") == 0
        report = json.loads((gold / "calibration_report.json").read_text())
        assert report["classes"]["Healthy"]["adjusted"] is True
        assert report["thresholds"]["Healthy"] == pytest.approx(45 / 224)

    def test_drafts_alone_are_no_gold(self, tmp_path, capsys):
        gold = write_gold(tmp_path / "gold", {"Healthy": [0.5]})
        (gold / "Healthy" / "000_mask.png").unlink()
        assert run("gate", "calibrate", gold) == 1
        assert "1 drafts" in capsys.readouterr().err

    def test_a_damaged_mask_is_named_and_fails(self, tmp_path, capsys):
        gold = write_gold(tmp_path / "gold", {"Healthy": [0.5, 0.6]})
        cv2.imwrite(str(gold / "Healthy" / "001_mask.png"), np.full((9, 9), 255, np.uint8))
        assert run("gate", "calibrate", gold) == 1
        assert "failed: Healthy/001" in capsys.readouterr().out


class TestSegmenters:
    def test_two_of_three_decide(self, tmp_path, segmenter):
        picture = leaf(np.random.default_rng(0))[0]
        blind = {"colours": [[0.27, 0.59, 0.2], [9.0, 9.0, 9.0], [9.0] * 3, [9.0] * 3]}
        other = load_bundle(write_segmenter(tmp_path / "blind.safetensors", **blind))
        good = load_bundle(segmenter)
        alone = Segmenters([good], "cpu").mask(picture)
        assert plant(alone).mean() > 0.4
        assert not plant(Segmenters([other], "cpu").mask(picture)).any()
        np.testing.assert_array_equal(Segmenters([good, good, other], "cpu").mask(picture), alone)
        assert not plant(Segmenters([good, other, other], "cpu").mask(picture)).any()
        # No majority of two that differ.
        assert not plant(Segmenters([good, other], "cpu").mask(picture)).any()

    def test_signs_count_from_0_3(self, tmp_path):
        # Green in the middle between the colours of healthy and sick: equally likely.
        even = {"colours": [[9.0] * 3, [0.4, 0.4, 0.4], [0.4, 0.4, 0.4], [9.0] * 3], "gain": 1.0}
        bundle = load_bundle(write_segmenter(tmp_path / "even.safetensors", **even))
        grey = np.full((32, 32, 3), 102, np.uint8)
        assert signs(Segmenters([bundle], "cpu", lesion=0.3).mask(grey)).all()
        assert not signs(Segmenters([bundle], "cpu", lesion=0.6).mask(grey)).any()

    def test_other_channels_are_refused(self, tmp_path):
        space = LabelSpace(LabelKind.MULTILABEL, ("a", "b", "c", "d", "e"))
        bundle = load_bundle(write_segmenter(tmp_path / "other.safetensors", space=space))
        with pytest.raises(BundleError, match="channels background, healthy"):
            Segmenters([bundle])
        with pytest.raises(ConfigError, match="4 segmenters"):
            Segmenters([bundle] * 4)


class TestRun:
    @pytest.fixture
    def pictures(self, tmp_path):
        rng = np.random.default_rng(5)
        for kind in ("Healthy", "RedRot"):
            (tmp_path / "in" / kind).mkdir(parents=True)
            for number in range(2):
                path = tmp_path / "in" / kind / f"{number}.png"
                cv2.imwrite(str(path), leaf(rng, kind)[0][..., ::-1])
        (tmp_path / "in" / "other").mkdir()
        noise = rng.normal((125, 135, 150), 5, (60, 60, 3))
        cv2.imwrite(str(tmp_path / "in" / "other" / "litter.png"), noise)
        return tmp_path / "in"

    def test_pass_and_reject_with_reasons(self, pictures, segmenter, tmp_path, capsys):
        report = tmp_path / "calibration_report.json"
        report.write_text(json.dumps({"passed": True, "thresholds": {"Healthy": 0.3}}))
        save = tmp_path / "out"
        assert run("gate", "run", pictures, "--weights", segmenter, "--thresholds", report,
                   "--save", save) == 0  # fmt: skip
        out = capsys.readouterr().out
        assert "4 of 5 pass" in out
        results = json.loads((save / "gate_test_results.json").read_text())
        assert results["least_plant"] == 0.15  # the default is below what was calibrated
        steps = {
            tuple(name.split("/")[-2:]): one["step"] for name, one in results["results"].items()
        }
        assert steps[("RedRot", "0.png")] == 6
        assert steps[("Healthy", "0.png")] == 7
        assert steps[("other", "litter.png")] == 4
        assert results["folders"]["other"] == {"pictures": 1, "passed": 0}

    def test_what_is_expected_decides_the_exit_code(self, pictures, segmenter, tmp_path):
        words = ["--weights", segmenter, "--save", tmp_path / "out", "--expect"]
        assert run("gate", "run", pictures / "other", *words, "reject") == 0
        assert run("gate", "run", pictures / "Healthy", *words, "pass") == 0
        assert run("gate", "run", pictures, *words, "pass") == 1
        assert run("gate", "run", pictures, *words, "reject") == 1
        assert run("gate", "run", pictures, *words, "whatever") == 2

    def test_a_damaged_picture_is_listed_and_the_rest_goes_on(
        self, pictures, segmenter, tmp_path, capsys
    ):
        (pictures / "other" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
        assert run("gate", "run", pictures, "--weights", segmenter, "--save", tmp_path) == 1
        results = json.loads((tmp_path / "gate_test_results.json").read_text())
        assert results["pictures"] == 5
        assert results["failed"][0]["file"].endswith("broken.jpg")

    def test_a_classifier_is_no_segmenter(self, pictures, classifier, tmp_path, capsys):
        assert run("gate", "run", pictures, "--weights", classifier, "--save", tmp_path) == 1
        assert "classification into multiclass" in capsys.readouterr().err


def test_labels_serve_as_gold_masks(labels, tmp_path):
    """`make` and `gate calibrate` agree about the form on disk."""
    code = run("gate", "calibrate", labels, "--output", tmp_path)
    report = json.loads((tmp_path / "calibration_report.json").read_text())
    with (labels / "audit" / "quality_scores.csv").open() as stream:
        assert report["pictures"] == len(list(csv.DictReader(stream)))
    assert set(report["thresholds"]) == {"Healthy", "RedRot", "Yellow"}
    assert code == 0

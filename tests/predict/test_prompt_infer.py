"""`faultline infer --prompt`: files, names, bad prompts, and what is told about them."""

import csv
import json
import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_samples import draw_scene
from typer.testing import CliRunner

from faultline.artifacts.bundle import load_bundle, save_bundle
from faultline.cli import app
from faultline.errors import BundleError, ConfigError, DataError
from faultline.predict.clean_up import STEPS, CleanUp, cleaned
from faultline.predict.inputs import MAX_FILE_BYTES
from faultline.predict.prompt_meaning import known_prompts
from faultline.predict.prompt_names import (
    MAX_BYTES,
    prompt_name,
    prompt_names,
    result_name,
)
from faultline.predict.prompted import PromptPredictor


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(3)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, kind in enumerate(("line", "bar")):
        picture = draw_scene(rng, kind)[0]
        cv2.imwrite(str(folder / f"site {number}.jpg"), picture[:, : 64 - 9 * number])
    return folder


def infer(run, photos, *words):
    command = ["infer", "--weights", str(run[0]), "--input", str(photos), *words]
    return CliRunner().invoke(app, [*command, "--device", "cpu", "--precision", "fp32"])


def test_the_wordings_that_weights_know_are_those_of_their_classes(prompt_run):
    bundle = load_bundle(prompt_run[0])
    known = known_prompts(bundle)
    assert {"segment crack", "segment taping area"} <= set(known)
    predictor = PromptPredictor(bundle, "cpu", "fp32")
    assert all(meaning.known for meaning in predictor.ask(known))


class TestFiles:
    def test_one_mask_a_picture_and_prompt(self, prompt_run, photos, tmp_path):
        out = tmp_path / "out"
        done = infer(prompt_run, photos, "--save", str(out), "--prompt", "segment crack",
                     "--prompt", "segment taping area", "--prompt", "joint/tape")  # fmt: skip
        assert done.exit_code == 0, done.output
        names = sorted(path.name for path in out.glob("*__*.png"))
        assert names == [
            f"site {n}__{name}.png"
            for n in (0, 1)
            for name in ("joint%2Ftape", "segment_crack", "segment_taping_area")
        ]
        for number, width in enumerate((64, 55)):
            mask = cv2.imread(str(out / f"site {number}__segment_crack.png"), cv2.IMREAD_UNCHANGED)
            assert mask.shape == (64, width)
            assert set(np.unique(mask)) <= {0, 255}

    def test_prompts_json_tells_which_is_which(self, prompt_run, photos, tmp_path):
        out = tmp_path / "out"
        infer(prompt_run, photos, "--save", str(out), "--prompt", "find the cracks",
              "--prompt", "segment tyrannosaurus")  # fmt: skip
        record = json.loads((out / "prompts.json").read_text())
        known, foreign = record["prompts"]
        assert (known["prompt"], known["name"], known["class"]) == (
            "find the cracks", "find_the_cracks", "crack",
        )  # fmt: skip
        assert known["known"]
        assert known["warning"] is None
        assert not foreign["known"]
        assert foreign["nearest"]

    def test_the_table_has_a_row_an_answer(self, prompt_run, photos, tmp_path):
        out = tmp_path / "out"
        infer(prompt_run, photos, "--save", str(out), "--prompt", "segment crack")
        with (out / "answers.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == 2
        assert (out / rows[0]["mask"]).is_file()
        assert float(rows[0]["share"]) > 0.005

    def test_a_far_prompt_is_warned_of_and_gets_an_empty_mask(self, prompt_run, photos, tmp_path):
        out = tmp_path / "out"
        done = infer(prompt_run, photos, "--save", str(out), "--prompt", "segment tyrannosaurus")
        assert done.exit_code == 0
        assert 'warning: "segment tyrannosaurus" is far from everything' in done.output
        for path in out.glob("*__*.png"):
            assert not cv2.imread(str(path), cv2.IMREAD_UNCHANGED).any()

    def test_a_bad_picture_is_listed_and_the_rest_goes_on(self, prompt_run, photos, tmp_path):
        (photos / "broken.jpg").write_bytes(b"not a picture")
        out = tmp_path / "out"
        done = infer(prompt_run, photos, "--save", str(out), "--prompt", "segment crack")
        assert done.exit_code == 1
        assert "left out" in done.output
        assert len(list(out.glob("*__segment_crack.png"))) == 2

    def test_finished_pictures_are_left_out(self, prompt_run, photos, tmp_path):
        out = tmp_path / "out"
        words = ["--save", str(out), "--prompt", "segment crack", "--skip-existing"]
        infer(prompt_run, photos, *words)
        assert "2 were done before" in infer(prompt_run, photos, *words).output
        assert "done before" not in infer(prompt_run, photos, *words, "--prompt", "crack").output

    def test_rows_of_finished_pictures_stay_in_the_table(self, prompt_run, photos, tmp_path):
        out = tmp_path / "out"
        words = ["--save", str(out), "--prompt", "segment crack", "--skip-existing"]
        infer(prompt_run, photos, *words)
        (photos / "site 2.jpg").write_bytes((photos / "site 0.jpg").read_bytes())
        assert "2 were done before" in infer(prompt_run, photos, *words).output
        with (out / "answers.csv").open(newline="") as stream:
            assert len(list(csv.DictReader(stream))) == 3

    def test_masks_of_other_settings_are_not_taken_for_finished(
        self, prompt_run, photos, tmp_path, monkeypatch
    ):
        out, words = tmp_path / "out", ["--prompt", "segment crack", "--skip-existing"]
        infer(prompt_run, photos, "--save", str(out), *words, "--threshold", "0.001")

        def stopped(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(PromptPredictor, "answer", stopped)
            infer(prompt_run, photos, "--save", str(out), *words)
        infer(prompt_run, photos, "--save", str(out), *words)
        infer(prompt_run, photos, "--save", str(tmp_path / "fresh"), *words)
        for path in (tmp_path / "fresh").glob("*__*.png"):
            assert path.read_bytes() == (out / path.name).read_bytes()

    def test_the_output_folder_may_lie_among_the_pictures(self, prompt_run, photos):
        out = photos / "out"
        for _ in range(2):
            done = infer(prompt_run, photos, "--save", str(out), "--prompt", "segment crack")
            assert "2 of 2 pictures" in done.output

    def test_prompts_from_a_file(self, prompt_run, photos, tmp_path):
        file = tmp_path / "prompts.txt"
        file.write_text("segment crack\nsegment crack\nsegment taping area\n")
        done = infer(prompt_run, photos, "--save", str(tmp_path / "o"), "--prompts", str(file))
        assert done.exit_code == 0, done.output
        assert "line 2 repeats line 1: asked once" in done.output
        assert len(list((tmp_path / "o").glob("*__*.png"))) == 4


class TestBadPrompts:
    def refused(self, prompt_run, photos, *words):
        done = infer(prompt_run, photos, *words)
        assert done.exit_code != 0
        assert isinstance(done.exception, (DataError, ConfigError))
        return str(done.exception)

    def test_no_prompt_at_all(self, prompt_run, photos):
        message = self.refused(prompt_run, photos)
        assert 'none was given -> add --prompt "segment crack"' in message
        assert "segment taping area" in message
        assert "\n" not in message

    def test_empty(self, prompt_run, photos):
        assert "is empty -> say what" in self.refused(prompt_run, photos, "--prompt", "  ")

    def test_very_long(self, prompt_run, photos):
        message = self.refused(prompt_run, photos, "--prompt", "crack " * 400)
        assert "at most 200 are taken" in message
        assert len(message) < 300

    @pytest.mark.parametrize("prompt", ["裂缝", "трещина", "🔥", "<script>alert(1)</script>"])
    def test_other_letters_and_signs_are_warned_of(self, prompt_run, photos, tmp_path, prompt):
        out = tmp_path / "out"
        done = infer(prompt_run, photos, "--save", str(out), "--prompt", prompt)
        assert done.exit_code == 0, done.output
        assert "far from everything" in done.output
        for path in out.glob("*__*.png"):
            assert re.fullmatch(r"site \d__[A-Za-z0-9_.%-]+\.png", path.name)

    def test_weights_that_answer_no_prompts(self, make_bundle, photos, tmp_path):
        path = save_bundle(tmp_path / "plain.safetensors", make_bundle("local"))
        done = CliRunner().invoke(
            app, ["infer", "--weights", str(path), "--input", str(photos), "--prompt", "crack"]
        )
        assert isinstance(done.exception, ConfigError)
        assert "answer no prompts -> leave them out" in str(done.exception)
        with pytest.raises(BundleError, match="answers no prompts"):
            PromptPredictor(load_bundle(path))

    def test_a_base_for_weights_that_rest_on_none(self, prompt_run, photos, tmp_path):
        message = self.refused(
            prompt_run, photos, "--prompt", "segment crack", "--base", str(tmp_path)
        )
        assert "does not build on a pretrained model" in message


class TestNames:
    @pytest.mark.parametrize(
        ("prompt", "name"),
        [
            ("segment crack", "segment_crack"), ("segment joint/tape", "segment_joint%2Ftape"),
            ("a\\b:c*d?", "a%5Cb%3Ac%2Ad%3F"), ("100%", "100%25"), ("裂", "%E8%A3%82"),
            ("<b>", "%3Cb%3E"), ("..", ".."), ("a.b-c_d", "a.b-c_d"),
        ],
    )  # fmt: skip
    def test_the_rule(self, prompt, name):
        assert prompt_name(prompt) == name

    def test_long_names_are_cut_and_marked(self):
        first, second = "裂" * 60, "裂" * 61
        names = [prompt_name(first), prompt_name(second)]
        assert len(set(names)) == 2
        for name in names:
            assert len(name) <= MAX_BYTES
            assert re.fullmatch(r"(%[0-9A-F]{2})+-[0-9a-f]{8}", name)

    def test_names_that_differ_by_case_only_are_told_apart(self):
        names = prompt_names(["Segment Crack", "segment crack", "segment seam"])
        assert len({name.lower() for name in names.values()}) == 3
        assert names["segment seam"] == "segment_seam"
        assert names["segment crack"].startswith("segment_crack-")
        assert names["Segment Crack"].startswith("Segment_Crack-")

    def test_names_that_the_rule_makes_equal_are_told_apart(self):
        names = prompt_names(["segment crack", "segment_crack"])
        assert len(set(names.values())) == 2

    def test_long_pictures_names_leave_room(self):
        name = result_name("x" * 250, "y" * MAX_BYTES)
        assert len(name.encode()) <= MAX_FILE_BYTES
        assert name.endswith("__" + "y" * MAX_BYTES + ".png")
        assert result_name("é" * 200, "a") != result_name("é" * 201, "a")

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=6, unique=True))
    def test_any_prompts_get_safe_and_different_names(self, prompts):
        names = prompt_names(prompts)
        assert len({name.casefold() for name in names.values()}) == len(prompts)
        for name in names.values():
            assert re.fullmatch(r"[A-Za-z0-9_.%-]+", name)
            assert len(name) <= MAX_BYTES + 9


class TestCleanUp:
    def test_opening_drops_specks_and_closing_bridges_gaps(self):
        mask = np.zeros((40, 40), np.uint8)
        mask[10:20, 5:15] = mask[10:20, 17:30] = 1
        mask[35, 35] = 1
        assert cleaned(mask, "open")[35, 35] == 0
        assert cleaned(mask, "close")[15, 15:17].all()
        assert cleaned(mask, "drop_specks")[35, 35] == 0
        assert cleaned(mask, "drop_specks")[10:20, 5:15].all()

    @pytest.mark.parametrize("step", STEPS)
    def test_an_empty_mask_stays_empty(self, step):
        assert not cleaned(np.zeros((9, 9), np.uint8), step).any()

    def test_only_classes_with_a_step_are_changed(self):
        mask = np.zeros((40, 40), np.uint8)
        mask[5, 5] = 1
        clean = CleanUp({"crack": "open"})
        assert not clean.apply(mask, "crack").any()
        assert clean.apply(mask, "seam").any()

    def test_an_unknown_step_is_refused(self):
        with pytest.raises(ConfigError, match="unknown clean-up 'polish'"):
            cleaned(np.ones((3, 3), np.uint8), "polish")


def test_a_threshold_by_hand_wins(prompt_run, tmp_path):
    bundle = load_bundle(prompt_run[0])
    image = draw_scene(np.random.default_rng(1), "line")[0]
    shares = [
        PromptPredictor(bundle, "cpu", "fp32", threshold).answer(image, ["segment crack"])[0].share
        for threshold in (0.001, 0.999)
    ]
    assert shares[0] > shares[1]


def test_the_maker_is_the_bundle_whatever_is_asked(prompt_run):
    bundle = load_bundle(prompt_run[0])
    predictor = PromptPredictor(bundle, "cpu", "fp32")
    predictor.ask(["segment crack", "segment taping area"])
    image = draw_scene(np.random.default_rng(1), "line")[0]
    assert predictor.predictor.predict(image).maker == bundle.fingerprint


def test_the_bundle_survives_being_saved_again(prompt_run, tmp_path):
    bundle = load_bundle(prompt_run[0])
    again = load_bundle(save_bundle(tmp_path / "copy.safetensors", bundle))
    image = draw_scene(np.random.default_rng(1), "line")[0]
    answers = [PromptPredictor(one, "cpu", "fp32").answer(image, ["segment crack"])[0]
               for one in (bundle, again)]  # fmt: skip
    assert np.array_equal(answers[0].probability, answers[1].probability)
    assert again.fingerprint == bundle.fingerprint

"""`faultline profile`, end to end and in its errors."""

import json
import sys

import pytest
import torch

from faultline.cli import main
from faultline.errors import ConfigError
from faultline.profiling.backbones import DOCUMENT, backbone_lines, measure_backbones
from faultline.profiling.command import run_profile
from faultline.profiling.profile import ProfileSettings, card_plans

QUICK = ("--size", "32", "--batch", "1,2", "--precision", "fp32", "--device", "cpu")


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
def profiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    lines = []
    run_profile(
        ["model=unet_mini", "model.base_channels=4", "device=cpu", "precision=fp32"],
        size=32, batches="1,2,4", save=folder, say=lines.append,
    )  # fmt: skip
    return json.loads((folder / "profile.json").read_text()), lines, folder


class TestAModel:
    def test_the_numbers_are_there_and_agree(self, profiled):
        found, _, folder = profiled
        from faultline.models import count_parameters, create_model
        from faultline.profiling import count_flops

        model = create_model("unet_mini", base_channels=4)
        assert found["parameters"] == count_parameters(model)
        assert found["kept_once"] < found["activations"] / 10  # fp32 keeps no copies of weights
        assert found["flops"] == count_flops(model, (1, 3, 32, 32))
        assert found["settings"] == {"base_channels": 4}
        assert [row["batch"] for row in found["memory"]] == [1, 2, 4]
        assert found["tier"] == "LIGHT"
        assert found["plan"] == {**found["plan"], "batch": 32, "accumulation": 1, "fits": True}
        assert found["throughput"][0]["precision"] == "fp32"
        assert found["speed_batch"] == 4
        assert {"layers", "operators", "activations", "device", "precision"} <= set(found)
        assert (folder / "profile.png").stat().st_size > 10_000

    def test_the_table_shows_them(self, profiled):
        found, lines, _ = profiled
        text = "\n".join(lines)
        for expected in (
            "unet_mini at 32 x 32", f"parameters {found['parameters']:,}", "training memory",
            "tier LIGHT; an effective batch of 32", "32 x 1", "convolution peak",
            "forward, by layer", "(between layers)", "a training step, by operator",
        ):  # fmt: skip
            assert expected in text
        assert all(len(line) < 120 for line in lines[1:])

    def test_batches_for_cards_are_computed_from_the_counts(self, profiled):
        found, lines, _ = profiled
        assert [row["gigabytes"] for row in found["cards"]] == [12, 24, 32]
        assert all(row["batch"] * row["accumulation"] == 32 for row in found["cards"])
        assert "12 GB 32 x 1" in "\n".join(lines)
        # 1 GB of weights and their kin, 1.5 GB a picture: 1.15 (1 + 1.5 B) has to fit.
        rows = card_plans(62_500_000, 1_500_000_000)
        assert [(row["batch"], row["accumulation"]) for row in rows] == [(4, 8), (8, 4), (16, 2)]
        assert rows[0]["needed"] == pytest.approx(1.15 * 7e9)
        small = card_plans(10**6, 13 * 10**9)[0]
        assert not small["fits"]

    def test_pictures_need_not_be_square(self, tmp_path):
        file = run_profile(
            ["model=unet_mini", "model.base_channels=4"], size="16x48", batches="1", device="cpu",
            precision="fp32", save=tmp_path, say=lambda line: None,
        )  # fmt: skip
        assert json.loads(file.read_text())["size"] == [16, 48]

    def test_the_command_and_its_json(self, tmp_path, capsys):
        words = ("model=unet", "model.base_channels=2", "model.depth=2")
        assert run("profile", *words, *QUICK, "--save", tmp_path, "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown == json.loads((tmp_path / "profile.json").read_text())
        assert shown["settings"] == {"base_channels": 2, "depth": 2}

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (("model=unet_mni",), "did you mean 'unet_mini'?"),
            (("model=unet", "model.base_chanels=2"), "'base_chanels'"),
            (("model=unet", "--batch", "two"), "--batch 'two' is not understood"),
            (("model=unet", "--batch", "0,1"), "above 0"),
            (("model=unet", "--size", "256by1600"), "--size '256by1600' is not understood"),
            (("model=unet", "--size", "0"), "--size '0' is not understood"),
            (("model=unet", "--size", "1x2x3"), "such as 256x1600"),
            (("model=unet", "device"), "'device' is not of the form key=value"),
            (("model=unet", "device=tpu7"), "unknown device 'tpu7'"),
            (("model=unet", "--names", "swin"), "belong to `faultline profile backbones`"),
            (("backbones", "model=unet"), "does not take model=unet"),
            (("backbones", "--names", "swinn"), "did you mean 'swin'?"),
        ],
    )
    def test_wrong_words(self, tmp_path, capsys, words, text):
        pytest.importorskip("timm")
        assert run("profile", "--size", "32", "--save", tmp_path / "out", *words) == 2
        assert text in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_settings_out_of_range(self):
        with pytest.raises(ConfigError, match="above 0"):
            ProfileSettings(batches=())


class TestBackbones:
    def test_two_small_ones(self, tmp_path):
        pytest.importorskip("timm")
        lines = []
        words = {"size": 64, "batches": "1,2", "names": "mobile_one,reg_net", "nano": True}
        file = run_profile(["backbones"], device="cpu", precision="fp32", save=tmp_path,
                           say=lines.append, **words)  # fmt: skip
        found = json.loads(file.read_text())
        assert {row["name"] for row in found["rows"]} == {"mobile_one", "reg_net"}
        for row in found["rows"]:
            assert row["tier"] == "LIGHT"
            assert row["plan"]["batch"] * row["plan"]["accumulation"] == 32
            assert row["memory"][0]["bytes"] > 4 * 4 * row["parameters"]
            assert row["document"]["gigabytes"]["8"] == DOCUMENT[row["name"]].gigabytes[8]
        text = "\n".join(lines)
        assert "training memory at 64 x 64 on cpu, fp32" in text
        assert "mobile_one (nano)" in text
        assert (tmp_path / "backbones.png").is_file()

    @pytest.mark.parametrize(
        ("name", "reason"),
        [("no_such_net", ""),
         ("ghostnet_v2", "a single value per channel -> give a larger --size or --batch")],
    )  # fmt: skip
    def test_one_that_cannot_be_measured_is_left_out_and_named(self, name, reason):
        lines = []
        found = measure_backbones(
            [name], "nano", (1,), (32, 32), torch.device("cpu"), "fp32", say=lines.append
        )
        assert found["rows"] == []
        assert f"left out {name}" in lines[0]
        assert reason in lines[0]

    def test_the_json_holds_what_is_left_out(self, tmp_path):
        lines = []
        run_profile(
            ["backbones"], size=32, batches="1", names="timm:no_such_net", device="cpu",
            precision="fp32", save=tmp_path, as_json=True, say=lines.append,
        )  # fmt: skip
        assert "left out timm:no_such_net" in json.loads("\n".join(lines))["left_out"][0]

    def test_a_row_without_measurements_is_shown_with_dashes(self):
        row = {"name": "x", "title": "x", "size": "full", "parameters": 10**6, "tier": None,
               "memory": [{"batch": 1, "bytes": None, "note": "out of memory"}], "plan": None,
               "document": None}  # fmt: skip
        found = {"rows": [row], "picture": [8, 8], "device": "cpu", "precision": "fp32", "free": 1}
        assert backbone_lines(found)[-1].split()[-6:] == ["-"] * 6

    def test_the_document_has_all_fifteen(self):
        from faultline.models.backbones import BACKBONES

        assert set(DOCUMENT) == set(BACKBONES.names())

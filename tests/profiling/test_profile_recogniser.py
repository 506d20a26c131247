"""`faultline profile task=speech`: the parts of a recogniser and what they take."""

import json

import pytest
import torch

from faultline.errors import ConfigError, UnknownNameError
from faultline.models import count_parameters
from faultline.profiling import recogniser as profiling
from faultline.profiling.command import run_profile
from faultline.profiling.recogniser import TOKENS, clip_flops
from faultline.speech.paraformer import create_recogniser
from faultline.speech.settings import load_speech_config

SMALL = ("task=speech", "model.dim=16", "model.heads=2", "model.encoder_depth=1")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(profiling, "_MEASURE_SECONDS", 0.01)


def profiled(tmp_path, *words, **options):
    lines = []
    path = run_profile([*SMALL, *words], device="cpu", save=tmp_path, say=lines.append, **options)
    return json.loads(path.read_text()), lines


def test_numbers_are_those_of_the_network(tmp_path):
    found, lines = profiled(tmp_path, "model.decoder_depth=1", batches="1,2")
    network = create_recogniser(
        "paraformer", vocabulary=32, mels=80, dim=16, heads=2, encoder_depth=1, decoder_depth=1
    )
    assert found["parameters"] == count_parameters(network) == sum(found["parts"].values())
    assert found["parts"]["predictor"] == count_parameters(network.predictor)
    assert [row["batch"] for row in found["rows"]] == [1, 2]
    for row in found["rows"]:
        assert 0 < row["encoder_ms"] < row["training_ms"]
        assert row["real_time_factor"] == pytest.approx(row["answer_ms"] / 3000 / row["batch"])
    text = "\n".join(lines)
    assert f"parameters {found['parameters']:,}" in text
    assert f"predictor {found['parts']['predictor']:,}" in text


def test_all_that_pictures_have_is_there_by_clip(tmp_path):
    found, lines = profiled(tmp_path, "model.decoder_depth=1", batches="1,2")
    assert (found["kind"], found["unit"], found["size"]) == ("speech", "clip", [300, 80])
    assert [row["batch"] for row in found["memory"]] == [1, 2]
    assert all(row["bytes"] > 16 * found["parameters"] for row in found["memory"])
    assert found["activations"] > 0
    assert found["tier"] == "LIGHT"
    assert found["plan"]["batch"] * found["plan"]["accumulation"] == 32
    (speed,) = [row for row in found["throughput"] if row["precision"] == "fp32"]
    assert speed["forward_share"] == pytest.approx(
        speed["forward"] * found["flops"] / speed["peak"]
    )
    layers = {row["name"]: row for row in found["layers"]}
    network = create_recogniser(
        "paraformer", vocabulary=32, dim=16, heads=2, encoder_depth=1, decoder_depth=1
    )
    assert set(layers) - {"(between layers)"} <= {name for name, _ in network.named_modules()}
    # The decoder says its first guess, then once more.
    assert layers["decoder.output"]["flops"] == 2 * 2 * 2 * (TOKENS + 1) * 16 * 32
    assert any("backward" in row["name"].lower() for row in found["operators"])
    assert (tmp_path / "profile.png").stat().st_size > 10_000
    text = "\n".join(lines)
    for expected in (
        "paraformer on clips of 3 s with 30 characters", "GFLOP a clip", "training memory",
        "clips per second", "forward, by layer", "a training step, by operator", "plot ",
    ):  # fmt: skip
        assert expected in text


def test_operations_are_counted(tmp_path):
    found, _ = profiled(tmp_path, "frontend.skip=4", "model.blocks=transformer", batches="1")
    frames, dim = 75, 16
    # Frame stack 4 x 80 -> D; four projections; scores and mixing; feed-forward of 4 D.
    once = frames * (4 * 80 * dim + 4 * dim * dim + 2 * frames * dim + 8 * dim * dim)
    assert found["encoder_flops"] == 2 * once
    settings = {"vocabulary": 32, "mels": 80, "dim": 16, "heads": 2, "encoder_depth": 1,
                "skip": 4, "blocks": "transformer"}  # fmt: skip
    assert found["flops"] == clip_flops("paraformer", settings, 10.0) > found["encoder_flops"]
    # The head alone is left beside the encoder.
    assert clip_flops("ctc", settings, 10.0) == found["encoder_flops"] + 2 * frames * dim * 32


@pytest.mark.parametrize("name", ["autoregressive", "ctc"])
def test_other_networks_are_measured_too(tmp_path, name):
    found, lines = profiled(tmp_path, f"model={name}", batches="1")
    assert found["name"] == name
    assert lines[0].startswith(f"{name} on clips of 3 s")


def test_json_on_the_console(tmp_path):
    found, lines = profiled(tmp_path, batches="1", as_json=True)
    assert json.loads("\n".join(lines)) == found


def test_bad_input(tmp_path):
    with pytest.raises(ConfigError, match="belongs to pictures"):
        profiled(tmp_path, size=64)
    with pytest.raises(UnknownNameError, match="did you mean 'paraformer'"):
        profiled(tmp_path, "model=parformer")
    with pytest.raises(ConfigError, match="1 or more"):
        profiling.profile_recogniser(load_speech_config([]), (0,), torch.device("cpu"))

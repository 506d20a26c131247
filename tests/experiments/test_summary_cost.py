"""Operations in summaries: of pictures, of prompts, and of clips."""

import json

import pytest
import torch
from experiment_samples import write_run
from safetensors.torch import save_file

from faultline.artifacts.run import RunFolder
from faultline.experiments.cost import flops_of
from faultline.experiments.runs import read_run
from faultline.experiments.summarize import summarize
from faultline.models import create_model
from faultline.profiling import count_flops
from faultline.profiling.recogniser import clip_flops

PICTURE = {"input": {"size": 32, "height": 0, "width": 0}}
SPEECH = {"extra": {"frontend": {"hop_ms": 10.0}}}
SMALL = {"vocabulary": 9, "mels": 20, "dim": 16, "heads": 2, "encoder_depth": 1}


def run_of(tmp_path, name, settings, kind, head):
    """A run whose bundle holds no weights to speak of: its head tells what the network was."""
    path = write_run(tmp_path, name, [f"model.name={name}"], kind=kind)
    metadata = {"model": {"name": name, "settings": settings}, **head}
    metadata = {key: json.dumps(value) for key, value in metadata.items()}
    save_file({"x": torch.zeros(1)}, str(RunFolder(path).best), metadata)
    return read_run(path)


@pytest.mark.parametrize("name", ["paraformer", "ctc", "autoregressive"])
def test_of_a_recogniser_they_are_those_of_its_profile(tmp_path, name):
    run = run_of(tmp_path, name, SMALL, "speech", SPEECH)
    found, notes = flops_of([run])
    assert notes == []
    assert found[run.path] == clip_flops(name, SMALL, 10.0) > 1e5


def test_of_a_network_that_is_asked_they_are_those_of_one_prompt(tmp_path):
    settings = {"base_channels": 4, "parts": ["crack", "seam"], "meanings": 2}
    run = run_of(tmp_path, "prompt_ed", settings, "prompted", PICTURE)
    found, notes = flops_of([run])
    assert notes == []
    model = create_model("prompt_ed", **settings)
    with torch.no_grad():
        model.ask(["seam"])
    assert found[run.path] == count_flops(model, (1, 3, 32, 32))


def test_nothing_is_fetched_to_be_counted(tmp_path):
    pytest.importorskip("transformers")
    settings = {"weights": "nobody/has-this", "base_hash": "f" * 8}
    run = run_of(tmp_path, "clipseg", settings, "prompted", PICTURE)
    found, (note,) = flops_of([run])
    assert found == {}
    assert "nobody/has-this is not on this machine" in note


def test_a_recogniser_that_is_not_known_is_noted(tmp_path):
    found, (note,) = flops_of([run_of(tmp_path, "parafomer", SMALL, "speech", SPEECH)])
    assert found == {}
    assert "did you mean 'paraformer'" in note


def test_a_damaged_head_costs_nothing(tmp_path):
    run = run_of(tmp_path, "ctc", SMALL, "speech", {"extra": {}})
    assert flops_of([run]) == ({}, [])


def test_they_are_a_column_of_the_summary(tmp_path):
    run_of(tmp_path, "ctc", SMALL, "speech", SPEECH)
    summarize([tmp_path], say=lambda line: None)
    assert "GFLOPs" in (tmp_path / "summary.md").read_text()

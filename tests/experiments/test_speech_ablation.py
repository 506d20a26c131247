"""A grid of recognisers, from the command to its summary, on a toy task of a moment."""

import csv
import json

import pytest
from experiment_samples import run

WORDS = (
    "data=toy", "data.toy_count=24", "data.toy_tokens=3", "data.toy_length=3",
    "data.batch_size=8", "model.dim=16", "model.heads=2", "model.encoder_depth=1",
    "model.decoder_depth=1", "trainer.max_steps=3", "trainer.accelerator=cpu",
    "trainer.tensorboard=false", "average=1", "seed=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two of the points of the grid `speech_blocks`."""
    out = tmp_path_factory.mktemp("ablation")
    words = ("speech_blocks", *WORDS, "model.blocks=sanm,transformer", f"output_dir={out}")
    assert run("ablate", *words) == 0
    return out / "speech_blocks", words


def rows_of(folder):
    with (folder / "summary.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_every_point_is_trained_and_tested(finished):
    folder, _ = finished
    states = [json.loads(path.read_text()) for path in folder.glob("*/state.json")]
    assert [state["status"] for state in states] == ["finished", "finished"]
    assert all(state["evaluation"] == "evaluation" for state in states)


def test_the_summary_tells_them_apart(finished):
    folder, _ = finished
    rows = rows_of(folder)
    assert {row["model.blocks"] for row in rows} == {"sanm", "transformer"}
    for row in rows:
        assert (row["status"], row["kind"]) == ("finished", "speech")
        assert row["test/cer"]
        assert row["validation/cer"]
        assert float(row["flops"]) > 1e5
    page = (folder / "summary.md").read_text()
    assert "## Speech: toy" in page
    assert "| model.blocks | runs | test cer |" in page
    assert "GFLOPs" in page


def test_summarize_makes_the_same_table(finished, tmp_path):
    folder, _ = finished
    assert run("summarize", folder, "--save", tmp_path) == 0
    assert rows_of(tmp_path) == rows_of(folder)


def test_the_same_command_repeats_nothing(finished, capsys):
    folder, words = finished
    before = sorted(folder.glob("*/2*"))
    assert run("ablate", *words) == 0
    assert "2 runs, 2 finished" in capsys.readouterr().out
    assert sorted(folder.glob("*/2*")) == before

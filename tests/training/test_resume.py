"""A training repeats bit for bit, and goes on after an interruption as if there had been none."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from training_settings import SMALL, settings, silent, train_until_killed

from faultline.config import load_config
from faultline.errors import LeakageError
from faultline.training.fit import train
from faultline.training.history import History
from faultline.training.terminal import tell_end


def last_weights(run):
    return torch.load(run.last_checkpoint, weights_only=False)["state_dict"]


def test_the_same_seed_gives_the_same_weights_bit_for_bit(line_data, tmp_path):
    words = ("trainer.max_epochs=2",)
    first = train(settings(line_data, tmp_path / "a", *words), say=silent)
    second = train(settings(line_data, tmp_path / "b", *words), say=silent)
    a, b = last_weights(first.run), last_weights(second.run)
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("words", [(), ("trainer.ema=0.9",), ("model=scratch_ed_plus_dropout",)])
@pytest.mark.parametrize("stop_at", [4, 6])
def test_a_resumed_run_equals_an_uninterrupted_one(
    line_data, tmp_path, words, stop_at, monkeypatch
):
    """Interrupted in the middle (step 4) and at the end (step 6) of epochs of 3 steps."""
    common = ("trainer.max_epochs=4", "trainer.checkpoint_every_steps=2", *words)
    whole = train(settings(line_data, tmp_path / "whole", *common), say=silent)
    run = interrupted_after(line_data, tmp_path / "cut", common, stop_at, monkeypatch)
    resumed = train(load_config(), say=silent, resume=run.path)
    assert not resumed.interrupted
    a, b = last_weights(whole.run), last_weights(resumed.run)
    assert all(torch.equal(a[key], b[key]) for key in a)
    with resumed.run.metrics_csv.open() as stream:
        assert [int(row["epoch"]) for row in csv.DictReader(stream)] == [0, 1, 2, 3]
    assert resumed.results["best"]["iou"] == whole.results["best"]["iou"]


def interrupted_after(data, out, words, step, monkeypatch):
    """A run that dies like a killed process right after resume point `step` was written."""
    train_until_killed(settings(data, out, *words), step, monkeypatch)
    from faultline.artifacts.run import RunFolder, resolve_run

    return RunFolder.open(resolve_run(out / "scratch_ed_plus_dropout" / "latest"
                                      if "model=scratch_ed_plus_dropout" in words
                                      else out / "scratch_ed_plus" / "latest"))  # fmt: skip


def test_ctrl_c_before_the_first_step_leaves_nothing_to_resume(line_data, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(History, "on_train_epoch_start", interrupt)
    result = train(settings(line_data, tmp_path), say=silent)
    assert result.interrupted
    lines = []
    assert tell_end(result, "faultline train", lines.append) == 130
    assert lines == [
        "stopped before the first step: there is nothing to resume, give the command again"
    ]


def test_a_run_does_not_go_on_where_its_pictures_play_other_roles(line_data, tmp_path, monkeypatch):
    data = shutil.copytree(line_data, tmp_path / "data")
    run = interrupted_after(data, tmp_path / "runs", ("trainer.max_epochs=4",), 3, monkeypatch)
    for old, new in (("train", "spare"), ("valid", "train"), ("spare", "valid")):
        (data / old).rename(data / new)
    with pytest.raises(LeakageError, match=r"12 of train would now be valid \(valid/train-0-001"):
        train(load_config(), say=silent, resume=run.path)


def heed_ctrl_c():
    """Shells let what they start in the background ignore Ctrl-C, these tests among it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_leaves_a_run_that_can_go_on(line_data, tmp_path):
    words = [f"data={line_data}", f"output_dir={tmp_path}", *SMALL, "trainer.max_epochs=500"]
    command = [sys.executable, "-m", "faultline", "train", *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heed_ctrl_c
    )
    deadline = time.monotonic() + 90
    for line in process.stdout:
        if line.startswith("epoch   1") or time.monotonic() > deadline:
            break
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=90)[0]
    assert process.returncode == 130, rest
    assert "--resume" in rest
    run = next((tmp_path / "scratch_ed_plus").glob("2*"))
    assert json.loads((run / "results.json").read_text())["status"] == "interrupted"
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("max_epochs: 500", "max_epochs: 4"))
    resumed = train(load_config(), say=silent, resume=run)
    assert resumed.results["status"] == "finished"

"""What is scored, where the scores go, and what of it cannot be read."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from speech_samples import RATE, SMALL, say_tones, write_tones

from faultline.errors import DataError
from faultline.experiments.runs import read_run
from faultline.speech import evaluate
from faultline.speech.evaluate import evaluate_speech
from faultline.speech.fit import train_speech
from faultline.speech.recogniser import Recogniser
from faultline.speech.settings import load_speech_config


def silent(line):
    """Say nothing."""


@pytest.fixture
def run(tone_run, tmp_path):
    """A run of its own: evaluations write into it."""
    return shutil.copytree(tone_run, tmp_path / "runs" / "paraformer" / tone_run.name)


def other_tones(folder, *more):
    """Recordings that no run has seen; those in `more` are rows besides, with no sound."""
    write_tones(folder, 8, first=100)
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    for row in more:
        (folder / row["audio"]).write_text(f"no sound but {row['audio']}")
    text = "".join(json.dumps(row) + "\n" for row in [*rows, *more])
    (folder / "manifest.jsonl").write_text(text)
    return folder


def test_other_recordings_never_replace_the_runs_own_test(run, tones, tmp_path):
    own = evaluate_speech(run, say=silent)
    assert own.folder == run / "evaluation"
    before = (run / "evaluation" / "results.json").read_bytes()
    other = other_tones(tmp_path / "site b")
    folders = {
        evaluate_speech(run, words, say=silent).folder.name
        for words in ([f"data={other}"], [f"data={other}", "data.test=speaker:x,y"],
                      [f"data={other}/manifest.jsonl", "data.test=column:train"],
                      ["data.test=column:test"])
    }  # fmt: skip
    assert folders == {"evaluation-site_b", "evaluation-site_b-speaker_x_y",
                       "evaluation-site_b-train", f"evaluation-{tones.name}-test"}  # fmt: skip
    assert (run / "evaluation" / "results.json").read_bytes() == before
    told = evaluate_speech(run, [f"data={other}"], phrases=["abc"], say=silent)
    assert told.folder.name == "evaluation-site_b-phrases"


@pytest.mark.parametrize("words", [[], ["data={tones}"], ["data={tones}/manifest.jsonl"],
                                   ["data.test=column", "seed=7"]])  # fmt: skip
def test_the_runs_own_test_is_known_however_it_is_named(run, tones, words):
    given = [word.format(tones=tones) for word in words]
    assert evaluate_speech(run, given, say=silent).folder.name == "evaluation"


def test_a_share_by_chance_is_another_with_another_seed(tones, tmp_path):
    words = [f"data={tones}", f"output_dir={tmp_path}", *SMALL, "trainer.max_steps=1",
             "data.test=fraction:0.3", "data.valid=index:0-9"]  # fmt: skip
    run = train_speech(load_speech_config(words), say=silent).run.path
    assert evaluate_speech(run, say=silent).folder.name == "evaluation"
    with pytest.raises(Exception, match="would be scored"):
        evaluate_speech(run, ["seed=1"], say=silent)
    assert evaluate.named_test(run, ["seed=1"]).folder_name(told=False) == (
        f"evaluation-{tones.name}-fraction_0.3"
    )


def test_a_summary_names_the_test_set(run, tones):
    evaluate_speech(run, say=silent)
    scores = read_run(run).test
    assert scores is not None
    assert scores.name == str(tones)
    data = json.loads((run / "evaluation" / "results.json").read_text())["data"]
    assert (data["name"], data["root"], data["test"]) == (tones.name, str(tones), "column")


def test_a_recording_that_cannot_be_read_costs_only_itself(run, tmp_path):
    bad = [{"audio": f"wav/bad{n}.wav", "text": "abc", "split": "test"} for n in range(6)]
    other = other_tones(tmp_path / "other", *bad, {"audio": "wav/none.wav", "text": ""})
    lines = []
    outcome = evaluate_speech(run, [f"data={other}"], say=lines.append)
    assert outcome.results["metrics"]["clips"] == 2
    assert lines[0] == (
        'left out manifest.jsonl:15: has no text: write it, or "kind": "silence" or "noise"'
    )
    assert lines[1].startswith(f"left out bad0.wav: {other / 'wav' / 'bad0.wav'}: cannot be read")
    assert lines[5:] == ["left out 2 more, listed in the results"]
    listed = json.loads((outcome.folder / "results.json").read_text())["left_out"]
    assert [row["file"] for row in listed] == [
        "manifest.jsonl:15", *(f"bad{n}.wav" for n in range(6))
    ]  # fmt: skip
    assert "cannot be read as sound" in listed[1]["reason"]
    assert "left out 7: see left_out in the results" in outcome.summary()


def test_a_test_set_without_any_sound_is_an_error(run, tmp_path):
    folder = tmp_path / "dead"
    (folder / "wav").mkdir(parents=True)
    (folder / "wav" / "a.wav").write_text("no sound")
    (folder / "manifest.jsonl").write_text('{"audio": "wav/a.wav", "text": "abc"}\n')
    with pytest.raises(DataError, match=r"dead: none of its recordings can be read: a\.wav: "):
        evaluate_speech(run, [f"data={folder}"], say=silent)


def test_only_clips_as_long_as_in_training_are_told_their_length(run, tmp_path, monkeypatch):
    other = other_tones(tmp_path / "other")
    pause = np.zeros(RATE, np.float32)
    pieces = [part for n in range(9) for part in (say_tones("abc", seed=n), pause)]
    long = np.concatenate(pieces)
    soundfile.write(other / "wav" / "long.wav", long, RATE, subtype="PCM_16")
    row = {"audio": "wav/long.wav", "text": "abc", "split": "test"}
    with (other / "manifest.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    assert len(long) / RATE > Recogniser.load(run).longest
    sizes = []

    def collated(samples):
        sizes.append([len(sample.features) for sample in samples])
        return collate(samples)

    collate = evaluate.collate
    monkeypatch.setattr(evaluate, "collate", collated)
    monkeypatch.setattr(evaluate, "_BATCH", 1)
    outcome = evaluate_speech(run, [f"data={other}"], say=silent)
    assert outcome.results["metrics"]["clips"] == 3
    assert outcome.results["true_length_clips"] == 2
    assert [len(batch) for batch in sizes] == [1, 1]
    assert max(map(max, sizes)) < 100
    assert any("(2 clips)" in line for line in outcome.summary())

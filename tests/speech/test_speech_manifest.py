"""Manifests, names of files, splits, and clips whose text does not fit."""

import json

import numpy as np
import pytest
import soundfile

from faultline.errors import ConfigError, DataError, LeakageError
from faultline.speech.data.feasibility import check_frames, frames_needed, subsampled
from faultline.speech.data.folders import utterances_from_folder
from faultline.speech.data.manifest import Utterance, fingerprint, read_manifest, write_manifest
from faultline.speech.data.splits import split_utterances


def recording(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, *path.name.encode()])
    soundfile.write(path, 0.1 * rng.standard_normal(800), 8000)
    return path


def manifest_of(folder, *rows):
    folder.mkdir(exist_ok=True)
    for name in ("a.wav", "b.wav"):
        recording(folder / name)
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (folder / "manifest.jsonl").write_text(text)
    return folder


@pytest.mark.parametrize("name", ["manifest.jsonl", "rows.csv"])
def test_what_is_written_is_read_back(tmp_path, name):
    utterances = [
        Utterance(recording(tmp_path / "wav" / "a.wav"), "one, two", "mary", 0.1, split="train"),
        Utterance(recording(tmp_path / "wav" / "b.wav"), "", "", 0.1, kind="noise"),
    ]
    write_manifest(tmp_path / name, utterances)
    found = read_manifest(tmp_path / name)
    assert found.utterances == tuple(utterances)
    assert not found.problems
    assert "wav/a.wav" in (tmp_path / name).read_text()


def test_rows_that_cannot_be_used_are_listed_and_the_rest_goes_on(tmp_path):
    folder = manifest_of(
        tmp_path / "data",
        {"audio": "a.wav", "text": "ONE"},
        {"audio": "gone.wav", "text": "one"},
        {"audio": "b.wav", "text": " "},
        {"audio": "b.wav", "text": "", "kind": "silence"},
        {"audio": "b.wav", "text": "one", "kind": "noise"},
        {"audio": "b.wav", "text": "one", "kind": "music"},
        {"text": "one"},
        "{broken",
        "[1, 2]",
        {"audio": "b.wav", "text": 7},
        {"audio": "b.wav", "text": "one", "duration": "long"},
    )
    found = read_manifest(folder)
    assert [(u.text, u.kind) for u in found.utterances] == [("one", "speech"), ("", "silence")]
    reasons = {problem.file.partition(":")[2]: problem.reason for problem in found.problems}
    assert reasons["2"] == "gone.wav: no such file"
    assert "has no text" in reasons["3"]
    assert "is noise but has the text" in reasons["5"]
    assert "kind 'music' is not one of speech, silence, noise" in reasons["6"]
    assert reasons["7"] == "has no `audio`"
    assert "is no JSON" in reasons["8"]
    assert reasons["9"] == "is no JSON object"
    assert "`text` is not text but 7" in reasons["10"]
    assert reasons["11"] == (
        "duration 'long' is no number of seconds; leave it out if it is not known"
    )


@pytest.mark.parametrize("duration", ["NaN", "Infinity", "-1", "-1e-9", "1" + 400 * "0", "[2]"])
def test_a_duration_that_cannot_be_one_is_listed(tmp_path, duration):
    bad = f'{{"audio": "b.wav", "text": "two", "duration": {duration}}}'
    found = read_manifest(manifest_of(tmp_path / "data", {"audio": "a.wav", "text": "one"}, bad))
    assert [u.text for u in found.utterances] == ["one"]
    (problem,) = found.problems
    assert "is no number of seconds; leave it out if it is not known" in problem.reason
    assert len(problem.reason) < 200


def test_null_is_a_value_that_is_missing(tmp_path):
    nothing = dict.fromkeys(("text", "speaker", "duration", "kind", "split"))
    found = read_manifest(
        manifest_of(
            tmp_path / "data",
            {**nothing, "audio": "a.wav", "text": "one"},
            {**nothing, "audio": "b.wav"},
            {**nothing, "audio": "b.wav", "kind": "noise"},
            {**nothing, "audio": None, "text": "one"},
        )
    )
    spoken, noise = found.utterances
    assert (spoken.text, spoken.speaker, spoken.kind, spoken.split) == ("one", "", "speech", "")
    assert (noise.text, noise.kind) == ("", "noise")
    assert [problem.reason for problem in found.problems] == [
        'has no text: write it, or "kind": "silence" or "noise"', "has no `audio`",
    ]  # fmt: skip


def test_a_line_ends_at_a_line_feed_alone(tmp_path):
    folder = manifest_of(tmp_path / "data")
    row = '{"audio": "a.wav", "text": "one\u2028two\x85three"}\r\n'
    (folder / "manifest.jsonl").write_text(row + '{"audio": "b.wav", "text": "four"}\n')
    found = read_manifest(folder)
    assert [u.text for u in found.utterances] == ["one two three", "four"]
    (folder / "rows.csv").write_text('audio,text\na.wav,"one\u2028two\nthree"\nb.wav,four\n')
    found = read_manifest(folder / "rows.csv")
    assert [u.text for u in found.utterances] == ["one two three", "four"]


def test_rows_that_no_reader_takes_are_listed(tmp_path):
    folder = manifest_of(
        tmp_path / "data",
        {"audio": "a.wav", "text": "one"},
        {"audio": "x" * 5000, "text": "one"},
        "[" * 100_000,
    )
    long, deep = read_manifest(folder).problems
    assert long.reason == f"{'x' * 80}...: cannot be a file: File name too long"
    assert deep.reason.startswith("is no JSON: ")
    field = "z" * 200_000
    (folder / "rows.csv").write_text(f"audio,text\na.wav,one\nb.wav,{field}\n")
    found = read_manifest(folder / "rows.csv")
    assert [u.text for u in found.utterances] == ["one"]
    assert "is no CSV, so nothing is read from here on: field larger" in found.problems[0].reason


def test_a_recording_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.wav: cannot be read: No such file"):
        _ = Utterance(tmp_path / "gone.wav", "one").sha256


def test_a_manifest_without_any_usable_row_says_the_first_reason(tmp_path):
    folder = manifest_of(tmp_path / "data", {"audio": "gone.wav", "text": "one"})
    with pytest.raises(DataError, match=r"no row can be used: manifest.jsonl:1 gone.wav: no such"):
        read_manifest(folder)
    with pytest.raises(DataError, match=r"holds no manifest\.jsonl -> make one with"):
        read_manifest(recording(tmp_path / "empty" / "x.wav").parent)
    with pytest.raises(DataError, match="no such manifest"):
        read_manifest(tmp_path / "none.jsonl")


def test_file_names_say_text_speaker_and_number(tmp_path):
    for name in ("7_mary_0.wav", "3_theo_12.wav", "silence_mary_1.wav", "notes.wav"):
        recording(tmp_path / "rec" / name)
    found, problems = utterances_from_folder(tmp_path / "rec")
    assert [(u.text, u.speaker, u.kind) for u in found] == [
        ("three", "theo", "speech"), ("seven", "mary", "speech"), ("", "mary", "silence"),
    ]  # fmt: skip
    assert found[0].duration == pytest.approx(0.1)
    assert "does not fit" in problems[0].reason


def test_folders_can_name_split_and_speaker(tmp_path):
    recording(tmp_path / "test" / "mary" / "open-joint.flac")
    (found,), _ = utterances_from_folder(tmp_path, "{split}/{speaker}/{text}")
    assert (found.split, found.speaker, found.text) == ("test", "mary", "open joint")
    with pytest.raises(ConfigError, match=r"must have \{text\}"):
        utterances_from_folder(tmp_path, "{speaker}")
    with pytest.raises(DataError, match="no sound files"):
        utterances_from_folder(recording(tmp_path / "t.txt2" / "a.wav").parent / "none")


def people(folder, count=12):
    return [
        Utterance(recording(folder / f"w_{name}_{n}.wav", seed=n), "w", name,
                  split="test" if n == 1 else "")
        for n in range(count // 2) for name in ("mary", "theo")
    ]  # fmt: skip


def test_rules_share_recordings_out(tmp_path):
    everybody = people(tmp_path)
    parts = split_utterances(everybody, "index:0-1", "fraction:0.25", 0)
    assert {u.path.stem[-1] for u in parts.test} == {"0", "1"}
    assert (len(parts.train), len(parts.valid), len(parts.test)) == (6, 2, 4)
    parts = split_utterances(everybody, "speaker:theo", "index:5", 0)
    assert {u.speaker for u in (*parts.train, *parts.valid)} == {"mary"}
    parts = split_utterances(everybody, "column", "index:0", 0)
    assert len(parts.test) == 2
    assert split_utterances(everybody, "none", "index:0", 0).test == ()
    again = split_utterances(everybody, "index:0-1", "fraction:0.25", 0)
    assert again.valid == split_utterances(everybody, "index:0-1", "fraction:0.25", 0).valid


@pytest.mark.parametrize(
    ("test", "valid", "message"),
    [("speaker:anna", "index:0", "unknown speaker anna -> known: mary, theo"),
     ("sometimes", "index:0", "data.test='sometimes' is not a rule for parts"),
     ("none", "index:99", "leave nothing for validation"),
     ("index:0-9", "fraction:0.5", "leave nothing for training"),
     ("fraction:2", "index:0", "is not a rule for parts")],
)  # fmt: skip
def test_rules_that_cannot_be_followed(tmp_path, test, valid, message):
    with pytest.raises(ConfigError, match=message):
        split_utterances(people(tmp_path), test, valid, 0)


def test_the_same_recording_in_two_parts_is_refused(tmp_path):
    everybody = people(tmp_path)
    copy = tmp_path / "w_mary_99.wav"
    copy.write_bytes(everybody[0].path.read_bytes())
    with pytest.raises(LeakageError, match=r"in train and test: w_mary_0.wav and w_mary_99.wav"):
        split_utterances([*everybody, Utterance(copy, "w", "mary")], "index:99", "index:5", 0)


def test_the_fingerprint_goes_by_content(tmp_path):
    everybody = people(tmp_path)
    assert fingerprint(everybody) == fingerprint(everybody[::-1])
    assert fingerprint(everybody) != fingerprint(everybody[1:])


def test_frames_that_a_text_needs():
    assert frames_needed([]) == 0
    assert frames_needed([4, 5, 6]) == 4  # and the end of the sentence
    assert frames_needed([4, 4, 4, 5]) == 6  # CTC: blanks between repeats
    assert [subsampled(n, 2) for n in (1, 2, 3)] == [1, 1, 2]


def test_clips_with_too_few_frames_are_named_and_most_of_them_stop_it():
    clips = [("a.wav", 8, [4, 5]), ("b.wav", 6, [4, 5, 6]), ("c.wav", 20, [4])]
    fits, problems = check_frames(clips, skip=2)
    assert fits == [True, False, True]
    assert str(problems[0]) == "b.wav: 3 frames for 3 characters, which need 4"
    with pytest.raises(DataError, match=r"2 of 3 clips have fewer frames.*frontend.skip=1"):
        check_frames(clips, skip=4)

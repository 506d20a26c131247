"""The commands on real files: transcribe, evaluate, manifest; silence, noise, bad input."""

import csv
import json
import shutil

import numpy as np
import pytest
import soundfile
from speech_samples import RATE, SMALL, say_tones
from typer.testing import CliRunner

from faultline.cli import app
from faultline.errors import ConfigError, DataError, FaultlineError
from faultline.speech.recogniser import Recogniser
from faultline.speech.transcribe import find_recordings, transcribe_paths

runner = CliRunner()


def run(*words, code=0):
    result = runner.invoke(app, ["speech", *map(str, words)])
    if isinstance(result.exception, FaultlineError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def recogniser(tone_run):
    return Recogniser.load(tone_run)


def test_train_evaluate_and_transcribe_from_the_command_line(tones, tmp_path):
    made = run("train", f"data={tones}", f"output_dir={tmp_path}", *SMALL, "trainer.max_epochs=1",
               "trainer.max_steps=2")  # fmt: skip
    assert "best validation CER" in made.output
    weights = tmp_path / "paraformer"
    scored = run("evaluate", "--weights", weights, "--save", tmp_path / "scores")
    assert "6 clips: CER" in scored.output
    results = json.loads((tmp_path / "scores" / "results.json").read_text())
    assert results["metrics"]["clips"] == 6
    assert set(results["by_speaker"]) == {"y"}
    assert results["leakage"] == {"checked": True, "overlap": 0}
    assert results["cer_true_length"] >= 0
    assert results["real_time_factor"] > 0
    rows = list(csv.DictReader((tmp_path / "scores" / "transcripts.csv").read_text().splitlines()))
    assert len(rows) == 6
    shown = run("transcribe", tones / "wav", "--weights", weights)
    assert len(shown.output.splitlines()) == 24


def test_json_has_a_time_and_a_confidence_for_each_character(tones, tone_run):
    files = sorted((tones / "wav").glob("*.wav"))[:3]
    shown = run("transcribe", *files, "--weights", tone_run, "--format", "json")
    rows = json.loads(shown.output)
    assert [row["file"] for row in rows] == [str(file) for file in files]
    for row in rows:
        assert "".join(token["text"] for token in row["tokens"]) == row["text"]
        for token in row["tokens"]:
            assert 0 <= token["start"] < token["end"] <= row["duration"] + 0.05
            assert 0 <= token["confidence"] <= 1


def test_files_of_one_stem_keep_their_own_transcripts(tones, tone_run, tmp_path):
    source = sorted((tones / "wav").glob("*.wav"))[0]
    for name in ("x/clip.wav", "y/clip.wav", "z/clip.wav"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(source, tmp_path / name)
    run("transcribe", tmp_path, "--weights", tone_run, "--format", "srt", "--save", tmp_path / "o")
    written = sorted(path.relative_to(tmp_path / "o") for path in (tmp_path / "o").rglob("*.srt"))
    assert [str(path) for path in written] == ["x/clip.srt", "y/clip.srt", "z/clip.srt"]


def test_bad_files_are_named_and_the_others_written(tones, tone_run, tmp_path):
    good = sorted((tones / "wav").glob("*.wav"))[0]
    bad, nan = tmp_path / "bad.wav", tmp_path / "nan.wav"
    bad.write_text("not sound")
    soundfile.write(nan, np.full(800, np.nan), RATE, subtype="FLOAT")
    result = run("transcribe", good, bad, nan, "--weights", tone_run, "--format", "json", code=1)
    out = json.loads(result.stdout)
    assert "text" in out[0]
    assert "cannot be read as sound" in out[1]["error"]
    assert "not finite" in out[2]["error"]
    assert result.stderr.count("left out") == 2
    for words, message in [
        ((tmp_path / "none.wav",), "does not exist"),
        ((tmp_path / "empty",), "no recordings found"),
    ]:
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(DataError, match=message):
            run("transcribe", *words, "--weights", tone_run)
    with pytest.raises(ConfigError, match="unknown format 'jsn', did you mean 'json'"):
        run("transcribe", good, "--weights", tone_run, "--format", "jsn")


def test_feature_files_are_recognised_like_their_sound(recogniser, tmp_path):
    wave = say_tones("abc")
    features = recogniser.frontend.features(wave)
    np.save(tmp_path / "abc.npy", features)
    (written,) = transcribe_paths(recogniser, [tmp_path / "abc.npy"])
    assert written.transcript.text == recogniser.transcribe_waves([wave])[0].text
    np.save(tmp_path / "huge.npy", np.full_like(features, 1e20))
    (huge,) = transcribe_paths(recogniser, [tmp_path / "huge.npy"])
    assert huge.error == (
        f"{tmp_path / 'huge.npy'}: features hold 1e+20 in row 0, column 0, "
        "which is no log-mel energy (-1000 to 1000)"
    )
    np.save(tmp_path / "wrong.npy", features[:, :7])
    np.save(tmp_path / "object.npy", np.array([{"a": 1}]), allow_pickle=True)
    wrong, unsafe = transcribe_paths(recogniser, [tmp_path / "wrong.npy", tmp_path / "object.npy"])
    assert f"shape ({len(features)}, 7), expected (frames, 20)" in wrong.error
    assert "wrong.npy" in wrong.error
    assert "is no array of features" in unsafe.error


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((10**12, 20), "mmap length is greater than file size"), ((2**62, 20), "array is too big"),
     ((-5, 20), "must be positive"), ((41, 20), "mmap length is greater")],
)  # fmt: skip
def test_a_feature_file_that_lies_about_its_size_costs_only_itself(
    recogniser, tmp_path, shape, reason
):
    wave = say_tones("abc")
    features = recogniser.frontend.features(wave)
    np.save(tmp_path / "good.npy", features)
    with (tmp_path / "liar.npy").open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(np.zeros((40, 20), np.float32).tobytes())
    liar, good = transcribe_paths(recogniser, [tmp_path / "liar.npy", tmp_path / "good.npy"])
    assert liar.error.startswith(f"{tmp_path / 'liar.npy'}: is no array of features: ")
    assert reason in liar.error
    assert good.transcript.text == recogniser.transcribe_waves([wave])[0].text


def test_files_that_are_no_array_of_features_are_told_so(recogniser, tmp_path):
    np.savez(tmp_path / "several", a=np.zeros(3))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY\x01\x00\x05\x00{'a':")
    (tmp_path / "text.npy").write_text("nothing of the kind")
    names = [tmp_path / f"{name}.npy" for name in ("several", "broken", "text")]
    several, *others = transcribe_paths(recogniser, names)
    assert several.error == f"{names[0]}: holds several arrays; give one .npy file each"
    assert all("is no array of features" in other.error for other in others)


def test_long_features_are_written_piece_by_piece(recogniser, tmp_path):
    pause = np.zeros(RATE // 2, np.float32)
    wave = np.concatenate([np.concatenate([say_tones("abc", seed=n), pause]) for n in range(20)])
    features = recogniser.frontend.features(wave)
    np.save(tmp_path / "long.npy", features)
    longest = []
    recognise = recogniser.network.recognise

    def watched(features, lengths):
        longest.append(int(lengths.max()))
        return recognise(features, lengths)

    recogniser.network.recognise = watched
    try:
        (written,) = transcribe_paths(recogniser, [tmp_path / "long.npy"])
        assert max(longest) * 0.01 <= recogniser.longest < len(features) * 0.01 / 3
        whole = recogniser.transcribe_features([features], whole=True)[0]
        assert longest[-1] == len(features)
    finally:
        recogniser.network.recognise = recognise
    assert written.transcript.duration == pytest.approx(whole.duration)
    starts = [round(token.start, 6) for token in written.transcript.tokens]
    assert starts == sorted(starts)


def test_samples_of_an_impossible_size_are_no_silence(recogniser):
    with pytest.raises(DataError, match=r"its samples reach 1e\+37, where full scale is 1"):
        recogniser.transcribe_waves([np.full(4000, 1e37, np.float32)])
    with pytest.raises(DataError, match="4000 of its samples are not finite"):
        recogniser.transcribe_waves([np.full(4000, np.nan, np.float32)])


def test_a_batch_gives_what_single_clips_give(recogniser):
    waves = [say_tones(text, seed=n) for n, text in enumerate(["abc", "a", "cb", "bbac"])]
    together = recogniser.transcribe_waves(waves)
    for wave, answer in zip(waves, together, strict=True):
        alone = recogniser.transcribe_waves([wave])[0]
        assert alone.text == answer.text
        assert alone.confidence == pytest.approx(answer.confidence, abs=1e-4)


def test_decoding_is_batched(recogniser, monkeypatch):
    sizes = []
    recognise = recogniser.network.recognise

    def counted(features, lengths):
        sizes.append(len(features))
        return recognise(features, lengths)

    monkeypatch.setattr(recogniser.network, "recognise", counted)
    recogniser.transcribe_waves([say_tones("ab", seed=n) for n in range(12)])
    assert sizes == [12]


@pytest.mark.parametrize(
    "wave",
    [np.zeros(160, np.float32), np.zeros(16_000, np.float32), np.full(8000, 0.2, np.float32),
     0.3 * np.ones(1, np.float32), say_tones("a")[:160]],
    ids=["20 ms of zeros", "2 s of zeros", "an offset", "one sample", "20 ms of tone"],
)  # fmt: skip
def test_silence_and_clips_of_20_ms_give_nothing(recogniser, wave):
    answer = recogniser.transcribe_waves([wave])[0]
    assert (answer.text, answer.tokens) == ("", ())
    assert answer.confidence == 1.0


def test_long_sound_is_written_piece_by_piece(recogniser, tmp_path):
    pause = np.zeros(RATE, np.float32)
    wave = np.concatenate([np.concatenate([say_tones("abc", seed=n), pause]) for n in range(30)])
    path = tmp_path / "long.flac"
    soundfile.write(path, wave, RATE)
    (written,) = transcribe_paths(recogniser, [path])
    assert written.transcript.duration == pytest.approx(len(wave) / RATE, abs=0.01)
    starts = [token.start for token in written.transcript.tokens]
    assert starts == sorted(starts)
    assert len(wave) / RATE > 3 * recogniser.longest


def test_inputs_are_found_once_and_in_order(tones, tmp_path):
    found = find_recordings([tones / "wav", sorted((tones / "wav").glob("*"))[0]])
    assert [job.source for job in found] == sorted((tones / "wav").glob("*.wav"))
    assert len(found) == 24
    assert find_recordings([f"{tones}/wav/*.wav"]) == found
    with pytest.raises(DataError, match=r"no recordings found .*\.flac"):
        find_recordings([])
    with pytest.raises(DataError, match="does not exist"):
        find_recordings([tmp_path / "gone.wav"])


def test_a_manifest_of_a_folder(tones, tmp_path):
    result = run("manifest", tones / "wav", "--save", tmp_path / "m.csv")
    assert "24 recordings of 2 speakers" in result.output
    rows = list(csv.DictReader((tmp_path / "m.csv").read_text().splitlines()))
    assert {row["speaker"] for row in rows} == {"x", "y"}
    with pytest.raises(DataError) as caught:
        run("manifest", tones / "wav", "--save", tmp_path / "m.csv")
    assert str(caught.value) == (
        f"{tmp_path / 'm.csv'}: is there already -> move it away, or name another with --save"
    )
    shutil.copytree(tones / "wav", tmp_path / "wav")
    (tmp_path / "wav" / "manifest.jsonl").write_text("hours of work\n")
    with pytest.raises(DataError, match=r"wav/manifest\.jsonl: is there already"):
        run("manifest", tmp_path / "wav")
    assert (tmp_path / "wav" / "manifest.jsonl").read_text() == "hours of work\n"


def test_a_picture_of_how_tokens_fire(tones, tone_run, tmp_path):
    file = sorted((tones / "wav").glob("*.wav"))[0]
    run("transcribe", file, "--weights", tone_run, "--plot", tmp_path)
    assert (tmp_path / f"{file.stem}.png").stat().st_size > 5000


def test_resume_takes_no_other_settings(tone_run):
    with pytest.raises(ConfigError, match="--resume takes the settings of the run"):
        run("train", "data=toy", "--resume", tone_run)


def test_the_help_names_all_commands_and_is_quick():
    import subprocess
    import sys

    code = "import sys, faultline.cli as c; print(*(m in sys.modules for m in ('torch', 'scipy')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    shown = run("--help").output
    for name in ("train", "evaluate", "transcribe", "manifest", "synthesize", "serve", "export"):
        assert name in shown

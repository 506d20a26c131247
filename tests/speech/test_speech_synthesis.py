"""Spoken sentences: phrases, parts and voices; with espeak-ng where it is installed."""

import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from faultline.cli import app
from faultline.errors import ConfigError, DataError, MissingExtraError
from faultline.speech import synthesis
from faultline.speech.audio.reading import read_audio
from faultline.speech.audio.segments import trim_silence
from faultline.speech.data.manifest import read_manifest
from faultline.speech.phrases import PHRASES, PHRASES_NAME, read_phrases
from faultline.speech.synthesis import VOICES, Recipe, synthesize_speech

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="the program espeak-ng is not installed"
)


def test_no_voice_is_in_two_parts():
    variants = {part: {voice.split("+")[1] for voice in voices} for part, voices in VOICES.items()}
    assert not variants["train"] & variants["test"]
    assert not variants["train"] & variants["valid"]
    assert not variants["valid"] & variants["test"]


def test_there_are_many_phrases_and_no_two_alike():
    assert len(PHRASES) == len(set(PHRASES)) == 140


def fake_espeak(monkeypatch):
    """Sentences of noise, so that the recipe can be tested without the program."""
    monkeypatch.setattr(synthesis.shutil, "which", lambda name: "/usr/bin/espeak-ng")

    def spoken(line):
        seed = [ord(letter) for letter in line.name + line.voice]
        return 0.1 * np.random.default_rng(seed).standard_normal(4000).astype(np.float32)

    monkeypatch.setattr(synthesis, "_spoken", spoken)


def test_the_recipe_keeps_wording_and_voices_apart(tmp_path, monkeypatch):
    fake_espeak(monkeypatch)
    phrases = tuple(f"phrase {word}" for word in "abcdefghij")
    recipe = Recipe(phrases, train=30, valid=5, test=8, unseen=0.2)
    manifest = read_manifest(synthesize_speech(tmp_path / "made", recipe))
    by_part = {}
    for utterance in manifest.utterances:
        by_part.setdefault(utterance.split, []).append(utterance)
    assert {part: len(rows) for part, rows in by_part.items()} == {
        "train": 30, "valid": 5, "test": 8, "test_noisy": 8, "unseen": 4
    }  # fmt: skip
    known = {u.text for u in by_part["train"]}
    assert len(known) == 8
    assert {u.text for u in by_part["test"]} <= known
    assert not {u.text for u in by_part["unseen"]} & known
    assert not {u.speaker for u in by_part["train"]} & {u.speaker for u in by_part["unseen"]}
    clean, noisy = (read_audio(by_part[part][0].path, 16_000) for part in ("test", "test_noisy"))
    ratio = 20 * np.log10(clean.std() / (noisy - clean).std())
    assert ratio == pytest.approx(15, abs=0.5)
    with pytest.raises(DataError, match=r"holds a manifest.jsonl already"):
        synthesize_speech(tmp_path / "made", recipe)


def test_silence_at_both_ends_is_cut_off_where_asked(tmp_path, monkeypatch):
    fake_espeak(monkeypatch)
    spoken = synthesis._spoken
    around = np.zeros(3200, np.float32)
    monkeypatch.setattr(synthesis, "_spoken", lambda line: np.r_[around, spoken(line), around])
    for trim, samples in ((False, 10_400), (True, 4000)):
        recipe = Recipe(train=2, valid=1, test=1, unseen=0.0, trim=trim)
        manifest = read_manifest(synthesize_speech(tmp_path / str(trim), recipe))
        (clip,) = [u for u in manifest.utterances if u.split == "test"]
        assert len(read_audio(clip.path, 16_000)) == pytest.approx(samples, abs=320)
    assert len(trim_silence(around, 16_000)) == len(around)


def test_the_same_seed_gives_the_same_sentences(tmp_path, monkeypatch):
    fake_espeak(monkeypatch)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        recipe = Recipe(train=4, valid=1, test=1, unseen=0.0, seed=seed)
        synthesize_speech(tmp_path / name, recipe)
    texts = {name: (tmp_path / name / "manifest.jsonl").read_text() for name in "abc"}
    assert texts["a"] == texts["b"] != texts["c"]
    waves = {n: read_audio(tmp_path / n / "recordings" / "train-00000.wav", 16_000) for n in "ab"}
    assert np.array_equal(waves["a"], waves["b"])


def test_without_the_program_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(synthesis.shutil, "which", lambda name: None)
    with pytest.raises(MissingExtraError, match="espeak-ng is not installed -> apt-get install"):
        synthesize_speech(tmp_path)


def test_lists_of_phrases(tmp_path, monkeypatch):
    path = tmp_path / "phrases.txt"
    path.write_text("Find CRACK\n\nfind  crack\nfind joint\n")
    assert read_phrases(path) == ("find crack", "find joint")
    path.write_text("\n \n")
    with pytest.raises(DataError, match="holds no phrase"):
        read_phrases(path)
    with pytest.raises(DataError, match="cannot be read as text"):
        read_phrases(tmp_path / "none.txt")
    fake_espeak(monkeypatch)
    with pytest.raises(ConfigError, match="1 phrases are too few"):
        synthesize_speech(tmp_path / "x", Recipe(("one",)))


@needs_espeak
def test_espeak_speaks_and_the_front_end_hears_it(tmp_path):
    words = ["speech", "synthesize", str(tmp_path / "made"), "--train", "3", "--valid", "1",
             "--test", "1", "--unseen", "0.02"]  # fmt: skip
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    manifest = read_manifest(tmp_path / "made")
    assert not manifest.problems
    for utterance in manifest.utterances:
        assert 0.4 < utterance.duration < 6
        assert np.abs(read_audio(utterance.path, 16_000)).max() > 0.01
    said = {utterance.text for utterance in manifest.utterances if utterance.split == "train"}
    assert read_phrases(tmp_path / "made" / PHRASES_NAME) == tuple(sorted(said))


def test_a_list_of_the_user_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.setattr(synthesis.shutil, "which", lambda name: name)
    (tmp_path / PHRASES_NAME).write_text("mine\n")
    with pytest.raises(DataError, match=r"holds a phrases.txt already"):
        synthesize_speech(tmp_path)
    assert (tmp_path / PHRASES_NAME).read_text() == "mine\n"

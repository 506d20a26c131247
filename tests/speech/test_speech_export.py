"""ONNX: the same answers, at any length and batch size, silence included."""

import json

import numpy as np
import pytest
import soundfile
import torch
from speech_samples import say_tones
from typer.testing import CliRunner

from faultline.cli import app
from faultline.errors import BundleError, ConfigError, OutputError
from faultline.speech import export as exporting
from faultline.speech import export_check
from faultline.speech.data.samples import pad_features
from faultline.speech.export_check import check_alike, compare, run_session
from faultline.speech.recogniser import Recogniser
from faultline.speech.transcribe import spoken_clips

pytestmark = pytest.mark.slow  # the exporter takes some 20 seconds
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def recogniser(tone_run):
    return Recogniser.load(tone_run, "cpu")


@pytest.fixture(scope="module")
def exported(tone_run, tmp_path_factory):
    """What the command says, and the file that it writes; made once, since it takes a while."""
    path = tmp_path_factory.mktemp("onnx") / "recogniser.onnx"
    words = ["speech", "export", "--weights", str(tone_run), "--save", str(path)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return path, result.output


def test_it_answers_as_the_network_does(exported, recogniser):
    path, said = exported
    assert "same text on 12 of 12 clips, " in said
    assert "none of these clips says anything" not in said
    session = exporting.open_session(path)
    waves = [say_tones(text, seed=n) for n, text in enumerate(["abc", "a", "cbabc"])]
    answers = run_session(session, [recogniser.frontend.features(w) for w in waves])
    for row, wave in enumerate(waves):
        transcript = recogniser.transcribe_waves([wave])[0]
        length = int(answers["token_lengths"][row])
        pieces = recogniser.tokenizer.pieces(answers["tokens"][row, :length].tolist())
        assert "".join(pieces).strip() == transcript.text
        if transcript.tokens and " " not in "".join(pieces):
            starts = [token.start for token in transcript.tokens]
            assert np.allclose(answers["starts"][row, : len(pieces)], starts, atol=1e-6)


def test_silence_gives_no_token(exported, recogniser):
    session = exporting.open_session(exported[0])
    answers = run_session(session, [np.zeros((30, 20), np.float32)])
    transcript = recogniser.transcribe_features([np.zeros((30, 20), np.float32)])[0]
    assert (int(answers["token_lengths"][0]) == 0) == (transcript.text == "")


def test_the_file_brings_vocabulary_and_front_end(exported, recogniser):
    model = onnx.load(exported[0])
    values = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(values["tokens"]) == list(recogniser.tokenizer.tokens)
    assert json.loads(values["frontend"])["mels"] == 20
    assert values["fingerprint"] == recogniser.bundle.fingerprint
    assert [output.name for output in model.graph.output] == list(export_check.OUTPUTS)


def test_an_export_that_answers_otherwise_is_not_written(
    recogniser, exported, tmp_path, monkeypatch
):
    monkeypatch.setattr(exporting, "_graph", lambda module, recogniser: onnx.load(exported[0]))

    def shifted(session, clips):
        return {
            **run_session(session, clips),
            "confidence": run_session(session, clips)["confidence"] + 0.1,
        }

    monkeypatch.setattr(export_check, "run_session", shifted)
    with pytest.raises(OutputError, match=r"exported confidence differ by 0\.1"):
        exporting.export_onnx(recogniser, tmp_path / "bad.onnx")
    assert not list(tmp_path.iterdir())


def test_only_a_paraformer_is_exported(recogniser, tmp_path, monkeypatch):
    monkeypatch.setattr(recogniser, "network", torch.nn.Identity())
    with pytest.raises(BundleError, match="export a paraformer"):
        exporting.export_onnx(recogniser, tmp_path / "x.onnx")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Speech of several lengths, one clip of it in noise: not all of it is easy."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(1)
    for number, text in enumerate(["abc", "a", "cbabc", "bb", "cab", "abcabc", "c", "ba", "acb"]):
        wave = say_tones(text, seed=number)
        noisy = wave + 0.02 * (number % 3) * rng.standard_normal(len(wave)).astype(np.float32)
        soundfile.write(folder / f"{number}.wav", noisy, 8000)
    return folder


def test_what_counts_again_in_torch_counts_again_in_the_file(recogniser, recordings, tmp_path):
    """Every clip is unsure here, so that all of them are decoded with every number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("faultline.speech.paraformer.count_search.SURE", 1.1)
        clips = spoken_clips(recogniser, [recordings])
        done = exporting.export_onnx(recogniser, tmp_path / "r.onnx", clips)
        plain = recogniser.network(*pad_features(clips))
        searched = recogniser.network.recognise(*pad_features(clips))
    assert done.agreement.same == done.agreement.clips > len(clips)
    assert done.agreement.tokens > len(clips)
    assert (plain.lengths != searched.lengths).any()


def test_eight_bits_are_smaller_and_compared_on_recordings(exported, tones, tone_run, tmp_path):
    path = tmp_path / "small.onnx"
    words = ["speech", "export", "--weights", str(tone_run), "--save", str(path), "--int8"]
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, ConfigError)
    assert "name recordings to compare on with --clips" in str(refused.exception)
    assert not path.exists()
    result = CliRunner().invoke(app, [*words, "--clips", str(tones / "wav")])
    assert result.exit_code == 0, result.output
    assert "same text on" in result.output
    assert path.stat().st_size < 0.6 * exported[0].stat().st_size


def test_too_many_other_texts_are_refused(exported, recogniser, recordings):
    class Silent(torch.nn.Module):
        def forward(self, features, lengths):
            none = torch.zeros(len(lengths), 1)
            return none.long(), none[:, 0].long(), none, none, none

    session = exporting.open_session(exported[0])
    clips = spoken_clips(recogniser, [recordings])
    with pytest.raises(OutputError, match=r"only 0 of 9 clips get the same text .*at least 95%"):
        check_alike(compare(Silent(), session, [clips]))

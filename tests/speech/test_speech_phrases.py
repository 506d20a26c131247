"""Expected phrases: taken where a clip sounds like one, and nowhere else."""

import json

import numpy as np
import pytest
import torch
from speech_samples import say_tones
from typer.testing import CliRunner

from faultline.cli import app
from faultline.errors import ConfigError
from faultline.speech.data.manifest import read_manifest
from faultline.speech.evaluate import evaluate_speech
from faultline.speech.paraformer import Paraformer, Recognised
from faultline.speech.paraformer.count_search import log_surety
from faultline.speech.paraformer.phrase_choice import MARGIN, prefer_phrases
from faultline.speech.recogniser import Recogniser
from faultline.speech.tokenizer import END_ID

A, B, C = 4, 5, 6
VOCABULARY = 7


def free(lengths, surety):
    """Answers of nothing but A."""
    lengths = torch.as_tensor(lengths)
    real = torch.arange(int(lengths.max())) < lengths[:, None]
    places = torch.where(real, 0, -1)
    confidence = real * torch.as_tensor(surety)[:, None]
    return Recognised(torch.where(real, A, 0), lengths, places, places, confidence, lengths.float())


class Speller:
    """Spells a text a clip, each character at probability `surety`; keeps what it was asked."""

    def __init__(self, texts, surety):
        self.texts, self.surety, self.asked = texts, surety, []

    def __call__(self, rows, number):
        self.asked += [(row, number) for row in rows.tolist()]
        logs = torch.full((len(rows), number, VOCABULARY), 0.01).log()
        for place, row in enumerate(rows.tolist()):
            for index, token in enumerate([*self.texts[row], END_ID][:number]):
                logs[place, index, token] = np.log(self.surety)
        starts = torch.arange(number).expand(len(rows), -1)
        return logs, starts, starts + 1


def test_a_phrase_replaces_an_answer_that_is_no_surer():
    found = free([3, 3, 3], [0.8, 0.8, 0.8])
    spell = Speller([[A, B], [B, A, A], [C, C]], 0.8)
    frames = torch.tensor([20, 20, 20])
    said = prefer_phrases(found, frames, [[A, B], [B, A, A], [B, B]], spell)
    assert said.tokens[0].tolist() == [A, B, END_ID, 0]
    assert said.tokens[1].tolist() == [B, A, A, END_ID]
    assert said.tokens[2].tolist() == [A, A, A, 0], "what it says is on no list"
    assert said.lengths.tolist() == [3, 4, 3]
    assert said.starts[0].tolist() == [0, 1, 2, -1]
    torch.testing.assert_close(said.confidence[1], torch.full((4,), 0.8))
    torch.testing.assert_close(said.counts, found.counts)


@pytest.mark.parametrize(("worse", "taken"), [(0.5, True), (1.5, False)])
def test_the_margin_is_of_mean_log_probabilities(worse, taken):
    found = free([3], [0.9])
    spell = Speller([[B, B]], 0.9 * float(np.exp(-worse * MARGIN)))
    said = prefer_phrases(found, torch.tensor([9]), [[B, B]], spell)
    assert (said.tokens[0].tolist() == [B, B, END_ID]) == taken


def test_silence_short_clips_and_far_counts_are_left():
    found = free([1, 4, 12], [0.3, 0.3, 0.3])
    spell = Speller([[B] * 5, [B] * 5, [B] * 5], 1.0)
    said = prefer_phrases(found, torch.tensor([20, 5, 40]), [[B] * 5], spell)
    assert not spell.asked
    assert said is found


def test_the_likeliest_of_several_lengths_is_taken():
    found = free([4], [0.5])
    spell = Speller([[A, B, C]], 0.9)
    said = prefer_phrases(found, torch.tensor([20]), [[A], [A, B], [A, B, C], [A, B, B]], spell)
    assert said.tokens[0].tolist() == [A, B, C, END_ID]
    assert {number for _, number in spell.asked} == {2, 3, 4}


@torch.no_grad()
def test_a_network_takes_its_own_words_for_a_phrase():
    torch.manual_seed(2)
    net = Paraformer(12, 20, dim=16, heads=2, encoder_depth=1, decoder_depth=1, search=0).eval()
    features, lengths = torch.randn(3, 60, 20), torch.tensor([60, 41, 23])
    plain = net(features, lengths)
    texts = [row[: n - 1].tolist() for row, n in zip(plain.tokens, plain.lengths, strict=True)]
    said = net.recognise(features, lengths, texts)
    assert (log_surety(said) >= log_surety(plain) - MARGIN).all()
    for row in range(3):
        one = slice(row, row + 1)
        alone = net.recognise(features[one, : lengths[row]], lengths[one], texts)
        number = int(alone.lengths)
        assert number == int(said.lengths[row])
        assert alone.tokens[0, :number].tolist() == said.tokens[row, :number].tolist()


def test_a_recogniser_is_told_what_to_expect(tone_run):
    recogniser = Recogniser.load(tone_run, "cpu")
    assert recogniser.takes_phrases
    assert recogniser.expect(["  ABC ", "abc", "q9", "", "cab"]) == ["q9"]
    assert recogniser.phrases == ("abc", "cab")
    assert recogniser.transcribe_waves([say_tones("abc")])[0].duration > 0
    assert recogniser.transcribe_waves([np.zeros(8000, np.float32)])[0].text == ""
    with pytest.raises(ConfigError, match="'q9': none of the phrases can be written"):
        recogniser.expect(["q9"])


def test_only_a_paraformer_takes_phrases(tone_run, monkeypatch):
    recogniser = Recogniser.load(tone_run, "cpu")
    monkeypatch.setattr(recogniser, "network", torch.nn.Identity())
    assert not recogniser.takes_phrases
    with pytest.raises(ConfigError, match="does not support expected phrases"):
        recogniser.expect(["abc"])


def test_an_evaluation_says_that_phrases_were_told(tone_run, tones):
    texts = [row.text for row in read_manifest(tones).utterances]
    plain = evaluate_speech(tone_run, say=lambda line: None)
    told = evaluate_speech(tone_run, phrases=texts, say=lambda line: None)
    assert plain.results["phrases"] is None
    assert told.results["phrases"]["expected"] == len(set(texts))
    assert told.results["phrases"]["clips_of_other_texts"] == 0
    assert told.folder.name == "evaluation-phrases"
    assert json.loads((plain.folder / "results.json").read_text())["phrases"] is None
    assert told.results["metrics"]["exact_match"] >= plain.results["metrics"]["exact_match"]
    other = evaluate_speech(tone_run, phrases=["cccccc"], say=lambda line: None)
    assert other.results["phrases"]["clips_of_other_texts"] > 0


def test_the_command_takes_a_file_of_phrases(tone_run, tones, tmp_path):
    (tmp_path / "list.txt").write_text("abc\n\nzebra 7\n")
    wav = sorted((tones / "wav").glob("*.wav"))[0]
    words = ["speech", "transcribe", str(wav), "--weights", str(tone_run), "--phrases"]
    result = CliRunner().invoke(app, [*words, str(tmp_path / "list.txt")])
    assert result.exit_code == 0, result.output
    assert "left out 1 phrases with characters that this recogniser lacks: 'zebra 7'" in (
        result.output
    )

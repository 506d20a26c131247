"""A spoken prompt is shown, and asked back about where it is not sure."""

import pytest
import soundfile
from speech_samples import RATE, say_tones

from faultline.errors import ConfigError, DataError
from faultline.speech import prompt
from faultline.speech.prompt import confirmed_prompt, recognise_prompt


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "prompt.wav"
    soundfile.write(path, say_tones("abc"), RATE)
    return path


def test_what_is_said_and_how_sure(wav, tone_run):
    text, confidence = recognise_prompt(wav, tone_run)
    assert isinstance(text, str)
    assert 0 <= confidence <= 1


def hears(monkeypatch, text, confidence):
    """Pretend to hear `text`; the list takes what was expected each time, and on which device."""
    expected = []

    def recognise(wav, weights, phrases, device):
        expected.append((list(phrases), device))
        return text, confidence

    monkeypatch.setattr(prompt, "recognise_prompt", recognise)
    return expected


def test_a_sure_prompt_is_shown_and_taken(monkeypatch):
    hears(monkeypatch, "segment crack", 0.9)
    lines = []
    assert confirmed_prompt("p.wav", "w", say=lines.append) == "segment crack"
    assert lines == ["heard 'segment crack' (confidence 0.90)"]


@pytest.mark.parametrize(("typed", "taken"), [("", "segment crock"), ("segment crack", None)])
def test_an_unsure_prompt_is_asked_back(monkeypatch, typed, taken):
    hears(monkeypatch, "segment crock", 0.3)
    questions = []

    def ask(question):
        questions.append(question)
        return typed

    found = confirmed_prompt("p.wav", "w", say=lambda line: None, ask=ask)
    assert found == (taken or typed)
    assert "Press Enter for 'segment crock'" in questions[0]


def test_without_a_terminal_an_unsure_prompt_is_an_error(monkeypatch):
    hears(monkeypatch, "segment crock", 0.3)
    with pytest.raises(DataError, match=r"'segment crock' is not sure enough.*0.30, needed 0.60"):
        confirmed_prompt("p.wav", "w", say=lambda line: None)
    hears(monkeypatch, "", 1.0)
    with pytest.raises(DataError, match="nothing was heard"):
        confirmed_prompt("p.wav", "w", say=lambda line: None)
    with pytest.raises(DataError, match="nothing was heard and nothing typed"):
        confirmed_prompt("p.wav", "w", say=lambda line: None, ask=lambda question: "")


@pytest.mark.parametrize(
    ("heard", "message"),
    [("segment crock", r"p\.wav: 'segment crock' was not confirmed -> type the prompt with"),
     ("", "nothing was heard and nothing typed -> type the prompt with --prompt")],
)  # fmt: skip
def test_the_end_of_the_input_is_no_answer(monkeypatch, heard, message):
    def ask(question):
        raise EOFError

    hears(monkeypatch, heard, 0.3)
    with pytest.raises(DataError, match=message):
        confirmed_prompt("p.wav", "w", say=lambda line: None, ask=ask)


def test_the_recogniser_runs_on_the_device_that_was_asked_for(monkeypatch, wav):
    asked = []

    def load(weights, device):
        asked.append((weights, device))
        raise ConfigError("seen enough")

    monkeypatch.setattr(prompt.Recogniser, "load", load)
    with pytest.raises(ConfigError, match="seen enough"):
        confirmed_prompt(wav, "w", device="cpu", say=lambda line: None)
    assert asked == [("w", "cpu")]


def test_a_prompt_needs_a_recogniser():
    with pytest.raises(ConfigError, match="--speak needs a recogniser"):
        confirmed_prompt("p.wav", None)


def test_infer_takes_the_spoken_prompt(monkeypatch, tmp_path):
    from typer.testing import CliRunner

    from faultline.cli import app
    from faultline.predict import command

    asked = []

    class Summary:
        failed = ()

    def infer_weights(weights, inputs, save, options, **more):
        asked.append(options.prompts)
        return Summary()

    monkeypatch.setattr(command, "infer_weights", infer_weights)
    monkeypatch.setattr("faultline.artifacts.bundle.load_bundle", lambda path: "a bundle")
    monkeypatch.setattr(
        "faultline.predict.prompt_meaning.known_prompts", lambda bundle: ["segment crack"]
    )
    expected = hears(monkeypatch, "segment crack", 0.9)
    words = ["infer", "--weights", "p.safetensors", "--input", "x", "--speak", "p.wav",
             "--speech-weights", "s.safetensors", "--prompt", "find rust",
             "--device", "cpu"]  # fmt: skip
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert asked == [("find rust", "segment crack")]
    assert expected == [(["segment crack"], "cpu")], "what the weights know is what is expected"
    assert "heard 'segment crack'" in result.output
    hears(monkeypatch, "segment crock", 0.2)
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, DataError)
    assert len(asked) == 1
    result = CliRunner().invoke(app, [w for w in words if w not in ("--speak", "p.wav")])
    assert "has nothing to recognise -> add --speak" in str(result.exception)

"""Every command that a page shows, run in the order of the page, on small data of those names."""

import importlib.util
import shutil

import docs_sandbox
import pytest
from docs_sandbox import BOTH, CROPS, SPOKEN, TRAINED, WHOLE
from test_docs import COMMANDS
from tiny_classification import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ELSEWHERE = {
    "--ray auto": "a cluster that is running",
    "/data/weights/": "weights of somebody else",
    "model.name=clipseg": "the weights of CLIPSeg",
    "dilated_net": "the plugin of the guide, which tests/test_guides.py installs and trains",
    "trainer.devices=2": "two devices",
    "speech serve": "it serves until it is stopped; tests/speech/test_speech_service.py asks it",
    "serve --weights": "it serves until it is stopped; tests/serving/test_serve_command.py asks it",
    "speech export": "onnx; tests/speech/test_speech_export.py",
    "pseudolabel verdict": "a person; tests/pseudolabel/test_pseudolabel_commands.py plays one",
    "--expect": "a trained segmenter; tests/pseudolabel/test_gate.py has one",
    "unet-seed0-1a2b3c4d": "runs whose names end in a number that depends on all settings",
}
"""Commands that contain this need what is named here."""
PAGES = sorted({page for page, _ in COMMANDS})
SMALLER = {
    ("synthesize",): ["--train", "6", "--valid", "3", "--test", "3"],
    ("speech", "synthesize"): ["--train", "4", "--test", "3"],
    ("profile", "backbones"): ["--size", "64", "--batch", "2", "--names", "ghostnet_v2"],
    ("profile",): ["--batch", "1"],
}


def limits(words):
    """What is added to a command so that it ends in seconds; later words count."""
    for start, more in sorted(SMALLER.items(), key=lambda one: -len(one[0])):
        if tuple(words[: len(start)]) == start:
            pictures = start == ("profile",) and "task=speech" not in words
            return more + (["--size", "64"] if pictures else [])
    if "--resume" in words or "--dry-run" in words:
        return []
    if words[:2] == ["speech", "train"]:
        return TRAINED + SPOKEN
    if words[:2] == ["ensemble", "run"]:
        return [*TRAINED, *WHOLE, "--folds", "2", "--halt-gap", "1"]
    if "model=dual_head" in words:
        return BOTH
    if words[0] == "crossvalidate":
        return [*TRAINED, *WHOLE, "data.folds=2"]
    if words[0] in ("train", "ablate"):
        kind = SPOKEN if is_of_speech(words) else WHOLE if is_of_pictures(words) else CROPS
        return TRAINED + kind + (["seed=0"] if words[0] == "ablate" else [])
    return []


def is_of_speech(words):
    return "task=speech" in words or words[1].startswith("speech_")


def is_of_pictures(words):
    return "task=classification" in words


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """The sandbox with its runs; each page gets a copy."""
    root = tmp_path_factory.mktemp("docs") / "sandbox"
    docs_sandbox.fill(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        docs_sandbox.learn(root)
    return root


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_runs(page, filled, tmp_path, monkeypatch, capsys):
    root = tmp_path / "sandbox"
    shutil.copytree(filled, root, symlinks=True)
    monkeypatch.chdir(root)
    failed = []
    for words in (words for name, words in COMMANDS if name == page):
        line = " ".join(words)
        if any(part in line for part in ELSEWHERE):
            continue
        if "--jobs" in words and importlib.util.find_spec("ray") is None:
            continue
        if words[:2] == ["speech", "synthesize"] and shutil.which("espeak-ng") is None:
            continue
        code = run(*words, *limits(words))
        told = capsys.readouterr()
        if code not in allowed(words):
            failed.append(f"{line}\n  exit code {code}: {(told.err or told.out)[-600:]}")
    assert not failed, "\n".join(failed)


def allowed(words):
    """Exit codes that are no failure of the command."""
    if words[0] == "doctor" or "--speak" in words:
        # Small drawn data resembles itself, and an untrained recogniser asks back.
        return (0, 1)
    return (0,)

"""A run made with relative paths is gone on with, scored and repeated from another folder."""

import pytest
from experiment_samples import TINY, silent

from faultline.artifacts.run import resolve_run
from faultline.config import load_config
from faultline.config.compose import from_yaml
from faultline.evaluation.command import evaluate_weights
from faultline.experiments.plan import SETTINGS_NAME
from faultline.experiments.points import run_point
from faultline.experiments.reproduce import reproduce
from faultline.experiments.runners import RUNNERS
from faultline.experiments.runs import read_run
from faultline.training.fit import train
from faultline.training.prompted import PromptedKind
from faultline.training.resume import ResumePoints

WORDS = [*TINY, "model=unet_mini", "trainer.max_steps=4", "trainer.checkpoint_every_steps=2"]


@pytest.fixture
def made(line_data, tmp_path, monkeypatch):
    """A run on `lines`, cut short after a step, in a folder that nobody is in any more."""
    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    there.mkdir()
    elsewhere.mkdir()
    (there / "lines").symlink_to(line_data)
    monkeypatch.chdir(there)
    words = ["data=lines", "data.test=lines/test", "output_dir=runs", *WORDS]
    config = load_config(words)
    with monkeypatch.context() as patch:
        patch.setattr(ResumePoints, "save", saves_once_and_dies(ResumePoints.save))
        with pytest.raises(SystemError):
            train(config, say=silent)
    monkeypatch.chdir(elsewhere)
    return resolve_run(there / "runs" / "unet_mini")


def saves_once_and_dies(save):
    def call(self, trainer):
        save(self, trainer)
        raise SystemError

    return call


def test_everything_finds_its_files_again(made, tmp_path, monkeypatch):
    data = from_yaml(made / "config.yaml").data
    there = tmp_path / "there"
    assert (data.root, data.test) == (str(there / "lines"), str(there / "lines" / "test"))
    run = train(load_config(), say=silent, resume=made)
    assert run.results["status"] == "finished"
    assert run.results["config"]["data"]["root"] == str(there / "lines")
    assert evaluate_weights(made, say=silent).metrics["images"] == 4
    again = reproduce(made, save=tmp_path / "again", say=silent)
    assert again.verdict == "identical"
    # A run of before paths were stored as absolute ones is still told to be the same.
    config = again.run / "config.yaml"
    config.write_text(config.read_text().replace(str(there / "lines"), "lines"))
    monkeypatch.chdir(there)
    assert read_run(again.run).settings["data.root"] == str(there / "lines")
    assert reproduce(made, against=again.run, say=silent).verdict == "identical"


def test_a_point_of_an_ablation_too(line_data, tmp_path, monkeypatch):
    (tmp_path / "lines").symlink_to(line_data)
    monkeypatch.chdir(tmp_path)
    runner = RUNNERS.build("pictures")
    words = ["data=lines", "output_dir=sweep", "experiment=one", *WORDS]
    text = runner.write(runner.load(words, None))
    point = tmp_path / "sweep" / "one"
    point.mkdir(parents=True)
    (point / SETTINGS_NAME).write_text(text)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    state = run_point(point, "pictures", silent)
    assert (state.status, state.error) == ("finished", None)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_sources_that_a_file_lists_are_stored_themselves(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "list.yaml").write_text("sources: [one, {root: two, class: bar}]")
    monkeypatch.chdir(tmp_path)
    config = load_config(["task=prompted", "data.sources=[list.yaml]"])
    PromptedKind().settle_paths(config)
    assert config.data.sources == [
        str(tmp_path / "one"), {"root": str(tmp_path / "two"), "class": "bar"}
    ]  # fmt: skip

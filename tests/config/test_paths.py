"""Settings that name files and folders: `~`, and paths that hold from anywhere."""

import json
from pathlib import Path

import pytest

from faultline.config import load_config
from faultline.config.compose import from_yaml, to_yaml
from faultline.config.paths import make_absolute, same_folder, with_absolute_paths


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with a data set, a prompt table and weights."""
    place = tmp_path / "my home"
    (place / "photos").mkdir(parents=True)
    (place / "table.yaml").touch()
    (place / "w.safetensors").touch()
    monkeypatch.setenv("HOME", str(place))
    return place


class TestHome:
    @pytest.mark.parametrize(
        ("word", "key", "found"),
        [
            ("data=~/photos", "data.root", "photos"),
            ("data.root=~/photos", "data.root", "photos"),
            ("data.test=~/photos", "data.test", "photos"),
            ("data.test='~/photos'", "data.test", "photos"),
            ("data.split_file=~/s.json", "data.split_file", "s.json"),
            ("output_dir=~/runs", "output_dir", "runs"),
            ("prompts.table=~/table.yaml", "prompts.table", "table.yaml"),
            ("model.pretrained=~/w.safetensors", "model.pretrained", "w.safetensors"),
            ("+model.weights=~/clip", "model.weights", "clip"),
        ],
    )
    def test_in_a_word(self, word, key, found, home):
        section, _, name = key.rpartition(".")
        config = load_config([word])
        holder = getattr(config, section) if section else config
        value = holder[name] if isinstance(holder, dict) else getattr(holder, name)
        assert value == str(home / found)

    def test_in_sources(self, home):
        words = ["data.sources=[~/photos,{root: ~/photos, name: two},./here]"]
        assert load_config(words).data.sources == [
            str(home / "photos"), {"root": str(home / "photos"), "name": "two"}, "./here"
        ]  # fmt: skip
        quoted = load_config(["data.sources=['~/photos']"]).data.sources
        assert quoted == [str(home / "photos")]

    def test_in_files(self, home, tmp_path):
        flat, nested = tmp_path / "flat.yaml", tmp_path / "nested.yaml"
        flat.write_text("DATA_ROOT: ~/photos\n")
        nested.write_text("data: {test: ~/photos, sources: [{root: ~/photos}]}\noutput_dir: ~/out")
        assert load_config(file=flat).data.root == str(home / "photos")
        config = load_config(file=nested)
        assert config.data.test == str(home / "photos")
        assert config.data.sources == [{"root": str(home / "photos")}]
        assert config.output_dir == str(home / "out")

    def test_elsewhere_a_tilde_is_a_tilde(self, home):
        assert load_config(["data.positive='crack, ~/x'"]).data.positive == "crack, ~/x"
        assert load_config(["data.test=a~b"]).data.test == "a~b"

    def test_of_recordings(self, home):
        from faultline.speech.settings import load_speech_config

        config = load_speech_config(["data=~/photos", "data.more=['~/photos']"])
        assert config.data.manifest == str(home / "photos")
        assert config.data.more == [str(home / "photos")]


class TestAbsolute:
    def test_what_exists_is_found_from_anywhere(self, home, monkeypatch):
        monkeypatch.chdir(home)
        config = load_config(
            [
                "data=photos", "data.test=./photos", "prompts.table=table.yaml",
                "data.sources=[photos,{root: photos, class: crack}]",
                "model.pretrained=w.safetensors", "output_dir=out",
            ]
        )  # fmt: skip
        make_absolute(config)
        photos = str(home / "photos")
        assert (config.data.root, config.data.test) == (photos, photos)
        assert config.data.sources == [photos, {"root": photos, "class": "crack"}]
        assert config.prompts.table == str(home / "table.yaml")
        assert config.model["pretrained"] == str(home / "w.safetensors")
        assert config.output_dir == "out"

    def test_words_that_are_no_paths_stay(self, home, monkeypatch):
        monkeypatch.chdir(home)
        config = load_config(["model.pretrained=if_available", "+model.weights=CIDAS/clipseg"])
        make_absolute(config)
        assert config.model["pretrained"] == "if_available"
        assert config.model["weights"] == "CIDAS/clipseg"
        assert config.data.root is None

    def test_they_survive_the_round_trip(self, home, tmp_path, monkeypatch):
        monkeypatch.chdir(home)
        config = load_config(["data=photos", "data.sources=[{root: photos}]"])
        make_absolute(config)
        (tmp_path / "config.yaml").write_text(to_yaml(config))
        monkeypatch.chdir(tmp_path)
        assert from_yaml(tmp_path / "config.yaml") == config

    def test_settings_of_older_runs_are_read_alike(self, home, monkeypatch):
        monkeypatch.chdir(home)
        old = {"data.root": "photos", "data.positive": "photos", "data.test": None}
        found = with_absolute_paths(old)
        assert found == {**old, "data.root": str(home / "photos")}
        assert json.dumps(old) != json.dumps(found)

    def test_one_folder_by_two_names(self, home, monkeypatch):
        monkeypatch.chdir(home)
        assert same_folder("photos", str(home / "photos"))
        assert same_folder("~/photos", "./photos/")
        assert not same_folder("photos", None)
        assert not same_folder("photos", str(Path("other")))

"""Summaries as pages: whole, safe, where they are wanted, with curves."""

import json

import pytest
from experiment_samples import Page, run, silent, write_grid, write_run

from faultline.errors import ConfigError
from faultline.experiments.summarize import summarize

MODELS = ("model.name=unet", "model.name=unet_mini")


class TestPages:
    @pytest.fixture
    def grid(self, tmp_path):
        write_grid(tmp_path, {MODELS[0]: [0.5, 0.6], MODELS[1]: [0.4, 0.45]})
        return tmp_path

    def test_the_page_is_whole_and_needs_nothing_else(self, grid):
        summarize([grid], curves=["all"], say=silent)
        text = (grid / "summary.html").read_text()
        page = Page(text)
        assert "http://" not in text
        assert "https://" not in text
        images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
        assert [source[:22] for source in images] == ["data:image/png;base64,"]
        assert "unet-0/20260102T030405Z-abcdef" in "".join(page.text)

    def test_names_cannot_break_it(self, tmp_path):
        write_run(tmp_path, "a", ["experiment='<script>|x'", "loss.name='<b>|'"])
        write_run(tmp_path, "b")
        summarize([tmp_path], say=silent)
        assert "<b>" not in (tmp_path / "summary.html").read_text()
        lines = (tmp_path / "summary.md").read_text().splitlines()
        (row,) = [line for line in lines if line.startswith("| <b>")]
        assert "<b>\\|" in row

    def test_the_output_goes_where_it_is_asked_to(self, grid, tmp_path):
        save = tmp_path / "tables"
        assert run("summarize", grid, "--save", save) == 0
        assert sorted(path.name for path in save.iterdir()) == [
            "groups.csv", "summary.csv", "summary.html", "summary.md"
        ]  # fmt: skip

    def test_curves_of_chosen_runs(self, grid):
        assert run("summarize", grid, "--curves", "unet-0,unet_mini-1") == 0
        assert (grid / "curves.png").read_bytes().startswith(b"\x89PNG")

    def test_curves_of_no_run(self, grid):
        with pytest.raises(ConfigError, match=r"no run 'unet-7'.*there are: unet-0/2026"):
            summarize([grid], curves=["unet-7"], say=silent)

    def test_versions_that_differ_are_told(self, grid):
        path = next(grid.glob("unet-0/*/provenance.json"))
        path.write_text(json.dumps({"package_hash": "other", "data_fingerprint": "f" * 16}))
        summarize([grid], say=silent)
        assert "2 different versions" in (grid / "summary.md").read_text()

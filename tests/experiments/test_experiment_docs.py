"""The documents' own commands, grids and code."""

import re
import shlex
from pathlib import Path

import pytest
from experiment_samples import TINY

from faultline.experiments.grid import grid_names
from faultline.experiments.plan import make_plan

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "ablations.md").read_text("utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language):
    return [text for kind, text in FENCE.findall(PAGE) if kind == language]


def commands():
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    split = [
        shlex.split(line, comments=True) for line in lines if line.startswith("faultline ablate")
    ]
    return [words[2:] for words in split if "--resume" not in words]


def without_options(words):
    kept, skip = [], False
    for word in words:
        if word in ("--jobs", "--ray"):
            skip = True
        elif skip:
            skip = False
        elif not word.startswith("--"):
            kept.append(word)
    return kept


def test_there_is_something_to_check():
    assert len(commands()) >= 15


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_documented_ablation_can_begin(words, line_data):
    given = [f"data={line_data}" if re.match(r"data=(?!toy)", word) else word
             for word in without_options(words)]  # fmt: skip
    # The points of a grid for pictures are checked with the grids.
    if given[0] in grid_names() and not given[0].startswith("speech_"):
        del given[0]
    # One seed will do: the others differ in a number.
    assert make_plan([*given, "seed=0"]).points


def test_every_grid_has_its_command():
    assert set(grid_names()) <= {words[0] for words in commands()}


def test_the_documented_grid_can_begin(line_data, tmp_path):
    (text,) = blocks("yml")
    path = tmp_path / "thin.yml"
    path.write_text(text)
    plan = make_plan([str(path), f"data={line_data}", "seed=0"])
    assert len(plan.points) == 3
    assert plan.name == "thin"


def test_the_documented_code_runs(line_data, tmp_path, monkeypatch, capsys):
    (code,) = blocks("python")
    words = [f"data={line_data}", *TINY, "model=unet_mini", f"output_dir={tmp_path}"]
    code = code.replace('["models", "data=photos/", "trainer.max_time=10m"]', repr(words))
    assert "photos" not in code
    names = {}
    exec(compile(code, "ablations.md", "exec"), names)
    assert names["ended"].failed == []
    assert (tmp_path / "ablation" / "summary.html").is_file()

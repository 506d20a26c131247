from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from evaluation_samples import draw, write_coco
from rich.console import Console

from faultline.errors import DataError
from faultline.evaluation.doctor import system
from faultline.evaluation.doctor.command import run_doctor
from faultline.evaluation.doctor.system import Check


def output() -> Console:
    return Console(file=io.StringIO(), width=200)


def text_of(console: Console) -> str:
    stream = console.file
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_machine_alone() -> None:
    console = output()
    assert run_doctor(console=console, system=False) == 0
    assert "Environment: all checks passed" in text_of(console)
    assert "every part" not in text_of(console).partition("data=FOLDER")[0]


def test_without_data_every_part_runs_and_is_told_of_in_brief(monkeypatch, tmp_path: Path) -> None:
    checks = [Check("loss", name, lambda: "fine") for name in ("first", "second")]
    monkeypatch.setattr(system, "all_checks", lambda scratch: checks)
    console = output()
    assert run_doctor(console=console) == 0
    said = text_of(console)
    assert "running every part once" in said
    assert "System: all checks passed" in said
    assert re.search(r"loss\W+2\W+0\W+0", said)
    assert "second" not in said
    write_coco(tmp_path, "train", [draw("a.png", 1)])
    console = output()
    assert run_doctor([f"data={tmp_path}"], console=console) == 0
    assert "running every part" not in text_of(console)
    assert run_doctor([f"data={tmp_path}"], system=True, console=console) == 0
    assert "second" in text_of(console)


def test_data_set_with_findings_in_a_folder(tmp_path: Path) -> None:
    shared = draw("a.png", 1)
    write_coco(tmp_path / "set", "train", [shared, draw("b.png", 2)])
    write_coco(tmp_path / "set", "valid", [shared])
    console = output()
    code = run_doctor([f"data={tmp_path / 'set'}"], save=tmp_path / "out", console=console)
    assert code == 1
    assert "1 pair of equal files across train and valid" in text_of(console)
    assert json.loads((tmp_path / "out" / "doctor.json").read_text())["exit_code"] == 1
    assert (tmp_path / "out" / "duplicates.png").exists()


def test_separate_test_set_is_compared_with_the_training_pictures(tmp_path: Path) -> None:
    shared = draw("a.png", 1)
    write_coco(tmp_path / "set", "train", [shared, draw("b.png", 2)])
    write_coco(tmp_path / "set", "valid", [draw("v.png", 5)])
    write_coco(tmp_path / "other", "test", [shared, draw("c.png", 3)])
    settings = [f"data={tmp_path / 'set'}", f"data.test={tmp_path / 'other'}"]
    console = output()
    assert run_doctor(settings, console=console) == 1
    assert "test: test/a.png = train: train/a.png" in text_of(console)
    assert "set against other: 1 problem must be solved first" in text_of(console)
    # The shipped validation split as the test set is no leak: training leaves it alone.
    own = [f"data={tmp_path / 'set'}", f"data.test={tmp_path / 'set' / 'valid'}"]
    assert run_doctor(own, console=output()) == 0


def test_folder_without_anything(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        run_doctor([f"data={tmp_path}"], console=output())

"""The system doctor: everything registered runs once; what fails is named, the rest goes on."""

import io
import json
import re

import pytest
from rich.console import Console

from faultline.errors import ConfigError, MissingExtraError
from faultline.evaluation.doctor import system
from faultline.evaluation.doctor.command import run_doctor
from faultline.evaluation.doctor.system import Check, all_checks, system_check
from faultline.losses import LOSSES
from faultline.models import MODELS
from faultline.models.backbones import BACKBONES


def test_every_registered_part_has_a_check(tmp_path):
    checks = {(check.part, check.name) for check in all_checks(tmp_path)}
    assert len(checks) == len(list(all_checks(tmp_path / "again")))
    for part, registry in (("model", MODELS), ("loss", LOSSES), ("backbone", BACKBONES)):
        assert {name for kind, name in checks if kind == part} == set(registry.names())
    assert {("split", "stratified"), ("sampler", "class_aware"), ("task", "classification"),
            ("package", "imports")} <= checks  # fmt: skip


@pytest.mark.parametrize(
    "part", ["loss", "augmentation", "sampler", "split", "importer", "task", "package"]
)
def test_the_parts_work(part, tmp_path):
    for check in all_checks(tmp_path):
        if check.part == part:
            assert check.run() is None or check.run()


@pytest.mark.parametrize("name", ["scratch_ed", "unet_mini"])
def test_models_run_forward_and_backward(name, tmp_path):
    check = next(c for c in all_checks(tmp_path) if (c.part, c.name) == ("model", name))
    assert "64, 64" in check.run()


def test_every_importer_of_the_package_reads_something(tmp_path):
    notes = [check.run() for check in all_checks(tmp_path) if check.part == "importer"]
    assert len(notes) >= 7
    assert all(re.fullmatch(r"[1-9]\d* pictures", note) for note in notes)


def test_failures_are_told_and_decide_the_exit_code(monkeypatch, tmp_path):
    def crash():
        raise RuntimeError("boom\nsecond line")

    def lacking():
        raise MissingExtraError("needs the package 'x'", remedy="pip install '.[x]'")

    def far():
        raise ConfigError("its weights are not on this machine")

    checks = [
        Check("loss", "good", lambda: "fine"),
        Check("model", "bad", crash),
        Check("model", "optional", lacking),
        Check("model", "far", far, fetched=True),
    ]
    monkeypatch.setattr(system, "all_checks", lambda scratch: checks)
    report = system_check()
    assert [row["result"] for row in report.facts["system"]] == [
        "works", "fails", "left out", "left out"
    ]  # fmt: skip
    assert report.exit_code == 1
    assert [finding.code for finding in report.ordered()] == [
        "model-fails", "model-left-out", "model-left-out"
    ]  # fmt: skip
    assert "RuntimeError: boom" in report.ordered()[0].message
    assert "second line" not in report.ordered()[0].message
    console = Console(file=io.StringIO(), width=200)
    assert run_doctor([f"output_dir={tmp_path}"], save=tmp_path, system=True, console=console) == 1
    assert "optional" in console.file.getvalue()
    told = json.loads((tmp_path / "doctor.json").read_text())
    assert any("boom" in finding["message"] for finding in told["findings"])


def test_nothing_is_fetched_to_try_it(monkeypatch):
    from faultline.evaluation.doctor import tiny

    monkeypatch.setattr(tiny, "is_at_hand", lambda weights: False)
    with pytest.raises(ConfigError, match="has not been fetched to this machine"):
        tiny.run_fetched_model(MODELS.get("clipseg"))


def test_a_local_folder_is_at_hand(tmp_path):
    pytest.importorskip("transformers")
    from faultline.models.clipseg_base import is_at_hand

    assert is_at_hand(str(tmp_path))
    assert not is_at_hand("nobody/has-this-model")


@pytest.mark.slow
def test_the_whole_system_works(tmp_path):
    console = Console(file=io.StringIO(), width=200)
    code = run_doctor([f"output_dir={tmp_path}"], system=True, console=console)
    assert code == 0, console.file.getvalue()

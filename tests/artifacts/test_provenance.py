from __future__ import annotations

import json
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from faultline.artifacts import provenance
from faultline.artifacts.run import RunFolder


def test_collect_is_complete_and_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "do-not-store-me")
    monkeypatch.setattr("sys.argv", ["/opt/x/bin/faultline", "train", "data=d", "api_key=hush"])
    values = provenance.collect(seed=3, data_fingerprint="f" * 64, device="cpu", precision="bf16")
    text = json.dumps(values)
    assert "do-not-store-me" not in text
    assert "hush" not in text
    assert values["command"] == "faultline train data=d api_key=***"
    assert (values["seed"], values["data_fingerprint"]) == (3, "f" * 64)
    assert {"python", "torch", "lightning", "numpy"} <= values["versions"].keys()
    assert values["device"]["type"] == "cpu"
    assert values["device"]["precision"] == "bf16"
    assert values["device"]["threads"] >= 1
    assert datetime.fromisoformat(values["created"]).utcoffset().total_seconds() == 0
    run = RunFolder.create(tmp_path, "e", "")
    run.write_provenance(values)
    assert json.loads(run.provenance.read_text()) == values


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("--hf-token abc", "--hf-token ***"),
        ("data.password=x model=unet_mini", "data.password=*** model=unet_mini"),
        ("logger=https://me:pw@host/x", "logger=https://***@host/x"),
        ("model=scratch_ed trainer.max_time=15m", "model=scratch_ed trainer.max_time=15m"),
    ],
)
def test_secrets_are_blanked(typed: str, stored: str) -> None:
    assert provenance.command_line(["faultline", *typed.split()]) == f"faultline {stored}"
    assert provenance.command_line([]) == ""
    assert provenance.command_line(["/site/faultline/__main__.py", "x"]) == "python -m faultline x"


def test_package_hash_follows_names_and_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "_PACKAGE", tmp_path)
    hashes = []
    for change in ("a = 1", "a = 2"):
        (tmp_path / "m.py").write_text(change)
        hashes.append(provenance.package_hash.__wrapped__())
    (tmp_path / "m.py").rename(tmp_path / "n.py")
    hashes.append(provenance.package_hash.__wrapped__())
    (tmp_path / "notes.txt").write_text("not code")
    assert provenance.package_hash.__wrapped__() == hashes[-1]
    assert len(set(hashes)) == 3


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_git_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    package.mkdir()
    monkeypatch.setattr(provenance, "_PACKAGE", package)
    (package / "__init__.py").write_text("")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.git_state() is None
    git(tmp_path, "init")
    assert provenance.git_state() is None, "an untracked copy inside someone's repository"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    state = provenance.git_state()
    assert state is not None
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (package / "__init__.py").write_text("x = 1")
    assert provenance.git_state() == {**state, "dirty": True}


def test_no_git_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state() is None

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from faultline.artifacts.run import (
    RunFolder,
    follow_latest,
    home_of,
    point_latest,
    resolve_run,
    resolve_weights,
)
from faultline.errors import BundleError, ConfigError, OutputError


def test_create_makes_the_documented_layout(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "runs", "cracks", "seed: 1\n")
    assert run.path.parent == tmp_path / "runs" / "cracks"
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", run.path.name)
    assert run.config.read_text() == "seed: 1\n"
    assert run.checkpoints.is_dir()
    assert run.plots.is_dir()
    run.write_provenance({"seed": 1})
    assert json.loads((run.path / "provenance.json").read_text()) == {"seed": 1}
    assert run.best == run.path / "checkpoints" / "best.safetensors"
    assert run.metrics_csv.name == "metrics.csv"


def test_latest_follows_the_newest_run(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path, "e", "")
    second = RunFolder.create(tmp_path, "e", "")
    assert first.path != second.path
    link = tmp_path / "e" / "latest"
    assert link.is_symlink()
    assert not Path(link.readlink()).is_absolute()
    assert RunFolder.open(link).path == second.path.resolve()
    assert RunFolder.open(tmp_path / "e").path == second.path.resolve()
    assert sorted(p.name for p in (tmp_path / "e").iterdir() if p.name.startswith(".")) == []


def test_latest_is_a_text_file_where_links_are_not_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("links are not allowed")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    RunFolder.create(tmp_path, "e", "")
    run = RunFolder.create(tmp_path, "e", "")
    latest = tmp_path / "e" / "latest"
    assert latest.is_file()
    assert RunFolder.open(latest).path == run.path.resolve()
    assert RunFolder.open(tmp_path / "e").path == run.path.resolve()
    assert follow_latest(latest / "checkpoints") == run.checkpoints


def test_a_latest_file_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "latest").write_text("../../etc")
    assert follow_latest(tmp_path / "latest") == tmp_path / "latest"


def test_open_takes_a_file_of_the_run(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "e", "")
    run.best.write_bytes(b"x")
    assert resolve_run(run.best) == run.path.resolve()
    assert home_of(run.best) == run.path.resolve()
    assert home_of(tmp_path / "e" / "latest") == run.path.resolve()
    assert resolve_weights(run.path) == run.best


def test_home_of_loose_weights_is_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "project" / "weights"
    folder.mkdir(parents=True)
    (folder.parent / "config.yaml").write_text("no run of ours")
    (folder / "m.safetensors").write_bytes(b"x")
    assert home_of(folder / "m.safetensors") == folder.resolve()
    with pytest.raises(BundleError, match=r"m\.safetensors"):
        home_of(folder / "n.safetensors")


def without_weights(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        resolve_weights(path)
    return str(caught.value)


def test_weights_of_a_run_that_has_not_validated(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "e", "")
    assert "has no weights yet: its training has not validated -> wait" in without_weights(run.path)
    told = without_weights(tmp_path / "e")
    assert f"the newest run there, {run.path.name}, has no weights yet" in told
    assert "no training in this folder has validated yet" in without_weights(tmp_path)


def test_weights_of_a_folder_of_experiments(tmp_path: Path) -> None:
    runs = []
    for number, name in enumerate("aabbc"):
        runs.append(RunFolder.create(tmp_path, name, ""))
        moved = runs[-1].path.with_name(f"2026010{number}T000000Z-abcdef")
        runs[-1].path.rename(moved)
        point_latest(moved.parent, moved.name)
        runs[-1] = RunFolder(moved)
    for run in runs[:4]:
        run.best.write_bytes(b"x")
    told = without_weights(tmp_path)
    newest = [tmp_path / "b" / "latest", runs[2].path, tmp_path / "a" / "latest"]
    assert f"newest first: {', '.join(map(str, newest))} and 1 more" in told
    runs.append(RunFolder.create(tmp_path, "a", ""))
    told = without_weights(tmp_path / "a")
    assert f"earlier runs have weights: {runs[1].path}, {runs[0].path}" in told


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a run"):
        RunFolder.open(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        RunFolder.open(tmp_path / "x")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "latest", "a\nb"])
def test_experiment_must_be_a_folder_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="folder name"):
        RunFolder.create(tmp_path, name, "")
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    message = f"{tmp_path / 'runs'}: is a file, not a folder -> choose another output folder"
    with pytest.raises(OutputError, match=message):
        RunFolder.create(tmp_path / "runs", "e", "")


def test_a_real_folder_called_latest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    with pytest.raises(OutputError, match="move away"):
        point_latest(tmp_path, "r")
    assert [p.name for p in tmp_path.iterdir()] == ["latest"]

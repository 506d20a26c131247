from __future__ import annotations

from pathlib import Path

import pytest

from faultline.errors import DataError, OutputError
from faultline.predict.inputs import class_mask_name, find_jobs, keep_foreign


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in (
        "b.jpg",
        "a.PNG",
        "x/1.jpg",
        "x/y/2.tif",
        "notes.txt",
        ".hidden.jpg",
        ".git/3.jpg",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def named(inputs: object, save: Path) -> dict[str, str]:
    jobs = find_jobs(inputs, save)  # type: ignore[arg-type]
    return {job.name.as_posix(): job.source.name for job in jobs}


def test_folders_are_searched_below_and_mirrored(tree: Path, tmp_path: Path) -> None:
    jobs = named(tree, tmp_path / "out")
    assert jobs == {"a": "a.PNG", "b": "b.jpg", "x/1": "1.jpg", "x/y/2": "2.tif"}
    assert list(jobs) == ["a", "b", "x/1", "x/y/2"]


def test_files_globs_and_text(tree: Path, tmp_path: Path) -> None:
    assert named(str(tree / "b.jpg"), tmp_path) == {"b": "b.jpg"}
    assert named([tree / "x" / "1.jpg"], tmp_path) == {"1": "1.jpg"}
    assert named(str(tree / "**" / "*.jpg"), tmp_path) == {"b": "b.jpg", "x/1": "1.jpg"}
    assert named(str(tree / "x" / "*"), tmp_path) == {"1": "1.jpg"}


def test_a_file_is_taken_whatever_its_suffix(tree: Path, tmp_path: Path) -> None:
    assert named(tree / "notes.txt", tmp_path) == {"notes": "notes.txt"}


def test_a_name_with_brackets_is_a_file_first(tmp_path: Path) -> None:
    (tmp_path / "wall [1].jpg").touch()
    assert named(tmp_path / "wall [1].jpg", tmp_path / "o") == {"wall [1]": "wall [1].jpg"}


def test_reached_twice_is_taken_once(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    jobs = named([tree / "x", "x/1.jpg", "./x/../x/1.jpg"], tmp_path)
    assert jobs == {"1": "1.jpg", "y/2": "2.tif"}


def test_a_folder_that_links_to_itself_gives_each_picture_once(tree: Path, tmp_path: Path) -> None:
    (tree / "x" / "loop").symlink_to(tree)
    for inputs in (tree, str(tree / "**" / "*.jpg")):
        sources = [str(job.source) for job in find_jobs(inputs, tmp_path / "out")]
        assert not [source for source in sources if "loop" in source]


def test_same_stem_is_told_apart_by_suffix(tmp_path: Path) -> None:
    for name in ("c.jpg", "c.png", "C.JPG", "d.jpg"):
        (tmp_path / name).touch()
    jobs = named(tmp_path, tmp_path / "out")
    assert jobs.pop("d") == "d.jpg"
    assert jobs["c_png"] == "c.png"
    # No two names may meet where a file system does not tell upper from lower case.
    assert {name.casefold() for name in jobs} == {"c_jpg", "c_jpg-2", "c_png"}
    assert set(jobs.values()) == {"c.jpg", "c.png", "C.JPG"}


def test_same_stem_is_told_apart_by_folder(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "b/1.jpg", "b/1.png", "b/2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files = [tmp_path / "a" / "1.jpg", tmp_path / "b" / "1.jpg", tmp_path / "b" / "2.jpg"]
    assert set(named(files, tmp_path)) == {"a/1", "b/1", "2"}
    assert set(named([tmp_path / "a", tmp_path / "b"], tmp_path / "o")) == {
        "a/1",
        "b/1_jpg",
        "b/1_png",
        "2",
    }
    # One folder is mirrored, so nothing meets but the two suffixes.
    assert set(named(tmp_path, tmp_path / "o")) == {"a/1", "b/1_jpg", "b/1_png", "b/2"}


def test_made_up_names_meet_nobody(tmp_path: Path) -> None:
    for name in ("1.jpg", "1.png", "1_jpg.bmp"):
        (tmp_path / name).touch()
    jobs = named(tmp_path, tmp_path / "o")
    assert len(jobs) == 3
    assert set(jobs.values()) == {"1.jpg", "1.png", "1_jpg.bmp"}


def test_earlier_results_are_not_inputs(tree: Path) -> None:
    for name in ("b_mask.png", "b_overlay.png", "b_panel.png"):
        (tree / name).touch()
    assert set(named(tree, tree)) == {"a", "b", "x/1", "x/y/2"}
    assert "b_mask" in named(tree, tree / "elsewhere")


def test_an_empty_input_is_not_the_working_folder(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    for inputs in ("", [" "], [str(tree), ""]):
        with pytest.raises(DataError, match="input: is empty -> give a file, a folder or a glob"):
            find_jobs(inputs, None)


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for inputs in (tmp_path, [], str(tmp_path / "*.jpg")):
        with pytest.raises(DataError, match=r"no pictures found.*\.jpg"):
            find_jobs(inputs, tmp_path / "out")
    with pytest.raises(DataError, match="typo"):
        find_jobs([tmp_path / "typo"], tmp_path / "out")


def test_a_picture_called_as_the_mask_of_a_class_is_told_apart(tmp_path: Path) -> None:
    for name in ("wall.png", "wall_Crack.png", "wall_rust.png", "floor_crack.png"):
        (tmp_path / name).touch()
    jobs = find_jobs(tmp_path, tmp_path / "o", labels=("crack", "a/b"))
    assert {job.name.name for job in jobs} == {"wall", "wall_Crack_png", "wall_rust", "floor_crack"}


def test_a_class_name_is_no_folder(tmp_path: Path) -> None:
    assert (
        class_mask_name(Path("x/wall"), "dry rot/50% «ü»") == "x/wall_dry rot%2F50%25 «ü»_mask.png"
    )
    long = tmp_path / f"{'w' * 240}.png"
    long.touch()
    [job] = find_jobs(long, tmp_path, labels=("ä" * 60,))
    assert len(class_mask_name(job.name, "ä" * 60).encode()) <= 255


def test_what_others_wrote_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a_mask.png").touch()
    with pytest.raises(OutputError, match=r"a_mask\.png: is there already, and no earlier call"):
        keep_foreign(tmp_path, "infer.json", ["b_mask.png", "a_mask.png"])
    keep_foreign(tmp_path, "infer.json", ["b_mask.png"])
    (tmp_path / "infer.json").touch()
    keep_foreign(tmp_path, "infer.json", ["a_mask.png"])

"""Which pictures train, choose and test a classifier, by every strategy."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from faultline.cli import app
from faultline.config import load_config
from faultline.data.prepare import Prepared, prepare
from faultline.data.split import load_split
from faultline.errors import ConfigError, DataError, LeakageError
from faultline.types import LabelKind

CLASSES = ("dent", "rust", "sound")


def paint(path: Path, seed: int) -> None:
    """A picture with a texture of its own, so that nothing looks like a copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_CUBIC))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 + 12 + 8 pictures in class folders."""
    root = tmp_path_factory.mktemp("folders")
    for index, (name, count) in enumerate(zip(CLASSES, (20, 12, 8), strict=True)):
        for number in range(count):
            paint(root / name / f"{number:02}.png", 100 * index + number)
    return root


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures with a Severstal table; pairs are one group by name."""
    root = tmp_path_factory.mktemp("table")
    rows = ["ImageId,ClassId,EncodedPixels"]
    for number in range(40):
        name = f"{number // 2:02}.rf.{number % 2}.png"
        paint(root / "train_images" / name, 1000 + number)
        rows += [f"{name},1,1 5"] if number // 2 % 2 == 0 else []
        rows += [f"{name},2,9 2"] if number // 2 % 5 == 0 else []
    (root / "train.csv").write_text("\n".join(rows) + "\n")
    return root


def prepared(root: Path, *words: str, task: str = "classification", seed: int = 0) -> Prepared:
    return prepare(load_config([f"data={root}", *words]).data, seed, task)


def sizes(made: Prepared) -> list[int]:
    return [len(part) for part in (made.train, made.valid, made.test)]


def ids(made: Prepared) -> list[set[str]]:
    return [{item.id for item in part} for part in (made.train, made.valid, made.test)]


def test_what_has_no_split_is_stratified(folders: Path) -> None:
    made = prepared(folders)
    assert made.label_space.kind is LabelKind.MULTICLASS
    assert made.label_space.names == CLASSES
    assert sizes(made) == [28, 6, 6]
    assert made.split is not None
    assert made.split.strategy == "stratified_70_15_15"
    assert [row.counts for row in made.split.table()] == [
        {"train": 14, "valid": 3, "test": 3},
        {"train": 8, "valid": 2, "test": 2},
        {"train": 6, "valid": 1, "test": 1},
    ]
    again = prepared(folders)
    assert ids(again) == ids(made)
    assert again.fingerprint == made.fingerprint
    assert ids(prepared(folders, seed=1)) != ids(made)
    assert ids(prepared(folders, "data.split_seed=0", seed=1)) == ids(made)


def test_several_labels_a_picture_and_whole_groups(table: Path) -> None:
    made = prepared(table, "data.split_strategy=stratified_80_10_10")
    assert made.label_space.kind is LabelKind.MULTILABEL
    assert made.label_space.names == ("defect_1", "defect_2")
    assert sizes(made) == [32, 4, 4]
    assert made.split is not None
    assert made.split.table()[0].counts == {"train": 16, "valid": 2, "test": 2}
    assert all(item.targets is not None for part in (made.train, made.valid) for item in part)
    groups = [{item.group for item in part} for part in (made.train, made.valid, made.test)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20


def test_a_class_needs_enough_pixels(table: Path) -> None:
    made = prepared(table, "data.min_pixels=3")
    assert made.split is not None
    assert sum(made.split.table()[1].counts.values()) == 0
    assert "defect_2: no picture shows it" in made.notes
    assert "no picture of train shows defect_2: it cannot be learnt" in made.notes
    with pytest.raises(DataError, match="none of the 28 pictures of train shows any of defect_1"):
        prepared(table, "data.min_pixels=6")


def test_folds_test_everything_once(table: Path) -> None:
    folds = [prepared(table, "data.folds=5", f"data.fold={k}") for k in range(5)]
    tested = [item.id for made in folds for item in made.test]
    assert len(tested) == len(set(tested)) == 40
    for made in folds:
        assert sizes(made)[2] == 8
        assert sum(sizes(made)) == 40
        assert made.split is not None
        assert made.split.table()[0].counts["test"] == 4
    assert folds[2].split is not None
    assert folds[2].split.strategy == "stratified fold 2 of 5"
    alone = prepared(table, "data.folds=5", "data.split_strategy=grouped")
    assert alone.split is not None
    assert alone.split.strategy == "grouped fold 0 of 5"


def test_a_split_is_kept_and_used_again(folders: Path, tmp_path: Path) -> None:
    made = prepared(folders, "data.split_strategy=stratified_60_20_20", seed=5)
    assert made.split is not None
    made.split.save(tmp_path / "split.json")
    again = prepared(folders, f"data.split_file={tmp_path / 'split.json'}", seed=9)
    assert ids(again) == ids(made)
    assert again.split is not None
    assert again.split.hash == made.split.hash
    assert again.split.table() == made.split.table()
    with pytest.raises(DataError, match="has a test part of its own"):
        prepared(folders, f"data.split_file={tmp_path / 'split.json'}", f"data.test={folders}")


def test_shares_that_leave_nothing_to_train_on(folders: Path) -> None:
    words = ("data.valid_fraction=0.6", "data.test_fraction=0.4")
    with pytest.raises(
        ConfigError, match=r"valid_fraction=0\.6 and data\.test_fraction=0\.4 leave"
    ):
        prepared(folders, *words)


class TestShippedSplits:
    @pytest.fixture
    def shipped(self, tmp_path: Path) -> Path:
        for index, split in enumerate(("train", "valid", "test")):
            for k, name in enumerate(CLASSES):
                for number in range(6 if split == "train" else 2):
                    paint(
                        tmp_path / split / name / f"{number}.png",
                        9000 + 100 * index + 10 * k + number,
                    )
        return tmp_path

    def test_they_are_taken(self, shipped: Path) -> None:
        made = prepared(shipped)
        assert sizes(made) == [18, 6, 6]
        assert made.split is not None
        assert made.split.strategy == "shipped"
        assert made.split.table()[0].counts == {"train": 6, "valid": 2, "test": 2}
        assert ids(prepared(shipped, "data.split_strategy=shipped")) == ids(made)

    def test_they_are_kept_beside_another_test_set(
        self, shipped: Path, folders: Path, tmp_path: Path
    ) -> None:
        words = (f"data.test={folders}",)
        made = prepared(shipped, *words)
        assert made.split is not None
        made.split.save(tmp_path / "split.json")
        again = prepared(shipped, *words, f"data.split_file={tmp_path / 'split.json'}")
        assert ids(again) == ids(made)

    def test_or_divided_anew(self, shipped: Path) -> None:
        made = prepared(shipped, "data.split_strategy=stratified_80_10_10")
        assert sizes(made) == [24, 3, 3]
        assert "the shipped splits are not used: stratified_80_10_10" in made.notes
        assert len(ids(made)[0] & {item.id for item in made.train if "train/" in item.id}) < 24

    def test_a_held_out_share_is_stratified(self, shipped: Path) -> None:
        made = prepared(shipped, "data.validation=train", "data.valid_fraction=0.34")
        assert sizes(made) == [12, 6, 6]
        assert made.split is not None
        assert {row.counts["valid"] for row in made.split.table()} == {2}

    def test_none_is_shipped(self, folders: Path) -> None:
        with pytest.raises(DataError, match=r"data\.split_strategy=shipped, but the data set"):
            prepared(folders, "data.split_strategy=shipped")


class TestAnotherDataSet:
    def test_its_classes_are_moved(self, folders: Path, tmp_path: Path) -> None:
        for number, name in enumerate(("rust", "sound")):
            paint(tmp_path / name / "x.png", 5000 + number)
        made = prepared(folders, f"data.test={tmp_path}")
        assert sizes(made)[2] == 2
        assert [item.targets for item in made.test] == [(1,), (2,)]
        assert sum(sizes(made)) == 42
        assert made.split is not None
        assert made.split.parts["train"] == made.train
        assert made.split.table()[0].counts["test"] == 0

    def test_unknown_classes_are_refused(self, folders: Path, tmp_path: Path) -> None:
        for number, name in enumerate(("rust", "hole")):
            paint(tmp_path / name / "x.png", 5000 + number)
        with pytest.raises(DataError, match=r"its classes are hole, rust .*those of the training"):
            prepared(folders, f"data.test={tmp_path}")

    def test_the_same_pictures_are_refused(self, folders: Path) -> None:
        with pytest.raises(LeakageError, match="byte for byte"):
            prepared(folders, f"data.test={folders}")


def test_copies_are_one_group(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = rng.integers(0, 256, (12, 12), np.uint8)
        pixels = cv2.resize(pixels, (96, 96), interpolation=cv2.INTER_CUBIC)
        for turn in range(3):
            path = tmp_path / CLASSES[number % 2] / f"{number}-{turn}.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), np.rot90(pixels, turn))
    alone = prepared(tmp_path)
    assert len({item.group for item in alone.train}) == len(alone.train)
    made = prepared(tmp_path, "data.group_by=near_duplicates", "data.duplicate_distance=0.3")
    parts = [{item.id[:7] for item in part} for part in (made.train, made.valid, made.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 8
    assert all(len(part) == 3 * len(names) for part, names in
               zip((made.train, made.valid, made.test), parts, strict=True))  # fmt: skip


def test_labels_of_whole_pictures_train_no_masks(folders: Path) -> None:
    with pytest.raises(DataError, match=r"labels are of whole pictures.*task=classification"):
        prepared(folders, task="segmentation")


def test_masks_can_be_stratified_too(line_data: Path) -> None:
    made = prepared(line_data, "data.split_strategy=stratified_70_15_15", task="segmentation")
    assert made.label_space.kind is LabelKind.BINARY
    assert sizes(made) == [14, 3, 3]
    assert made.split is not None
    assert made.split.table()[0].name == "crack"
    whole = prepared(line_data)
    assert whole.label_space.kind is LabelKind.MULTILABEL
    assert whole.split is not None
    assert whole.split.strategy == "shipped"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.split_strategy=stratified_70_20_20"], "must sum to 100"),
        (["data.split_strategy=stratified_0_50_50"], "train and valid must be above 0"),
        (["data.split_strategy=stratified"], "is not one of auto, shipped, grouped, stratified_70"),
        (["data.folds=5", "data.fold=5"], "folds are 2 or more, counted from 0"),
        (["data.folds=1"], "folds are 2 or more"),
        (["data.folds=5", "data.split_strategy=shipped"], "data.folds makes its own test part"),
        (["data.split_file=x.json", "data.folds=3"], "data.split_file says all"),
        (["data.classes=[a,b,a]"], "data.classes names 'a' twice: give each once"),
        (["data.image_size=4"], "data.image_size=4: write one side or"),
        (["data.image_size=[64,64,3]"], "write one side or"),
        (["data.sampler=weigthed"], "did you mean 'weighted'"),
    ],
)
def test_settings_that_do_not_go_together(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_config(words)


class TestTheCommand:
    def run(self, *words: str) -> None:
        app(["split", *words], standalone_mode=False)

    def test_it_shows_and_keeps(
        self, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "split.json"
        self.run(f"data={table}", "data.split_strategy=stratified_80_10_10", "--save", str(path))
        shown = capsys.readouterr().out.splitlines()
        assert shown[0].startswith("stratified_80_10_10, seed 0, hash ")
        assert "train  32 pictures in 16 groups" in shown
        assert "defect_1        16 (50.0%)  2 (50.0%)  2 (50.0%)" in shown
        made = prepared(table, "data.split_strategy=stratified_80_10_10")
        assert made.split is not None
        assert json.loads(path.read_text())["hash"] == made.split.hash
        assert load_split(path, [*made.train, *made.valid, *made.test]).hash == made.split.hash

    def test_it_names_what_is_left_out(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for number in range(12):
            paint(tmp_path / CLASSES[number % 2] / f"{number}.png", number)
        (tmp_path / "dent" / "broken.png").write_bytes(b"")
        self.run(f"data={tmp_path}")
        assert "left out: dent/broken.png: " in capsys.readouterr().out


def test_a_class_can_be_made_rare_for_study(table: Path, tmp_path: Path) -> None:
    whole = prepared(table, "data.folds=4")
    rare = prepared(table, "data.folds=4", "data.thin.defect_1=8")
    assert ids(rare)[2] == ids(whole)[2]
    assert rare.split is not None
    shares = {row.name: row.counts for row in rare.split.table()}
    assert shares["defect_1"]["train"] == sizes(rare)[0] // 8 < sizes(whole)[0] // 3
    rare.split.save(tmp_path / "rare.json")
    kept = prepared(table, f"data.split_file={tmp_path / 'rare.json'}")
    assert ids(kept) == ids(rare)
    with pytest.raises(ConfigError, match=r"data\.thin needs picture-level classes"):
        prepared(table, "data.thin.defect_1=8", "data.positive=defect_1", task="segmentation")

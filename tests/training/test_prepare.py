"""Which pictures train, choose and test, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from line_samples import write_coco

from faultline.config import load_config
from faultline.data.prepare import prepare
from faultline.errors import (
    DataError,
    LeakageError,
)


def prepared(data, *words):
    return prepare(load_config([f"data={data}", *words]).data, 0)


def sizes(made):
    return [len(part) for part in (made.train, made.valid, made.test)]


def copy_into(root, split):
    """Put a copy of a training picture, with its labels, into another split."""
    files = {name: root / name / "_annotations.coco.json" for name in ("train", split)}
    train, other = (json.loads(file.read_text()) for file in files.values())
    entry = train["images"][0]
    shutil.copy(root / "train" / entry["file_name"], root / split / "copy.png")
    other["images"].append({**entry, "id": 99, "file_name": "copy.png"})
    files[split].write_text(json.dumps(other))


class TestSplits:
    def test_two_splits_keep_the_second_as_test(self, line_data, tmp_path):
        for split in ("train", "valid"):
            (tmp_path / split).symlink_to(line_data / split)
        prepared = prepare(load_config([f"data={tmp_path}"]).data, 0)
        assert len(prepared.test) == 4
        assert len(prepared.valid) == 2
        assert any("test set" in note for note in prepared.notes)

    def test_test_given_as_the_shipped_valid(self, line_data):
        words = [f"data={line_data}", f"data.test={line_data / 'valid'}"]
        prepared = prepare(load_config(words).data, 0)
        assert {item.path.parent.name for item in prepared.test} == {"valid"}
        assert {item.path.parent.name for item in prepared.valid} == {"train"}

    def test_three_splits_are_used_as_shipped(self, line_data):
        prepared = prepare(load_config([f"data={line_data}"]).data, 0)
        assert [len(part) for part in (prepared.train, prepared.valid, prepared.test)] == [12, 4, 4]

    def test_no_split_holds_out_by_group(self, line_data):
        prepared = prepare(load_config([f"data={line_data / 'train'}"]).data, 0)
        assert prepared.test
        assert prepared.valid
        assert len(prepared.train) + len(prepared.valid) + len(prepared.test) == 12

    def test_near_copies_in_another_data_set_are_refused(self, line_data, tmp_path):
        import cv2

        folder = tmp_path / "other" / "test"
        folder.mkdir(parents=True)
        source = sorted((line_data / "train").glob("*.png"))[0]
        cv2.imwrite(str(folder / "turned.png"), cv2.rotate(cv2.imread(str(source)), 0))
        mask = np.zeros((128, 96), np.uint8)
        mask[5:9] = 255
        cv2.imwrite(str(folder / "turned_mask.png"), mask)
        words = [f"data={line_data}", f"data.test={folder}"]
        assert len(prepare(load_config(words).data, 0).test) == 1
        words.append("data.group_by=near_duplicates")
        with pytest.raises(LeakageError, match="turned"):
            prepare(load_config(words).data, 0)

    def test_training_pictures_as_test_are_refused(self, line_data):
        words = [f"data={line_data}", f"data.test={line_data / 'train'}"]
        with pytest.raises(LeakageError, match=r"train"):
            prepare(load_config(words).data, 0)


class TestWaysOutOfOverlap:
    """What the error says helps does help."""

    ANEW = ("data.split_strategy=grouped", "data.group_by=near_duplicates")

    @pytest.fixture
    def leaking(self, line_data, tmp_path):
        shutil.copytree(line_data, tmp_path / "lines")
        return tmp_path / "lines"

    @pytest.mark.parametrize("split", ["valid", "test"])
    def test_of_shipped_splits(self, split, leaking):
        copy_into(leaking, split)
        with pytest.raises(LeakageError) as caught:
            prepared(leaking)
        assert str(caught.value).endswith(
            f"= {leaking}/{split}/copy.png -> delete them from one of the two, or divide anew with "
            f"copies together: {' '.join(self.ANEW)}"
        )
        made = prepared(leaking, *self.ANEW)
        assert sum(sizes(made)) == 21
        (leaking / split / "copy.png").unlink()
        assert sum(sizes(prepared(leaking))) == 20

    def test_of_a_division(self, leaking):
        for number, file in enumerate(sorted((leaking / "train").glob("*.png"))[:6]):
            shutil.copy(file, leaking / "train" / f"copy{number}.png")
        annotations = leaking / "train" / "_annotations.coco.json"
        content = json.loads(annotations.read_text())
        content["images"] += [
            {**entry, "id": 90 + number, "file_name": f"copy{number}.png"}
            for number, entry in enumerate(content["images"][:6])
        ]
        annotations.write_text(json.dumps(content))
        with pytest.raises(LeakageError, match=r"or keep copies together: data\.group_by=near_dup"):
            prepared(leaking, self.ANEW[0])
        assert sum(sizes(prepared(leaking, *self.ANEW))) == 26

    def test_of_another_data_set(self, line_data):
        test = f"data.test={line_data / 'train'}"
        with pytest.raises(LeakageError, match="are in train and in test") as caught:
            prepared(line_data, test)
        assert str(caught.value).endswith(
            " -> delete them from one of the two, or name other pictures with data.test, or leave "
            "it out"
        )
        with pytest.raises(LeakageError, match="are in train and in test"):
            prepared(line_data, test, *self.ANEW)
        assert sizes(prepared(line_data)) == [12, 4, 4]
        assert sizes(prepared(line_data, f"data.test={line_data / 'test'}")) == [12, 4, 4]

    def test_equal_names_in_another_data_set_are_no_overlap(self, tmp_path):
        for folder, seed in (("one", 3), ("two", 4)):
            write_coco(tmp_path / folder, 6, seed)
            for number, file in enumerate(sorted((tmp_path / folder).glob("*.png"))):
                file.rename(file.with_name(f"{number}.png"))
            annotations = tmp_path / folder / "_annotations.coco.json"
            content = json.loads(annotations.read_text())
            for number, entry in enumerate(content["images"]):
                entry["file_name"] = f"{number}.png"
            annotations.write_text(json.dumps(content))
        made = prepared(tmp_path / "one", f"data.test={tmp_path / 'two'}")
        assert sizes(made) == [5, 1, 6]


class TestNothingPositive:
    """Splits whose categories all miss `data.positive`."""

    @pytest.fixture
    def other_category(self, line_data, tmp_path):
        shutil.copytree(line_data / "train", tmp_path / "train")
        write_coco(tmp_path / "valid", 4, 7, category="spall")
        return tmp_path

    def test_a_test_set_without_positives_is_named(self, other_category):
        notes = prepared(other_category).notes
        assert (
            "WARNING: no annotation of valid counts as foreground: they are all of spall "
            "(data.positive says what counts)" in notes
        )
        assert (
            "WARNING: none of the 4 test pictures (shipped as `valid`) has a foreground pixel: "
            "scores on them will tell about false alarms and nothing about what is found. Check "
            "that their labels say 'crack' (data.positive), or name others with data.test" in notes
        )
        made = prepared(other_category, "data.positive=crack,spall")
        assert not any("WARNING" in note for note in made.notes)

    def test_so_is_another_data_set(self, line_data, other_category):
        clean = other_category / "clean"
        write_coco(clean, 3, 8)
        content = json.loads((clean / "_annotations.coco.json").read_text())
        content["annotations"] = []
        (clean / "_annotations.coco.json").write_text(json.dumps(content))
        notes = prepared(line_data, f"data.test={clean}").notes
        assert any(n.startswith("WARNING: none of the 3 test pictures has a fore") for n in notes)

    def test_validation_on_them_is_refused(self, other_category):
        with pytest.raises(DataError, match=r"none of the 4 validation pictures .* say 'crack'"):
            prepared(other_category, "data.validation=split")

"""Which pictures train, choose and test, and what is refused."""

import numpy as np
import pytest

from faultline.config import load_config
from faultline.data.prepare import prepare
from faultline.errors import (
    LeakageError,
)


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

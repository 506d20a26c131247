"""A split without labels, or with labels of another form, is refused where others have theirs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from coco_samples import NAME, annotation, entry, picture, write
from PIL import Image

from faultline.config import load_config
from faultline.data.importers import import_dataset
from faultline.data.prepare import Prepared, prepare
from faultline.errors import DataError


def coco(folder: Path, seed: int = 0, count: int = 2) -> None:
    names = [f"{folder.name}{number}.png" for number in range(count)]
    for name in names:
        picture(folder / name, seed=seed)
    write(
        folder / NAME,
        [annotation(number) for number in range(count)],
        [entry(name, number) for number, name in enumerate(names)],
    )


def masks(folder: Path, count: int = 2) -> None:
    for number in range(count):
        picture(folder / "images" / f"m{folder.name}{number}.png")
        mask = np.zeros((8, 12), np.uint8)
        mask[2:5] = 255
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(folder / "masks" / f"m{folder.name}{number}.png")


def prepared(root: Path, *words: str) -> Prepared:
    return prepare(load_config([f"data={root}", *words]).data, 0)


@pytest.fixture
def bare_test(tmp_path: Path) -> Path:
    """COCO in train and valid; the three pictures of `test` have no annotation file."""
    coco(tmp_path / "train", 1, 8)
    coco(tmp_path / "valid", 2)
    for number in range(3):
        picture(tmp_path / "test" / "photos" / f"x{number}.png")
    return tmp_path


class TestNoAnnotationFile:
    @pytest.mark.parametrize("form", ["auto", "coco"])
    def test_it_is_refused_with_what_to_do(self, bare_test: Path, form: str) -> None:
        with pytest.raises(DataError) as caught:
            import_dataset(bare_test, form)
        assert str(caught.value) == (
            f"{bare_test}: test/ holds 3 pictures and no COCO annotation file, while the other "
            f"splits have theirs (train/{NAME}, valid/{NAME}) -> add {NAME} to it, or move the "
            "folder out of the data set, or name the test set by itself with data.test=FOLDER"
        )

    def test_every_remedy_works(self, bare_test: Path) -> None:
        other = bare_test.parent / f"{bare_test.name}-other"
        coco(other, 9)
        made = prepared(bare_test, f"data.test={other}")
        assert [len(part) for part in (made.train, made.valid, made.test)] == [8, 2, 2]
        names = [f"x{number}.png" for number in range(3)]
        entries = [entry(name, number) for number, name in enumerate(names)]
        write(bare_test / "test" / "photos" / NAME, [annotation(0)], entries)
        assert len(prepared(bare_test).test) == 3
        shutil.rmtree(bare_test / "test")
        assert len(prepared(bare_test).test) == 2

    def test_all_such_splits_are_named_at_once(self, tmp_path: Path) -> None:
        coco(tmp_path / "train")
        picture(tmp_path / "val" / "a.png")
        picture(tmp_path / "test" / "b.png")
        with pytest.raises(DataError, match=r"test/ holds 1 picture and .*, val/ holds 1 picture"):
            import_dataset(tmp_path)

    def test_a_folder_without_pictures_is_no_split(self, tmp_path: Path) -> None:
        coco(tmp_path / "train")
        (tmp_path / "test" / "notes").mkdir(parents=True)
        (tmp_path / "test" / "readme.txt").write_text("to come")
        assert import_dataset(tmp_path).splits() == ["train"]

    @pytest.mark.parametrize("folder", ["test", "images/test", "test2017"])
    def test_annotations_in_one_folder_for_all_splits(self, folder: str, tmp_path: Path) -> None:
        train = folder.replace("test", "train")
        picture(tmp_path / train / "a.png")
        write(tmp_path / f"annotations/instances_{Path(train).name}.json", [annotation()])
        assert len(import_dataset(tmp_path).items) == 1
        picture(tmp_path / folder / "b.png")
        with pytest.raises(DataError, match=f"{folder}/ holds 1 picture and no COCO"):
            import_dataset(tmp_path)

    def test_one_file_for_everything_speaks_of_all_folders(self, tmp_path: Path) -> None:
        for name in ("train/a.png", "test/b.png"):
            picture(tmp_path / name)
        write(tmp_path / NAME, [annotation()], [entry("train/a.png")])
        assert len(import_dataset(tmp_path).items) == 1

    def test_a_split_without_any_mask(self, tmp_path: Path) -> None:
        masks(tmp_path / "train")
        picture(tmp_path / "valid" / "images" / "a.png")
        with pytest.raises(DataError) as caught:
            import_dataset(tmp_path)
        assert (
            "valid/images/ holds 1 picture and no mask file, while the other splits have theirs "
            "(train/masks) -> add masks of the same stem, or move the folder out"
            in str(caught.value)
        )
        assert "data.test" not in str(caught.value)


class TestTwoForms:
    def test_masks_beside_coco(self, tmp_path: Path) -> None:
        coco(tmp_path / "train", 1, 8)
        coco(tmp_path / "valid", 2)
        masks(tmp_path / "test")
        with pytest.raises(DataError) as caught:
            import_dataset(tmp_path)
        assert str(caught.value) == (
            f"{tmp_path}: test is labelled with mask files alone, and train, valid with COCO "
            "annotation files: a data set is read in one form, so pictures would be lost -> "
            "convert the labels of test, so that all splits have one form, or name the test set "
            "by itself with data.test=FOLDER"
        )
        made = prepared(tmp_path, f"data.test={tmp_path / 'test'}")
        assert [len(part) for part in (made.train, made.valid, made.test)] == [8, 2, 2]
        assert all(item.mask_file for item in made.test)

    def test_validation_has_no_test_set_to_name(self, tmp_path: Path) -> None:
        coco(tmp_path / "train")
        masks(tmp_path / "valid")
        with pytest.raises(DataError, match=r"valid is labelled with mask files alone") as caught:
            import_dataset(tmp_path)
        assert "data.test" not in str(caught.value)

    def test_the_form_that_all_splits_have_is_named(self, tmp_path: Path) -> None:
        coco(tmp_path / "train")
        masks(tmp_path / "train")
        masks(tmp_path / "valid")
        with pytest.raises(DataError, match=r"-> set data\.format=masks, in which every split is"):
            import_dataset(tmp_path)
        for split in ("train", "valid"):
            assert len(import_dataset(tmp_path, "masks").split(split)) == 2

    def test_boxes_alone_beside_masks(self, tmp_path: Path) -> None:
        masks(tmp_path / "train")
        picture(tmp_path / "valid" / "a.png")
        box = annotation(segmentation=[], bbox=[1, 1, 4, 4])
        write(tmp_path / "valid" / NAME, [box])
        with pytest.raises(DataError, match=r"valid is labelled with COCO annotation files alone"):
            import_dataset(tmp_path)

from __future__ import annotations

import contextlib
import io
import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from faultline.data.synthetic import coco_writer, generate_crack_image, write_crack_dataset
from faultline.errors import DataError, OutputError

# pycocotools 2.0 decodes through an array protocol that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = (65, 97)
COUNTS = {"train": 7, "valid": 3, "test": 2}


def tree(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def load(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, dict[str, Path]]:
    root = tmp_path_factory.mktemp("synthetic") / "made"
    return root, write_crack_dataset(root, COUNTS, seed=4, size=SIZE, crack_free_share=0.3)


def test_layout(written):
    root, paths = written
    assert paths == {split: root / split / "_annotations.coco.json" for split in COUNTS}
    for split, count in COUNTS.items():
        assert len(list((root / split).glob("*.jpg"))) == count
        # Nothing else, temporary files least of all.
        assert len(list((root / split).iterdir())) == count + 1


def test_pycocotools_reads_back_the_same_masks(written):
    root, paths = written
    coco = load(paths["train"])
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["crack"]
    masks = []
    for info in coco.loadImgs(coco.getImgIds()):
        picture = cv2.imread(str(root / "train" / info["file_name"]))
        assert picture.shape == (info["height"], info["width"], 3) == (*SIZE, 3)
        found = coco.loadAnns(coco.getAnnIds(info["id"]))
        mask = np.zeros(SIZE, np.uint8)
        for annotation in found:
            mask |= coco.annToMask(annotation)
        masks.append(mask)
    assert any(mask.any() for mask in masks)
    split = zlib.crc32(b"train")
    for index, mask in enumerate(masks):
        free = coco_writer._is_crack_free(index, 0.3)
        _, expected = generate_crack_image([4, split, index], SIZE, crack_free=free)
        assert np.array_equal(mask, expected)


def test_annotations_are_valid(written):
    _, paths = written
    for path in paths.values():
        document = json.loads(path.read_text())
        images = {image["id"]: image for image in document["images"]}
        assert len(images) == len(document["images"])
        identifiers = [annotation["id"] for annotation in document["annotations"]]
        assert identifiers == list(range(1, len(identifiers) + 1))
        for annotation in document["annotations"]:
            assert annotation["image_id"] in images
            assert annotation["category_id"] == 1
            assert annotation["iscrowd"] == 0
            mask = coco_mask.decode(annotation["segmentation"])
            rows, columns = mask.nonzero()
            assert annotation["area"] == mask.sum() > 0
            x, y, width, height = annotation["bbox"]
            assert (x, y) == (columns.min(), rows.min())
            assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
            assert cv2.connectedComponents(mask, connectivity=8)[0] == 2


def test_pictures_are_the_generated_ones(written):
    root, _ = written
    split = zlib.crc32(b"test")
    expected, _ = generate_crack_image([4, split, 0], SIZE)
    picture = cv2.imread(str(root / "test" / "crack_test_00001.jpg"))[:, :, ::-1]
    assert np.abs(picture.astype(int) - expected).mean() < 4


def test_same_seed_gives_the_same_bytes(written, tmp_path):
    root, _ = written
    write_crack_dataset(tmp_path / "b", COUNTS, seed=4, size=SIZE, crack_free_share=0.3)
    assert tree(tmp_path / "b") == tree(root)
    write_crack_dataset(tmp_path / "c", COUNTS, seed=5, size=SIZE, crack_free_share=0.3)
    assert tree(tmp_path / "c") != tree(root)


def test_splits_do_not_depend_on_one_another(written, tmp_path):
    root, _ = written
    write_crack_dataset(tmp_path / "a", {"test": 2}, seed=4, size=SIZE, crack_free_share=0.3)
    assert tree(tmp_path / "a" / "test") == tree(root / "test")


def test_no_picture_is_in_two_splits(written):
    root, _ = written
    pictures = [path.read_bytes() for path in root.rglob("*.jpg")]
    assert len(set(pictures)) == len(pictures) == sum(COUNTS.values())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 1.0])
def test_crack_free_share(share):
    for count in (12, 60):
        number = sum(coco_writer._is_crack_free(index, share) for index in range(count))
        assert number == pytest.approx(share * count, abs=1)


def test_crack_free_pictures_have_no_annotations(tmp_path):
    paths = write_crack_dataset(tmp_path, {"valid": 2}, size=SIZE, crack_free_share=1.0)
    document = json.loads(paths["valid"].read_text())
    assert len(document["images"]) == 2
    assert document["annotations"] == []


def test_progress_counts_every_picture(tmp_path):
    seen: list[tuple[int, int]] = []
    counts = {"train": 2, "valid": 1}
    write_crack_dataset(tmp_path, counts, size=SIZE, progress=lambda *step: seen.append(step))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "train").mkdir()
    precious = tmp_path / "train" / "crack_train_00001.jpg"
    precious.write_bytes(b"mine")
    with pytest.raises(DataError, match="not made by this generator"):
        write_crack_dataset(tmp_path, {"train": 1}, size=SIZE)
    assert tree(tmp_path) == {"train/crack_train_00001.jpg": b"mine"}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "data").write_text("x")
    with pytest.raises(DataError, match="is a file"):
        write_crack_dataset(tmp_path / "data", {"train": 1}, size=SIZE)


def test_an_own_folder_is_replaced_without_leftovers(tmp_path):
    write_crack_dataset(tmp_path, {"train": 3, "valid": 1}, seed=1, size=SIZE)
    (tmp_path / "notes.txt").write_text("stays")
    write_crack_dataset(tmp_path, {"train": 2}, seed=2, size=SIZE)
    assert sorted(tree(tmp_path)) == [
        ".faultline-synthetic.json",
        "notes.txt",
        "train/_annotations.coco.json",
        "train/crack_train_00001.jpg",
        "train/crack_train_00002.jpg",
    ]


def test_an_interrupted_split_has_no_annotation_file_and_can_be_redone(tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_crack_dataset(tmp_path, {"train": 3}, size=SIZE, progress=stop)
    assert not (tmp_path / "train" / "_annotations.coco.json").exists()
    write_crack_dataset(tmp_path, {"train": 3}, size=SIZE)
    assert len(load(tmp_path / "train" / "_annotations.coco.json").getImgIds()) == 3


def test_a_full_disk_is_an_output_error(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("faultline.files.os.replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_crack_dataset(tmp_path / "data", {"train": 1}, size=SIZE)
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"counts": {"tran": 1}}, "tran"),
        ({"counts": {}}, "splits"),
        ({"counts": {"train": 0}}, "1 or more"),
        ({"counts": {"train": 1}, "seed": -1}, "seed -1"),
        ({"counts": {"train": 1}, "crack_free_share": 1.5}, "not a share"),
        ({"counts": {"train": 1}, "size": (8, 8)}, "too small"),
        ({"counts": {"train": 1}, "surface": "steel"}, "unknown surface"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(tmp_path, settings, message):
    with pytest.raises(DataError, match=message):
        write_crack_dataset(tmp_path / "data", **settings)
    assert not (tmp_path / "data").exists()

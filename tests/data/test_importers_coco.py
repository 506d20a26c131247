"""COCO data sets: every form of annotation, every place of the file, and everything that breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_samples import NAME, NAN, SQUARE, annotation, entry, one, picture, square, truth, write
from PIL import Image
from pycocotools import mask as coco_mask

from faultline.data.images import apply_orientation
from faultline.data.importers import import_dataset
from faultline.errors import DataError
from faultline.types import LabelKind


def forms() -> dict[str, Any]:
    compressed = coco_mask.encode(np.asfortranarray(square()))
    text = {"size": [8, 12], "counts": compressed["counts"].decode()}
    runs = [18, 4, 4, 4, 4, 4, 4, 4, 50]
    return {"polygon": [SQUARE], "rle": text, "runs": {"size": [8, 12], "counts": runs}}


@pytest.mark.parametrize("form", ["polygon", "rle", "runs"])
def test_every_form_gives_the_same_mask(form: str, tmp_path: Path) -> None:
    manifest = one(tmp_path, [annotation(segmentation=forms()[form])])
    assert np.array_equal(truth(manifest), square())
    (item,) = manifest.items
    assert (item.id, item.split, item.width, item.height) == ("a.png", None, 12, 8)
    assert item.positive is True
    assert manifest.format == "coco"
    assert manifest.label_space.names == ("crack",)
    assert manifest.problems == []


@pytest.mark.parametrize("segmentation", [[], None])
def test_boxes_are_filled_with_a_warning(segmentation: Any, tmp_path: Path) -> None:
    manifest = one(tmp_path, [annotation(segmentation=segmentation, bbox=[2, 2, 4, 4])])
    assert np.array_equal(truth(manifest), square())
    assert manifest.notes == [
        "WARNING: 1 annotations have only a box; it is filled, so labels are wider than what they "
        "show"
    ]


def test_several_annotations_and_crowds_add_up(tmp_path: Path) -> None:
    rows = [annotation(), annotation(segmentation=[[8, 0, 12, 0, 12, 8, 8, 8]], iscrowd=1)]
    manifest = one(tmp_path, rows)
    expected = square()
    expected[:, 8:] = 1
    assert np.array_equal(truth(manifest), expected)
    assert len(manifest.items[0].regions) == 2
    assert manifest.notes == ["1 annotations are marked iscrowd; they count as foreground"]


def test_a_picture_without_annotation_is_a_negative(tmp_path: Path) -> None:
    manifest = one(tmp_path, [])
    assert manifest.items[0].labelled
    assert manifest.items[0].positive is False
    assert not truth(manifest).any()


def three_categories(root: Path) -> None:
    picture(root / "a.png")
    names = ["Wide crack", "CRACKING", "rust"]
    rows = [
        annotation(category=k, segmentation=[[4 * k, 0, 4 * k + 4, 0, 4 * k + 4, 8, 4 * k, 8]])
        for k in range(3)
    ]
    write(root / NAME, rows, categories=[{"id": k, "name": name} for k, name in enumerate(names)])


@pytest.mark.parametrize(
    ("positive", "columns", "name"),
    [
        ("crack", [1, 1, 0], "crack"),
        ("RUST", [0, 0, 1], "rust"),
        ("wide_crack, rust", [1, 0, 1], "wide crack"),
        ("*", [1, 1, 1], "foreground"),
    ],
)
def test_positive_categories(positive: str, columns: list[int], name: str, tmp_path: Path) -> None:
    three_categories(tmp_path)
    manifest = import_dataset(tmp_path, positive=positive)
    assert truth(manifest)[0, ::4].tolist() == columns
    assert manifest.label_space.names == (name,)


def test_no_matching_category_is_an_error_that_lists_them(tmp_path: Path) -> None:
    three_categories(tmp_path)
    with pytest.raises(DataError) as caught:
        import_dataset(tmp_path, positive="leaf")
    message = str(caught.value)
    assert "no category matches positive='leaf'" in message
    assert "'Wide crack', 'CRACKING', 'rust'" in message
    assert "set data.positive" in message


def test_several_classes(tmp_path: Path) -> None:
    three_categories(tmp_path)
    classes = import_dataset(tmp_path, positive="*", kind="multiclass")
    assert classes.label_space.names == ("background", "Wide crack", "CRACKING", "rust")
    assert truth(classes)[0, ::4].tolist() == [1, 2, 3]
    labels = import_dataset(tmp_path, positive="crack", kind="multilabel")
    assert labels.label_space.kind is LabelKind.MULTILABEL
    assert truth(labels)[:, 0, ::4].tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("annotations", "pictures", "splits"),
    [
        (["train/" + NAME, "valid/" + NAME], ["train/a.png", "valid/a.png"], ["train", "valid"]),
        (
            ["train/images/" + NAME, "val/" + NAME],
            ["train/images/a.png", "val/images/a.png"],
            ["train", "valid"],
        ),
        (
            ["train/labels.json", "Test/annotations/x.json"],
            ["train/a.png", "Test/images/a.png"],
            ["train", "test"],
        ),
        (
            ["annotations/instances_train2017.json", "annotations/instances_val2017.json"],
            ["train2017/a.png", "val2017/a.png"],
            ["train", "valid"],
        ),
        (
            ["annotations/train.json", "annotations/test.json"],
            ["images/train/a.png", "test/a.png"],
            ["train", "test"],
        ),
        ([NAME], ["a.png"], []),
        (["images/" + NAME], ["images/a.png"], []),
        (["annotations/all.json"], ["images/a.png"], []),
        (["whatever.json"], ["images/a.png"], []),
    ],
)
def test_where_files_may_lie(
    annotations: list[str], pictures: list[str], splits: list[str], tmp_path: Path
) -> None:
    for number, name in enumerate(pictures):
        picture(tmp_path / name, seed=number)
    for name in annotations:
        write(tmp_path / name, [annotation()])
    manifest = import_dataset(tmp_path)
    assert manifest.splits() == splits
    assert sorted(item.id for item in manifest.items) == sorted(pictures)
    assert all(item.positive for item in manifest.items)
    assert manifest.problems == []


def test_augmented_copies_share_a_group_across_splits(tmp_path: Path) -> None:
    names = ["wall_jpg.rf.aa11.png", "wall_jpg.rf.bb22.png", "other.png"]
    for split in ("train", "valid"):
        for number, name in enumerate(names):
            picture(tmp_path / split / name, seed=number)
        write(tmp_path / split / NAME, [], [entry(name, key) for key, name in enumerate(names)])
    groups = {item.id: item.group for item in import_dataset(tmp_path).items}
    assert {groups[i] for i in groups if ".rf." in i} == {"wall_jpg"}
    assert groups["train/other.png"] != groups["valid/other.png"]
    named = import_dataset(tmp_path, groups=lambda item_id: item_id[0])
    assert {item.group for item in named.items} == {"t", "v"}
    mapped = import_dataset(tmp_path, groups={"train/other.png": "special"})
    assert [i.group for i in mapped.items if i.id == "train/other.png"] == ["special"]


def test_near_duplicates_can_be_grouped(tmp_path: Path) -> None:
    import cv2

    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(96, 96)), (0, 0), 3)
    pixels = np.clip(128 + 400 * noise, 0, 255).astype(np.uint8)
    for name, turned in (("a.png", pixels), ("b.png", np.rot90(pixels))):
        Image.fromarray(np.ascontiguousarray(turned)).save(tmp_path / name)
    rows = [entry(n, n, width=96, height=96) for n in ("a.png", "b.png")]
    write(tmp_path / NAME, [], rows)
    assert len({i.group for i in import_dataset(tmp_path).items}) == 2
    assert len({i.group for i in import_dataset(tmp_path, group_by="near_duplicates").items}) == 1


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_rotated_photographs(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = orientation < 5
    picture(tmp_path / "a.jpg", exif=exif)  # stored 12x8
    shown = (12, 8) if upright else (8, 12)
    stored = [entry("a.jpg")]
    write(tmp_path / NAME, [annotation()], stored)
    manifest = import_dataset(tmp_path)
    assert (manifest.items[0].width, manifest.items[0].height) == shown
    expected = square() if upright else apply_orientation(square(), orientation)
    assert np.array_equal(truth(manifest), expected)
    seen = [entry("a.jpg", width=shown[0], height=shown[1])]
    write(tmp_path / NAME, [annotation()], seen)
    mask = truth(import_dataset(tmp_path))
    assert mask.shape == shown[::-1]
    assert mask[2:6, 2:6].all()
    assert mask.sum() == 16


def problems(root: Path, **settings: Any) -> list[str]:
    return [str(problem) for problem in import_dataset(root, **settings).problems]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (annotation(2, 9), "annotation 7: unknown category id 9 (known: 1)"),
        (annotation(2, [1]), "annotation 7: unknown category id [1]"),
        (annotation(2, segmentation=[[]]), "annotation 7: polygon is empty"),
        (
            annotation(2, segmentation=[[1, 2, NAN, 4, 5, 6]]),
            "annotation 7: polygon has the coordinate nan",
        ),
        (
            annotation(2, segmentation=[], bbox=[0, 0, NAN, 2]),
            "annotation 7: bbox has the coordinate nan",
        ),
        (annotation(2, segmentation=[]), "annotation 7: neither an outline nor a box"),
        (annotation(2, segmentation={"size": [8, 13], "counts": "x"}), "annotation 7: RLE is 8x13"),
    ],
)
def test_a_bad_annotation_strikes_its_picture(
    bad: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    write(tmp_path / NAME, [annotation(), bad], [entry(), entry("b.png", 2)])
    manifest = import_dataset(tmp_path)
    assert [item.id for item in manifest.items] == ["a.png"]
    (problem,) = manifest.problems
    assert problem.file == "b.png"
    assert problem.reason.startswith(reason)
    with pytest.raises(DataError) as caught:
        import_dataset(tmp_path, on_error="raise")
    assert f"b.png: {reason}" in str(caught.value)
    assert "data.on_error=skip" in str(caught.value)


def test_bad_files_are_listed_all_at_once(tmp_path: Path) -> None:
    names = ["good.png", "absent.png", "empty.png", "cut.png", "text.png", "size.png"]
    for name in names:
        picture(tmp_path / name)
    (tmp_path / "absent.png").unlink()
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-30])
    (tmp_path / "text.png").write_text("no picture at all, just text")
    picture(tmp_path / "size.png", (20, 20))
    write(tmp_path / NAME, [], [entry(name, key) for key, name in enumerate(names)])
    listed = problems(tmp_path)
    assert [line.partition(":")[0] for line in listed] == sorted(names[1:])
    text = "\n".join(listed)
    assert "absent.png: listed in _annotations.coco.json, but there is no such file" in text
    assert "empty.png: the file is empty (0 bytes)" in text
    assert "cut.png: the file is truncated" in text
    assert "text.png: not a picture" in text
    assert "size.png: the annotation file tells of 12x8, but the picture is 20x20" in text
    with pytest.raises(DataError) as caught:
        import_dataset(tmp_path, on_error="raise")
    assert all(line in str(caught.value) for line in listed)
    assert "5 files cannot be used" in str(caught.value)


def test_an_image_listed_twice(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / name)
    rows = [entry(), entry("b.png", 2), entry("b.png", 3), entry("c.png", 4), entry("./c.png", 5)]
    write(tmp_path / NAME, [annotation(), annotation(2), annotation(3)], rows)
    manifest = import_dataset(tmp_path)
    assert [item.id for item in manifest.items] == ["a.png", "c.png"]
    text = "\n".join(str(problem) for problem in manifest.problems)
    assert "b.png: listed 2 times" in text
    assert "c.png: listed twice" in text
    write(tmp_path / NAME, [annotation()], [entry(), entry("b.png", 1), entry("c.png", 2)])
    manifest = import_dataset(tmp_path)
    assert [item.id for item in manifest.items] == ["c.png"]
    assert "listed with others under image id 1" in str(manifest.problems[0])


def test_annotations_of_an_unlisted_image(tmp_path: Path) -> None:
    manifest = one(tmp_path, [annotation(), annotation(99), annotation(99), annotation(None)])
    text = "\n".join(str(problem) for problem in manifest.problems)
    assert f"{NAME}: 2 annotations refer to image id 99, which is not listed" in text
    assert len(manifest.items) == 1


def test_pictures_that_no_file_lists_are_noted(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / "train" / name)
    write(tmp_path / "train" / NAME, [annotation()])
    assert import_dataset(tmp_path).notes == [
        f"1 pictures beside train/{NAME} are not listed in it: left out"
    ]


def test_names_with_folders_of_another_machine(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "a.png")
    for name in ("C:\\data\\a.png", "/home/somebody/a.png", "images/a.png", "..\\x\\a.png"):
        write(tmp_path / "train" / NAME, [annotation()], [entry(name)])
        assert [item.id for item in import_dataset(tmp_path).items] == ["train/a.png"]


@pytest.mark.parametrize("relative", [False, True])
def test_names_do_not_lead_out_of_the_data_set(
    relative: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "secret.png")
    picture(tmp_path / "set" / "a.png")
    rows = [entry(), entry("../secret.png", 2), entry(str(tmp_path / "secret.png"), 3)]
    write(tmp_path / "set" / NAME, [], rows)
    monkeypatch.chdir(tmp_path / "set")
    manifest = import_dataset("." if relative else tmp_path / "set")
    assert [item.id for item in manifest.items] == ["a.png"]
    assert len(manifest.problems) == 2

"""Severstal data sets: both forms, what is negative, and every bad table by its message."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faultline.data.importers import import_dataset
from faultline.data.manifest import Manifest
from faultline.data.masks import load_mask
from faultline.data.regions import decode_rles
from faultline.data.severstal import (
    SeverstalRow,
    rle_from_severstal,
    severstal_from_mask,
    severstal_from_rle,
    severstal_rows,
    write_severstal,
)
from faultline.data.targets import image_targets
from faultline.errors import DataError
from faultline.types import LabelKind

NEW = "ImageId,ClassId,EncodedPixels\n"
OLD = "ImageId_ClassId,EncodedPixels\n"


def folder(root: Path, table: str | bytes, images: str = "a b c", name: str = "train") -> Path:
    """Pictures 4 wide and 3 high, and a table."""
    place = root / f"{name}_images"
    place.mkdir(parents=True, exist_ok=True)
    for number, stem in enumerate(images.split()):
        pixels = np.full((3, 4, 3), 10 * number + len(name), np.uint8)
        Image.fromarray(pixels).save(place / f"{stem}.png")
    content = table.encode() if isinstance(table, str) else table
    (root / f"{name}.csv").write_bytes(content)
    return root


def read(root: Path, **settings: object) -> Manifest:
    return import_dataset(root, **{"positive": "*", "kind": "multilabel", **settings})


def shown(manifest: Manifest) -> dict[str, list[int]]:
    rows = image_targets(manifest.items, manifest.label_space).tolist()
    return {item.path.stem: row for item, row in zip(manifest.items, rows, strict=True)}


def problems(manifest: Manifest) -> str:
    return "\n".join(map(str, manifest.problems))


def test_the_newer_form(tmp_path: Path) -> None:
    manifest = read(folder(tmp_path, NEW + "a.png,1,1 2\na.png,3,4 1 12 1\nb.png,1,12 1\n"))
    assert manifest.format == "severstal"
    assert manifest.label_space.kind is LabelKind.MULTILABEL
    assert manifest.label_space.names == ("defect_1", "defect_2", "defect_3")
    assert shown(manifest) == {"a": [1, 0, 1], "b": [1, 0, 0], "c": [0, 0, 0]}
    assert [item.positive for item in manifest.items] == [True, True, False]
    assert {item.split for item in manifest.items} == {None}
    mask = load_mask(manifest.items[0], manifest.label_space)
    assert mask[0].tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert np.flatnonzero(mask[2].T.ravel()).tolist() == [3, 11]
    assert "1 pictures without rows in train.csv: no defect" in manifest.notes


def test_the_older_form(tmp_path: Path) -> None:
    rows = "".join(f"{name}.png_{k},{'1 2' if (name, k) == ('a', 2) else ''}\n"
                   for name in "abc" for k in (1, 2, 3, 4))  # fmt: skip
    manifest = read(folder(tmp_path, OLD + rows))
    assert manifest.label_space.names == ("defect_1", "defect_2", "defect_3", "defect_4")
    assert shown(manifest) == {"a": [0, 1, 0, 0], "b": [0] * 4, "c": [0] * 4}
    assert manifest.notes == []


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_byte_order_mark_line_ends_and_order_of_columns(
    tmp_path: Path, mark: bytes, ends: str
) -> None:
    text = "EncodedPixels,ImageId,ClassId\n 1 2 ,a.png,1\n\n4 1,b.png,2.0\n"
    manifest = read(folder(tmp_path, mark + text.replace("\n", ends).encode()))
    assert shown(manifest) == {"a": [1, 0], "b": [0, 1], "c": [0, 0]}
    assert manifest.problems == []


def test_kinds_and_chosen_classes(tmp_path: Path) -> None:
    root = folder(tmp_path, NEW + "a.png,1,1 2\nb.png,2,4 1\n")
    merged = import_dataset(root, positive="*")
    assert (merged.label_space.kind, shown(merged)["b"]) == (LabelKind.BINARY, [1])
    one = read(root, positive="defect_2")
    assert shown(one) == {"a": [0], "b": [1], "c": [0]}
    assert "foreground: defect_2; not counted: defect_1" in one.notes
    indexed = read(root, kind="multiclass")
    assert load_mask(indexed.items[1], indexed.label_space).max() == 2
    named = read(root, classes=["background", "scratch", "dent"])
    assert named.label_space.names == ("scratch", "dent")
    with pytest.raises(DataError, match="no class matches positive='crack'; there are: 'defect_1'"):
        import_dataset(root)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("b.png,1,1 2 3", "train.csv, line 3, class 1: RLE has 3 numbers, an odd count"),
        ("b.png,1,13 1", "line 3, class 1: RLE run 1 (start 13, length 1) ends out of bounds"),
        ("b.png,1,1 4 3 2", "RLE run 2 (start 3, length 2) overlaps the one before"),
        ("b.png,1,9 1 2 1", "RLE run 2 (start 2, length 1) is unsorted"),
        ("b.png,0,1 1", "train.csv: line 3: unknown class id '0'"),
        ("b.png,dent,1 1", "unknown class id 'dent'"),
        ("b.png,1.5,1 1", "unknown class id '1.5'"),
        ("b.png,1", "line 3 has 2 columns, the first line 3"),
        ("b.png,1,1 1\nb.png,1,2 1", "lines 3 and 4 both give class 1, with other pixels"),
        ("gone.png,1,1 1", "train_images/gone.png: has rows in train.csv, but there is no such"),
        (",1,1 1", "train.csv: train.csv: line 3: no picture is named"),
    ],
)
def test_a_bad_row_costs_its_picture_and_no_other(tmp_path: Path, row: str, message: str) -> None:
    manifest = read(folder(tmp_path, NEW + f"a.png,1,1 2\n{row}\n"))
    assert message in problems(manifest)
    assert len(manifest.problems) == 1
    assert shown(manifest)["a"] == [1]
    assert ("b" in shown(manifest)) == (not row.startswith("b"))
    with pytest.raises(DataError, match="1 file cannot be used"):
        read(tmp_path, on_error="raise")


@pytest.mark.parametrize("row", ["b.png_1", "b.png_1,1 2,7", "b.png,1 2"])
def test_a_bad_row_of_the_older_form_costs_its_picture_too(tmp_path: Path, row: str) -> None:
    manifest = read(folder(tmp_path, OLD + f"a.png_1,1 2\n{row}\n"))
    assert shown(manifest) == {"a": [1], "c": [0]}
    assert [problem.file for problem in manifest.problems] == ["train_images/b.png"]


@pytest.mark.parametrize("name", ["B.png", "b.PNG", "b.jpg", "b", "train_images/b.png"])
def test_a_picture_that_its_rows_call_otherwise_is_not_taken_for_sound(
    tmp_path: Path, name: str
) -> None:
    manifest = read(folder(tmp_path, NEW + f"a.png,1,1 2\n{name},1,1 2\n"))
    assert shown(manifest) == {"a": [1], "c": [0]}
    assert f"b.png: its rows in train.csv seem to be those of {name!r}" in problems(manifest)
    assert len(manifest.problems) == 1


def test_a_class_number_without_a_name(tmp_path: Path) -> None:
    root = folder(tmp_path, NEW + "a.png,1,1 2\nb.png,3,1 1\n")
    manifest = read(root, classes=["scratch", "dent"])
    assert "line 3: unknown class id 3, there are names for 1 to 2" in problems(manifest)
    assert shown(manifest) == {"a": [1, 0], "c": [0, 0]}


def test_rows_given_twice_are_read_once(tmp_path: Path) -> None:
    manifest = read(folder(tmp_path, NEW + "a.png,1,1 2\nb.png,1,3 1\na.png,1,1  2\n"))
    assert "1 rows of train.csv are given twice: read once" in manifest.notes
    assert [len(item.regions) for item in manifest.items] == [1, 1, 0]
    assert manifest.problems == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ImageId,EncodedPixels\na.png,1 2\n", "columns are missing.*ImageId,ClassId,Encoded"),
        (b"ImageId;ClassId;EncodedPixels\na.png;1;1 2\n", "columns are missing"),
        (b"", "columns are missing"),
        (NEW.encode(), "no usable row, so the classes are unknown.*data.classes"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(folder(tmp_path, content), format="severstal")


@pytest.mark.parametrize("header", ["ImageId,EncodedPixels", "ImageId;ClassId;EncodedPixels"])
def test_a_table_that_lacks_a_column_is_named_whatever_format_is_asked(
    tmp_path: Path, header: str
) -> None:
    root = folder(tmp_path, f"{header}\na.png,1 2\n")
    with pytest.raises(DataError, match=f"{header}.*columns are missing.*ImageId,ClassId,Encoded"):
        read(root)


def test_a_table_of_something_else_is_not_held_against_a_folder(tmp_path: Path) -> None:
    root = folder(tmp_path, "name,price\na,2\n")
    with pytest.raises(DataError, match="no annotation file and no masks"):
        read(root)


def test_no_table_at_all(tmp_path: Path) -> None:
    root = folder(tmp_path, NEW + "a.png,1,1 2\n")
    (root / "train.csv").unlink()
    with pytest.raises(DataError, match="no table was found"):
        read(root, format="severstal")
    (root / "train.csv").write_bytes(b"ImageId,ClassId,\xff\xfe\n")
    with pytest.raises(DataError, match="columns are missing"):
        read(root, format="severstal")


def test_damage_further_down(tmp_path: Path) -> None:
    root = folder(tmp_path, NEW.encode() + b"a.png,1,1 2\n" * 4000 + b"b\xff.png,1,1 2\n")
    with pytest.raises(DataError, match=r"cannot be read as a table.*export it as UTF-8 CSV"):
        read(root)


def test_tables_for_splits_and_a_submission_beside_them(tmp_path: Path) -> None:
    folder(tmp_path, NEW + "a.png,1,1 2\n", "a b")
    folder(tmp_path, NEW + "v.png,2,1 2\n", "v w", "valid")
    (tmp_path / "sample_submission.csv").write_text(NEW + "x.png,1,1 1\n")
    manifest = read(tmp_path)
    assert {item.path.stem: item.split for item in manifest.items} == {
        "a": "train", "b": "train", "v": "valid", "w": "valid",
    }  # fmt: skip
    assert shown(manifest)["v"] == [0, 1]
    assert "sample_submission.csv is not read: its name tells no split" in manifest.notes


def test_tables_inside_split_folders(tmp_path: Path) -> None:
    for split in ("train", "test"):
        folder(tmp_path / split, NEW + "a.png,1,1 2\n", "a b", split)
    manifest = read(tmp_path)
    assert sorted((item.split, item.path.stem) for item in manifest.items) == [
        ("test", "a"), ("test", "b"), ("train", "a"), ("train", "b"),
    ]  # fmt: skip


def test_tables_that_cannot_be_told_apart(tmp_path: Path) -> None:
    folder(tmp_path, NEW + "a.png,1,1 2\n")
    (tmp_path / "valid.csv").write_text(NEW + "b.png,1,1 2\n")
    (tmp_path / "train_images").rename(tmp_path / "images")
    with pytest.raises(DataError, match="share the folder images/"):
        read(tmp_path)
    (tmp_path / "valid.csv").rename(tmp_path / "train2017.csv")
    with pytest.raises(DataError, match=r"several tables: train\.csv, train2017\.csv"):
        read(tmp_path)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    manifest = read(folder(tmp_path, NEW + "a.png,1,1 2\na.png,3,4 1 12 1\nb.png,1,12 1\n"))
    rows: list[SeverstalRow] = []
    for item in manifest.items:
        mask = load_mask(item, manifest.label_space)
        rows += severstal_rows(item.path.name, mask, manifest.label_space, empty=True)
    write_severstal(tmp_path / "train.csv", rows, older_form=True)
    again = read(tmp_path)
    assert again.fingerprint() == manifest.fingerprint()


@pytest.mark.real_data
def test_the_steel_table_comes_back_exactly(shared_data: Path) -> None:
    root = shared_data / "steel"
    with (root / "train.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) > 400
    for row in rows:
        rle = rle_from_severstal(row["EncodedPixels"], 200, 200)
        assert severstal_from_rle(rle) == row["EncodedPixels"]
        mask = decode_rles([rle], 200, 200)
        assert severstal_from_mask(mask) == row["EncodedPixels"]
    manifest = read(root, kind="auto", task="classification")
    assert manifest.problems == []
    assert len(manifest.items) == 525
    targets = image_targets(manifest.items, manifest.label_space)
    assert targets.shape == (525, 3)
    assert int(targets.sum()) == len(rows)

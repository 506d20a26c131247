"""What whole pictures show, from areas, masks and labels of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faultline.data.manifest import Item, Manifest, MaskFile, Region
from faultline.data.masks import load_mask
from faultline.data.regions import rle_from_mask
from faultline.data.targets import class_indices, image_space, image_targets, with_targets
from faultline.errors import DataError, MaskError
from faultline.evaluation.doctor.scan import scan_item
from faultline.types import LabelKind, LabelSpace

MULTI = LabelSpace(LabelKind.MULTILABEL, ("dent", "rust"))
INDEX = LabelSpace(LabelKind.MULTICLASS, ("background", "dent", "rust"))
CRACK = LabelSpace(LabelKind.BINARY, ("crack",))


def area(class_index: int, pixels: int, start: int = 0) -> Region:
    mask = np.zeros((4, 4), np.uint8)
    mask.ravel()[start : start + pixels] = 1
    return Region(class_index, rle_from_mask(mask))


def item(name: str = "a", *regions: Region, **fields: object) -> Item:
    return Item(name, Path(name), None, name, name, 4, 4, regions, **fields)


def mask_item(folder: Path, values: list[list[int]], rule: str) -> Item:
    path = folder / f"{len(list(folder.iterdir()))}.png"
    pixels = np.zeros((4, 4), np.uint8)
    pixels[: len(values), : len(values[0])] = values
    Image.fromarray(pixels).save(path)
    return Item(path.name, path, None, path.name, path.name, 4, 4, mask_file=MaskFile(path, rule))


def test_areas_of_one_class_count_once() -> None:
    overlapping = item("a", area(1, 3), area(1, 3, start=1), area(0, 1))
    rows = [image_targets([overlapping], MULTI, least).tolist()[0] for least in (1, 2, 4, 5)]
    assert rows == [[1, 1], [0, 1], [0, 1], [0, 0]]


def test_the_background_is_no_class_of_a_picture() -> None:
    space = image_space(INDEX, image_level=False)
    assert (space.kind, space.names) == (LabelKind.MULTILABEL, ("dent", "rust"))
    assert space.colours == INDEX.colours[1:]
    assert image_targets([item("a", area(2, 1)), item("b")], INDEX).tolist() == [[0, 1], [0, 0]]
    assert image_space(CRACK, image_level=False).kind is LabelKind.MULTILABEL
    assert image_space(MULTI, image_level=False) is MULTI


def test_mask_files(tmp_path: Path) -> None:
    index = mask_item(tmp_path, [[0, 2, 2, 255]], "index")
    assert image_targets([index], INDEX).tolist() == [[0, 1]]
    assert image_targets([index], INDEX, min_pixels=3).tolist() == [[0, 0]]
    binary = mask_item(tmp_path, [[255, 0]], "binary0255")
    assert image_targets([binary], CRACK).tolist() == [[1]]
    soft = mask_item(tmp_path, [[127, 128]], "threshold")
    assert image_targets([soft], CRACK, min_pixels=2).tolist() == [[0]]


def test_labels_of_the_whole() -> None:
    several = [item("a", targets=(0, 1)), item("b", targets=())]
    assert image_targets(several, MULTI).tolist() == [[1, 1], [0, 0]]
    animals = LabelSpace(LabelKind.MULTICLASS, ("cat", "dog"))
    assert image_space(animals, image_level=True) is animals
    assert class_indices([item("a", targets=(1,)), item("b", targets=(0,))]).tolist() == [1, 0]
    with pytest.raises(DataError, match=r"has the classes \(\), not one class"):
        class_indices(several[1:])
    assert image_targets([], MULTI).shape == (0, 2)


def test_what_cannot_be_told() -> None:
    with pytest.raises(DataError, match="the item has no label"):
        image_targets([item(labelled=False)], MULTI)
    with pytest.raises(DataError, match="some labels are of whole pictures and some of pixels"):
        image_targets([item("a", targets=(0,)), item("b", area(0, 1))], MULTI)
    with pytest.raises(MaskError, match=r"label is of the whole picture.*task=classification"):
        load_mask(item(targets=(0,)), MULTI)


def test_a_manifest_of_whole_pictures(tmp_path: Path) -> None:
    good = mask_item(tmp_path, [[0, 2, 2]], "index")
    bad = mask_item(tmp_path, [[7]], "index")
    bare = item("bare", labelled=False)
    made = with_targets(Manifest(tmp_path, "masks", INDEX, [good, bad, bare], notes=["first"]))
    assert made.label_space.names == ("dent", "rust")
    assert [(i.id, i.targets, i.image_level) for i in made.items] == [("0.png", (1,), True)]
    assert [problem.file for problem in made.problems] == ["1.png"]
    assert "mask values" in made.problems[0].reason
    assert made.notes == ["first", "1 pictures without a label are left out"]
    assert with_targets(made).items == made.items
    assert scan_item(made.items[0], made.label_space).error is None  # nothing to decode but pixels


def test_targets_are_kept_and_change_the_fingerprint(tmp_path: Path) -> None:
    made = Manifest(tmp_path, "x", MULTI, [item("a", targets=(0, 1)), item("b", targets=())])
    made.save(tmp_path / "m.jsonl")
    again = Manifest.load(tmp_path / "m.jsonl")
    assert [i.targets for i in again.items] == [(0, 1), ()]
    assert again.fingerprint() == made.fingerprint()
    other = Manifest(tmp_path, "x", MULTI, [item("a", targets=(0,)), item("b", targets=())])
    assert other.fingerprint() != made.fingerprint()
    unknown = Manifest(tmp_path, "x", MULTI, [item("a", targets=(0, 1)), item("b")])
    assert unknown.fingerprint() != made.fingerprint()

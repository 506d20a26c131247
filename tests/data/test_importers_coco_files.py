"""COCO annotation files that are not what they should be, down to garbage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from coco_samples import CRACK, EMPTY, NAME, annotation, entry, one, picture, truth, write
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.data.importers import import_dataset
from faultline.errors import ConfigError, DataError, FaultlineError, UnknownNameError


def test_annotation_file_that_is_not_json_names_the_line(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "a.png")
    path = tmp_path / "train" / NAME
    path.write_text('{\n "images": [],\n "annotations": [}\n')
    with pytest.raises(DataError) as caught:
        import_dataset(tmp_path)
    message = str(caught.value)
    assert str(path) in message
    assert "is not JSON" in message
    assert "line 3, column 18" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON: Expecting value in line 1"),
        (b"\xff\xfe\x00", "is not JSON: not even text"),
        (b"[1, 2]", "is JSON, but not COCO: no list 'images'"),
        (b'{"images": 3}', "no list 'images' .keys 'images'"),
        (b'{"images": [], "categories": []}', "no list 'annotations'"),
        (EMPTY % b'[{"id": 1}]', "category without id or name"),
        (EMPTY % b"[]", "no category matches .* there are: none"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_annotation_file_of_another_kind(content: bytes, message: str, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(DataError, match=message):
        import_dataset(tmp_path)


def test_category_id_with_two_names(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / NAME, [], categories=[CRACK, {"id": 1, "name": "rust"}])
    with pytest.raises(DataError, match="category id 1 is both 'Crack' and 'rust'"):
        import_dataset(tmp_path)


def test_several_files_for_one_split(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "a.png")
    for name in ("one.json", "two.json"):
        write(tmp_path / "train" / name, [annotation()])
    with pytest.raises(DataError, match=r"several COCO files: one\.json, two\.json"):
        import_dataset(tmp_path)
    (tmp_path / "train" / "two.json").write_text('{"info": "something else"}')
    assert len(import_dataset(tmp_path).items) == 1


def test_no_annotation_file(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    with pytest.raises(DataError, match="1 pictures, but no annotation file and no masks"):
        import_dataset(tmp_path)
    with pytest.raises(DataError, match="no COCO annotation file was found"):
        import_dataset(tmp_path, format="coco")


def test_nothing_usable(tmp_path: Path) -> None:
    write(tmp_path / NAME, [], [entry("x.png"), entry("y.png", 2)])
    with pytest.raises(
        DataError, match=r"no usable picture; 2 files have problems\n  x\.png: listed"
    ):
        import_dataset(tmp_path)


def test_wrong_settings(tmp_path: Path) -> None:
    one(tmp_path, [])
    with pytest.raises(UnknownNameError, match="unknown data format 'cocoa', did you mean 'coco'"):
        import_dataset(tmp_path, format="cocoa")
    with pytest.raises(ConfigError, match="on_error='skpi' is not a choice, did you mean 'skip'"):
        import_dataset(tmp_path, on_error="skpi")
    with pytest.raises(ConfigError, match="positive is empty"):
        import_dataset(tmp_path, positive=" , ")


KEYS = (
    "id", "image_id", "file_name", "category_id", "segmentation", "bbox", "name", "width", "size",
    "counts",
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats()
JUNK = st.recursive(
    SCALARS | st.sampled_from(["a.png", "", "crack"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=15,
)
ROW = {"image_id": st.just(1), "category_id": st.just(1), "segmentation": JUNK}


@settings(deadline=None, max_examples=50)
@given(
    images=st.lists(JUNK, max_size=3) | JUNK,
    annotations=st.lists(st.fixed_dictionaries(ROW) | JUNK, max_size=3),
    categories=st.lists(JUNK, max_size=2),
)
def test_garbage_gives_a_manifest_or_a_faultline_error(
    images: Any, annotations: Any, categories: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("junk")
    picture(root / "a.png")
    if isinstance(images, list):
        images = [entry(), *images]
    value = {"images": images, "annotations": annotations, "categories": [CRACK, *categories]}
    (root / NAME).write_text(json.dumps(value))
    for content in (json.dumps(value), json.dumps(annotations)):
        (root / NAME).write_text(content)
        try:
            manifest = import_dataset(root)
        except FaultlineError:
            continue
        for index in range(len(manifest.items)):
            assert truth(manifest, index).shape == (8, 12)

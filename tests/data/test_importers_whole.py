"""Labels of whole pictures: one folder per class, and one annotation file per picture."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from faultline.data.importers import import_dataset
from faultline.data.manifest import Manifest
from faultline.data.masks import load_mask
from faultline.data.targets import image_targets, with_targets
from faultline.errors import ConfigError, DataError
from faultline.types import LabelKind


def picture(path: Path, size: tuple[int, int] = (12, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([*str(path).encode()]).integers(0, 256, (*size[::-1], 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def classes(manifest: Manifest) -> dict[str, tuple[int, ...] | None]:
    return {item.id: item.targets for item in manifest.items}


class TestClassFolders:
    def test_the_folder_is_the_label(self, tmp_path: Path) -> None:
        for name in ("Rust/b.jpg", "Healthy/a.jpg", "Healthy/c.png"):
            picture(tmp_path / name)
        manifest = import_dataset(tmp_path)
        assert manifest.format == "class_folders"
        assert manifest.label_space.kind is LabelKind.MULTICLASS
        assert manifest.label_space.names == ("Healthy", "Rust")
        assert classes(manifest) == {
            "Healthy/a.jpg": (0,), "Healthy/c.png": (0,), "Rust/b.jpg": (1,),
        }  # fmt: skip
        assert all(item.image_level and item.split is None for item in manifest.items)
        assert manifest.notes == ["classes are the folders Healthy, Rust"]

    def test_splits_above_and_picture_folders_below(self, tmp_path: Path) -> None:
        for name in ("train/MT_Free/Imgs/a.jpg", "val/MT_Break/Imgs/b.jpg"):
            picture(tmp_path / name)
        manifest = import_dataset(tmp_path)
        assert {item.split: item.targets for item in manifest.items} == {
            "train": (1,), "valid": (0,),
        }  # fmt: skip

    def test_masks_are_left_to_segmentation(self, tmp_path: Path) -> None:
        for name in ("MT_Crack", "MT_Free"):
            picture(tmp_path / name / "Imgs" / "x.jpg")
            Image.fromarray(np.full((8, 12), 255, np.uint8)).save(tmp_path / name / "Imgs/x.png")
        assert import_dataset(tmp_path, positive="*").format == "class_masks"
        manifest = import_dataset(tmp_path, task="classification")
        assert manifest.format == "class_folders"
        assert sorted(classes(manifest)) == ["MT_Crack/Imgs/x.jpg", "MT_Free/Imgs/x.jpg"]
        assert "2 mask files are not used (data.format=class_masks uses them)" in manifest.notes

    def test_chosen_classes(self, tmp_path: Path) -> None:
        for name in ("a/1.jpg", "b/1.jpg", "c/1.jpg", "c/deep/2.jpg"):
            picture(tmp_path / name)
        manifest = import_dataset(tmp_path, classes=["c", "a"])
        assert classes(manifest) == {"a/1.jpg": (1,), "c/1.jpg": (0,)}
        assert "not in data.classes, left out: b" in manifest.notes
        assert "1 pictures lie deeper below their class folder: left out" in manifest.notes
        with pytest.raises(DataError, match="no pictures for d; there are: a, b, c"):
            import_dataset(tmp_path, classes=["a", "d"])

    def test_nothing_to_tell_apart(self, tmp_path: Path) -> None:
        picture(tmp_path / "a" / "1.jpg")
        (tmp_path / "b").mkdir()
        with pytest.raises(DataError, match="pictures, but no annotation file and no masks"):
            import_dataset(tmp_path)
        with pytest.raises(DataError, match="pictures of 1 classes: there is nothing to tell"):
            import_dataset(tmp_path, format="class_folders")
        picture(tmp_path / "b" / "1.jpg")
        with pytest.raises(ConfigError, match="one label per picture, not multilabel"):
            import_dataset(tmp_path, kind="multilabel")

    def test_folders_named_for_pictures_are_no_classes(self, tmp_path: Path) -> None:
        picture(tmp_path / "images" / "1.jpg")
        picture(tmp_path / "other" / "2.jpg")
        with pytest.raises(DataError, match="no annotation file and no masks"):
            import_dataset(tmp_path)

    @pytest.mark.real_data
    def test_sugar_cane_and_tiles(self, shared_data: Path) -> None:
        cane = import_dataset(shared_data / "sugarcane")
        assert cane.label_space.names == ("Healthy", "Mosaic", "RedRot", "Rust", "Yellow")
        assert len(cane.items) == 890
        tiles = import_dataset(shared_data / "magnetic-tile", task="classification")
        counts = image_targets(tiles.items, tiles.label_space).sum(axis=0)
        found = dict(zip(tiles.label_space.names, counts.tolist(), strict=True))
        assert len(tiles.items) == 600
        assert found["MT_Fray"] == 27
        assert cane.problems == tiles.problems == []


def bitmap(mask: list[list[int]], x: int, y: int) -> dict[str, Any]:
    coded = cv2.imencode(".png", np.array(mask, np.uint8) * 255)[1].tobytes()
    return {"data": base64.b64encode(zlib.compress(coded)).decode(), "origin": [x, y]}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def data_set(root: Path, contents: dict[str, Any], folder: str = "annotations") -> Path:
    for name, content in contents.items():
        picture(root / "images" / f"{name}.png")
        if content is not None:
            write(root / folder / f"{name}.json", content)
    return root


class TestJsonPerPicture:
    def test_plain_labels(self, tmp_path: Path) -> None:
        contents = {
            "a": {"labels": ["rust", "dent"]}, "b": {"label": "dent"}, "c": {"classes": []},
            "d": {"defects": {"dent": 0, "rust": 1}}, "e": {"annotations": [{"class": "dent"}]},
        }  # fmt: skip
        manifest = import_dataset(data_set(tmp_path, contents))
        assert manifest.format == "json_per_picture"
        assert manifest.label_space.names == ("dent", "rust")
        assert manifest.label_space.kind is LabelKind.MULTILABEL
        assert list(classes(manifest).values()) == [(0, 1), (0,), (), (1,), (0,)]
        one = import_dataset(tmp_path, kind="multiclass")
        assert [item.path.stem for item in one.items] == ["b", "d", "e"]
        assert "a.json: 2 labels, but data.kind=multiclass wants one" in str(one.problems[0])

    def test_supervisely(self, tmp_path: Path) -> None:
        hole = {"exterior": [[0, 0], [6, 0], [6, 6], [0, 6]],
                "interior": [[[2, 2], [4, 2], [4, 4], [2, 4]]]}  # fmt: skip
        objects = [
            {"classTitle": "defect_3", "geometryType": "bitmap", "bitmap": bitmap([[1, 0]], 5, 2)},
            {"classTitle": "defect_1", "geometryType": "polygon", "points": hole},
            {"classTitle": "defect_2", "geometryType": "rectangle",
             "points": {"exterior": [[9, 6], [8, 5]], "interior": []}},
        ]  # fmt: skip
        contents = {"x": {"size": {"height": 8, "width": 12}, "objects": objects, "tags": []}}
        for split in ("train", "valid"):
            picture(tmp_path / split / "img" / "x.png")
            write(tmp_path / split / "ann" / "x.png.json", contents["x"])
        manifest = import_dataset(tmp_path, positive="*", kind="multilabel")
        assert manifest.label_space.names == ("defect_1", "defect_2", "defect_3")
        assert manifest.splits() == ["train", "valid"]
        mask = load_mask(manifest.items[0], manifest.label_space)
        assert np.argwhere(mask[2]).tolist() == [[2, 5]]
        assert np.argwhere(mask[1]).tolist() == [[5, 8]]
        assert (mask[0].sum(), mask[0, 3, 3], mask[0, 1, 1]) == (32, 0, 1)
        whole = with_targets(import_dataset(tmp_path, task="classification"), min_pixels=2)
        assert list(classes(whole).values()) == [(0,), (0,)]

    def test_labelme(self, tmp_path: Path) -> None:
        box = {"label": "dent", "points": [[1, 1], [4, 3]], "shape_type": "rectangle"}
        outline = {"label": "rust", "points": [[0, 0], [3, 0], [3, 3]]}
        contents = {"a": {"shapes": [box]}, "b": {"shapes": [outline]}, "c": {"shapes": []}}
        manifest = import_dataset(data_set(tmp_path, contents), positive="*")
        assert manifest.label_space.kind is LabelKind.BINARY
        assert [item.positive for item in manifest.items] == [True, True, False]
        assert load_mask(manifest.items[0], manifest.label_space).sum() == 6
        assert import_dataset(tmp_path, positive="rust").items[0].regions == ()

    def test_labelme_flags_are_of_the_whole(self, tmp_path: Path) -> None:
        contents = {
            "a": {"shapes": [], "flags": {"dent": True, "rust": False}},
            "b": {"shapes": [], "flags": {"rust": True}},
        }
        manifest = import_dataset(data_set(tmp_path, contents))
        assert list(classes(manifest).values()) == [(0,), (1,)]

    def test_files_beside_the_pictures(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.jpg")
        write(tmp_path / "a.json", {"labels": ["dent"]})
        assert classes(import_dataset(tmp_path)) == {"a.jpg": (0,)}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "b.json: is not JSON"),
            ([], "b.json: holds a list, not keys and values"),
            ({"colour": 1}, "has the keys 'colour', but none of objects, shapes, labels"),
            ({"labels": [1.5]}, "1.5 is no name of a class"),
            ({"annotations": [{"id": 3}]}, "a label has no name: its keys are 'id'"),
            ({"objects": 3}, "'objects' is not a list of records"),
            ({"objects": [{"geometryType": "point"}]}, "geometryType 'point' is not bitmap"),
            ({"shapes": [{"label": "x", "shape_type": "line"}]}, "shape_type 'line' is not"),
            (None, "no annotation file of its name"),
        ],
    )
    def test_a_bad_file_costs_its_picture(self, tmp_path: Path, content: Any, message: str) -> None:
        manifest = import_dataset(data_set(tmp_path, {"a": {"labels": ["dent"]}, "b": content}))
        assert classes(manifest) == {"images/a.png": (0,)}
        assert [problem.file for problem in manifest.problems] == ["images/b.png"]
        assert message in manifest.problems[0].reason

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ({"geometryType": "bitmap", "bitmap": bitmap([[1, 1]], 11, 0)}, "leaves the picture"),
            ({"geometryType": "bitmap", "bitmap": {"data": "x", "origin": [0, 0]}}, "is damaged"),
            ({"geometryType": "bitmap", "bitmap": None}, "malformed bitmap"),
            (
                {"geometryType": "bitmap", "bitmap": {
                    "data": base64.b64encode(zlib.compress(b"x")).decode(), "origin": [0, 0]}},
                "bitmap is no PNG",
            ),
            ({"geometryType": "polygon", "points": {}}, "malformed polygon"),
            ({"geometryType": "rectangle", "points": {"exterior": []}}, "malformed rectangle"),
        ],
    )  # fmt: skip
    def test_a_bad_outline(self, tmp_path: Path, shape: dict[str, Any], message: str) -> None:
        good = {"classTitle": "dent", "geometryType": "bitmap", "bitmap": bitmap([[1]], 0, 0)}
        bad = {"classTitle": "dent", **shape}
        contents = {"a": {"objects": [good]}, "b": {"objects": [bad]}}
        manifest = import_dataset(data_set(tmp_path, contents), positive="*")
        assert len(manifest.items) == 1
        assert message in manifest.problems[0].reason
        assert "'dent'" in manifest.problems[0].reason

    def test_mixed_labels(self, tmp_path: Path) -> None:
        boxed = {"annotations": [{"label": "dent", "bbox": [1, 1, 3, 2]}]}
        manifest = import_dataset(
            data_set(tmp_path, {"a": boxed, "b": {"labels": ["dent"]}}), positive="*"
        )
        assert load_mask(manifest.items[0], manifest.label_space).sum() == 6
        assert "label 'dent' has no outline, as others have" in manifest.problems[0].reason
        whole = import_dataset(tmp_path, task="classification")
        assert list(classes(whole).values()) == [(0,), (0,)]

    def test_names_and_left_over_files(self, tmp_path: Path) -> None:
        data_set(tmp_path, {"a": {"labels": ["dent"]}, "b": {"labels": ["hole"]}})
        write(tmp_path / "annotations" / "gone.json", {"labels": []})
        manifest = import_dataset(tmp_path, classes=["rust", "dent"])
        assert manifest.label_space.names == ("rust", "dent")
        assert classes(manifest) == {"images/a.png": (1,)}
        assert [str(problem) for problem in manifest.problems] == [
            "annotations/gone.json: an annotation file without a picture of its name",
            "images/b.png: b.json: unknown class 'hole'",
        ]

    def test_nothing_is_named(self, tmp_path: Path) -> None:
        data_set(tmp_path, {"a": {"labels": []}})
        with pytest.raises(DataError, match=r"no annotation file names a class.*data\.classes"):
            import_dataset(tmp_path)
        (tmp_path / "annotations" / "a.json").unlink()
        with pytest.raises(DataError, match="no picture has an annotation file of its name"):
            import_dataset(tmp_path, format="json_per_picture")

"""Class folders with mask files: one foreground, or a class a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faultline.data.importers import import_dataset
from faultline.data.manifest import Manifest
from faultline.data.masks import load_mask
from faultline.errors import ConfigError, DataError, MaskError
from faultline.types import LabelKind


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([*str(path).encode()]).integers(0, 256, (8, 12, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def mask(path: Path, on: int = 255) -> None:
    """A mask whose left half is `on`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((8, 12), np.uint8)
    pixels[:, :6] = on
    Image.fromarray(pixels).save(path)


def tiles(root: Path, on: int = 255) -> None:
    for name in ("MT_Crack", "MT_Break", "MT_Free"):
        picture(root / name / "Imgs" / f"{name}.jpg")
        mask(root / name / "Imgs" / f"{name}.png", 0 if name == "MT_Free" else on)


def truths(manifest: Manifest) -> dict[str, np.ndarray]:
    """Masks by class folder."""
    space = manifest.label_space
    return {Path(item.id).stem: load_mask(item, space) for item in manifest.items}


def test_one_foreground_chosen_by_name(tmp_path: Path) -> None:
    tiles(tmp_path)
    manifest = import_dataset(tmp_path)
    assert manifest.format == "class_masks"
    positive = {item.id.split("/")[0]: item.positive for item in manifest.items}
    assert positive == {"MT_Crack": True, "MT_Break": False, "MT_Free": False}
    shown = {name: truth.any() for name, truth in truths(manifest).items()}
    assert shown == {"MT_Crack": True, "MT_Break": False, "MT_Free": False}
    assert "negatives, whatever they show: MT_Break, MT_Free" in manifest.notes
    every = import_dataset(tmp_path, positive="*")
    assert [item.positive for item in every.items] == [True, True, False]
    with pytest.raises(DataError, match="no class folder matches positive='rust'") as caught:
        import_dataset(tmp_path, positive="rust")
    assert "there are: 'MT_Break', 'MT_Crack', 'MT_Free'" in str(caught.value)
    with pytest.raises(ConfigError, match="one label per pixel"):
        import_dataset(tmp_path, kind="multilabel")


@pytest.mark.parametrize(("on", "rule"), [(255, "auto"), (1, "auto"), (200, "threshold")])
def test_a_class_a_folder(on: int, rule: str, tmp_path: Path) -> None:
    tiles(tmp_path, on)
    manifest = import_dataset(tmp_path, kind="multiclass", positive="*", mask_rule=rule)
    assert manifest.label_space.kind is LabelKind.MULTICLASS
    assert manifest.label_space.names == ("background", "MT_Break", "MT_Crack")
    values = {name: sorted(set(truth.flat)) for name, truth in truths(manifest).items()}
    assert values == {"MT_Break": [0, 1], "MT_Crack": [0, 2], "MT_Free": [0]}
    assert (truths(manifest)["MT_Crack"][:, :6] == 2).all()
    manifest.save(tmp_path / "manifest.jsonl")
    again = truths(Manifest.load(tmp_path / "manifest.jsonl"))
    assert {name: sorted(set(truth.flat)) for name, truth in again.items()} == values


def test_a_class_a_folder_below_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        tiles(tmp_path / split)
    manifest = import_dataset(tmp_path, kind="multiclass", positive="crack")
    assert manifest.label_space.names == ("background", "MT_Crack")
    assert {(item.split, item.positive) for item in manifest.items} == {
        ("train", True), ("train", False), ("valid", True), ("valid", False),
    }  # fmt: skip


def test_no_class_outlines_anything(tmp_path: Path) -> None:
    tiles(tmp_path, 0)
    with pytest.raises(DataError, match="no mask outlines anything"):
        import_dataset(tmp_path, kind="multiclass", positive="*")


def test_folders_without_masks(tmp_path: Path) -> None:
    for name in ("Healthy", "Rust"):
        picture(tmp_path / name / "x.jpg")
    with pytest.raises(DataError, match="no annotation file and no mask for any"):
        import_dataset(tmp_path, format="class_masks")
    manifest = import_dataset(tmp_path, format="pictures")
    assert [item.labelled for item in manifest.items] == [False, False]
    with pytest.raises(MaskError, match="no label"):
        load_mask(manifest.items[0], manifest.label_space)

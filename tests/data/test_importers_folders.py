"""Pictures with mask files: how they are paired, told apart and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from faultline.data.importers import import_dataset
from faultline.data.importers.layout import find_pictures
from faultline.data.manifest import Manifest
from faultline.data.masks import load_mask
from faultline.errors import ConfigError, DataError, MaskError
from faultline.evaluation.doctor.scan import scan_item
from faultline.types import LabelKind

COLOURS = {"leaf": [0, 176, 0], "lesion": [255, 0, 0]}


def picture(path: Path, size: tuple[int, int] = (12, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([*str(path).encode()]).integers(0, 256, (*size[::-1], 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def mask(path: Path, on: Any = 255, size: tuple[int, int] = (12, 8)) -> Path:
    """A mask whose left half is `on`; None leaves it empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size[::-1], 3) if isinstance(on, tuple) else size[::-1]
    pixels = np.zeros(shape, np.uint8)
    if on is not None:
        pixels[:, : size[0] // 2] = on
    Image.fromarray(pixels).save(path)
    return path


def truth(manifest: Manifest, index: int = 0) -> np.ndarray:
    return load_mask(manifest.items[index], manifest.label_space)


HALF = np.repeat([[1] * 6 + [0] * 6], 8, axis=0)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/x.jpg", "masks/x.png"),
        ("images/x.JPG", "labels/x.png"),
        ("Images/x.jpg", "Mask/x_mask.png"),
        ("images/x.png", "annotations/x-mask.png"),
        ("images/x.jpg", "masks/x_seg.bmp"),
        ("images/x.jpg", "masks/x_label.tif"),
        ("images/x.jpg", "masks/x.mask.png"),
        ("images/deep/x.jpg", "masks/deep/x.png"),
        ("x.jpg", "x.png"),
        ("x.png", "x_mask.png"),
        ("x.jpg", "masks/x.png"),
        ("x.jpg", "x__crack.png"),
        ("images/a__b.jpg", "masks/a__b__segment_crack.png"),
    ],
)
def test_pairs_by_name(image: str, label: str, tmp_path: Path) -> None:
    picture(tmp_path / image)
    mask(tmp_path / label)
    manifest = import_dataset(tmp_path)
    assert manifest.format == "masks"
    assert [item.id for item in manifest.items] == [image]
    assert np.array_equal(truth(manifest), HALF)
    assert manifest.items[0].positive is True
    assert manifest.label_space.names == ("crack",)
    assert manifest.problems == []


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("{}/images", "{}/masks"),
        ("images/{}", "masks/{}"),
        ("{}", "{}"),
    ],
)
def test_splits(images: str, masks: str, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        picture(tmp_path / images.format(split) / f"{split}.jpg")
        mask(tmp_path / masks.format(split) / f"{split}_mask.png")
    manifest = import_dataset(tmp_path)
    assert manifest.splits() == ["train", "valid", "test"]
    assert [len(manifest.split(name)) for name in ("train", "val", "test")] == [1, 1, 1]


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "images/x.jpg")
    picture(tmp_path / "images/.ipynb_checkpoints/x.jpg")
    (tmp_path / "images/._x.jpg").write_bytes(b"resource fork")
    mask(tmp_path / "masks/x.png")
    assert len(import_dataset(tmp_path, on_error="raise").items) == 1


def prompted(root: Path) -> None:
    for name in ("a", "b"):
        picture(root / f"images/{name}.jpg")
        mask(root / f"masks/{name}__segment_crack.png")
        mask(root / f"masks/{name}__segment_taping_area.png", None)


def test_prompts_are_chosen_by_positive(tmp_path: Path) -> None:
    prompted(tmp_path)
    assert truth(import_dataset(tmp_path)).any()
    taping = import_dataset(tmp_path, positive="taping area")
    assert not truth(taping).any()
    assert taping.label_space.names == ("taping area",)
    with pytest.raises(DataError, match="no mask prompt matches positive='rust'") as caught:
        import_dataset(tmp_path, positive="rust")
    assert "there are: 'segment crack', 'segment taping area'" in str(caught.value)


def test_several_matching_prompts_of_one_picture_are_a_problem(tmp_path: Path) -> None:
    prompted(tmp_path)
    with pytest.raises(DataError, match=r"several masks: a__segment_crack\.png, a__seg"):
        import_dataset(tmp_path, positive="segment")


def test_a_picture_without_the_chosen_prompt_is_no_negative(tmp_path: Path) -> None:
    prompted(tmp_path)
    (tmp_path / "masks/b__segment_crack.png").unlink()
    manifest = import_dataset(tmp_path)
    assert [item.id for item in manifest.items] == ["images/a.jpg"]
    assert str(manifest.problems[0]) == "images/b.jpg: no mask (only b__segment_taping_area.png)"


def test_missing_masks_and_orphans_are_listed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"images/{name}.jpg")
    mask(tmp_path / "masks/a.png")
    mask(tmp_path / "masks/c.png")
    manifest = import_dataset(tmp_path)
    assert [str(problem) for problem in manifest.problems] == [
        "images/b.jpg: no mask",
        "masks/c.png: a mask without a picture of its name",
    ]
    with pytest.raises(DataError, match=r"2 files cannot be used:\n  images/b\.jpg: no"):
        import_dataset(tmp_path, on_error="raise")


def test_doubtful_pairs_are_listed(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg")
    for name in ("b.jpg", "b.bmp", "c.jpg"):
        picture(tmp_path / "images" / name)
    for name in ("a.png", "b.png", "c.png", "c_mask.png"):
        mask(tmp_path / "masks" / name)
    text = "\n".join(map(str, import_dataset(tmp_path).problems))
    assert "images/b.bmp: shares the mask b.png with b.jpg" in text
    assert "images/b.jpg: shares the mask b.png with b.bmp" in text
    assert "images/c.jpg: several masks: c.png, c_mask.png" in text
    flat = tmp_path / "flat"
    for name in ("p.jpg", "q.bmp"):
        picture(flat / name)
    mask(flat / "p.png")
    mask(flat / "q.png")
    text = "\n".join(map(str, import_dataset(flat).problems))
    assert "q.bmp: may be picture or mask -> put the masks into a folder masks/" in text


def test_mask_of_another_size(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"images/{name}.jpg")
    mask(tmp_path / "masks/a.png")
    mask(tmp_path / "masks/b.png", size=(24, 16))
    (problem,) = import_dataset(tmp_path).problems
    assert str(problem).startswith("images/b.jpg: b.png: the mask is 24x16, its picture 12x8")


def test_one_mask_that_does_not_fit_the_others(tmp_path: Path) -> None:
    for number in range(5):
        picture(tmp_path / f"images/{number}.jpg")
        mask(tmp_path / f"masks/{number}.png", [255, 255, None, 255, 77][number])
    manifest = import_dataset(tmp_path)
    assert "masks are read by the rule binary0255" in manifest.notes
    assert [item.positive for item in manifest.items] == [True, True, False, True]
    assert "images/4.jpg: 4.png: mask values 0, 77 do not fit the rule binary0255" in str(
        manifest.problems[0]
    )


def test_masks_that_fit_no_rule(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg")
    mask(tmp_path / "masks/a.png", 77)
    with pytest.raises(
        MaskError, match=r"a\.png: 1 of 1 masks do not fit one rule; mask values 0, 77"
    ):
        import_dataset(tmp_path)


def test_jpeg_masks(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg", (64, 64))
    mask(tmp_path / "masks/a.jpg", size=(68, 64))
    Image.open(tmp_path / "masks/a.jpg").resize((64, 64)).save(tmp_path / "masks/a.jpg", quality=60)
    with pytest.raises(MaskError) as caught:
        import_dataset(tmp_path)
    assert "JPEG smears the values of a mask: export the masks as PNG" in str(caught.value)
    assert truth(import_dataset(tmp_path, mask_rule="threshold")).mean() == pytest.approx(
        0.5, abs=0.1
    )


def test_colour_masks_need_a_table(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg")
    mask(tmp_path / "masks/a.png", (0, 176, 0))
    with pytest.raises(MaskError) as caught:
        import_dataset(tmp_path)
    assert r"mask colours (0, 0, 0), (0, 176, 0) fit no rule" in str(caught.value)
    assert "give data.mask_colours" in str(caught.value)
    with pytest.raises(MaskError, match="'rgb' needs a colour table"):
        import_dataset(tmp_path, mask_rule="rgb")


def leaves(root: Path) -> None:
    picture(root / "train/images/1.jpg")
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:, 4:], pixels[:, 8:] = COLOURS["leaf"], COLOURS["lesion"]
    (root / "train/masks").mkdir()
    Image.fromarray(pixels).save(root / "train/masks/1_mask.png")


def test_colour_tables(tmp_path: Path) -> None:
    leaves(tmp_path)
    classes = import_dataset(tmp_path, mask_colours=COLOURS)
    assert classes.label_space.kind is LabelKind.MULTICLASS
    assert classes.label_space.names == ("background", "leaf", "lesion")
    assert classes.label_space.colours == ((0, 0, 0), (0, 176, 0), (255, 0, 0))
    assert truth(classes)[0, ::4].tolist() == [0, 1, 2]
    lesion = import_dataset(tmp_path, mask_colours=COLOURS, kind="binary", positive="lesion")
    assert truth(lesion)[0, ::4].tolist() == [0, 0, 1]
    nested = {"leaf": [COLOURS["leaf"], COLOURS["lesion"]], "lesion": COLOURS["lesion"]}
    labels = import_dataset(tmp_path, mask_colours=nested, kind="multilabel")
    assert truth(labels)[:, 0, ::4].tolist() == [[0, 1, 1], [0, 0, 1]]
    unsure = {"leaf": COLOURS["leaf"], "ignore": COLOURS["lesion"]}
    assert truth(import_dataset(tmp_path, mask_colours=unsure))[0, ::4].tolist() == [0, 1, 255]
    with pytest.raises(DataError, match="no usable picture"):
        import_dataset(tmp_path, mask_colours={"leaf": COLOURS["leaf"]})
    with pytest.raises(DataError, match="no colour name of mask_colours matches positive='crack'"):
        import_dataset(tmp_path, mask_colours=COLOURS, kind="binary")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask_colours": {"leaf": [0, 176]}}, r"mask_colours\.leaf=\[0, 176\] is no colour"),
        ({"mask_colours": {"leaf": [0, 176, 256]}}, "is no colour"),
        ({"mask_colours": {"leaf": "green"}}, "'green' is no colour"),
        ({"mask_colours": {"background": [0, 0, 0]}}, "names no class"),
        ({"mask_colours": {"a": [1, 2, 3], "b": [1, 2, 3]}}, r"gives \[1, 2, 3\] to 'a' and 'b'"),
        ({"mask_colours": COLOURS, "mask_rule": "index"}, "does not use mask_colours"),
        ({"kind": "multilabel"}, "several labels per pixel"),
        ({"kind": "multiclass"}, "the classes of index masks have no names"),
        ({"kind": "several"}, "kind='several' is not a choice"),
    ],
)
def test_contradictory_settings(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    leaves(tmp_path)
    with pytest.raises(ConfigError, match=message):
        import_dataset(tmp_path, **settings)


def test_index_masks_with_class_names(tmp_path: Path) -> None:
    for number, value in enumerate((1, 2)):
        picture(tmp_path / f"images/{number}.jpg")
        mask(tmp_path / f"masks/{number}.png", value)
    manifest = import_dataset(tmp_path, classes=["background", "crack", "spall"])
    assert manifest.label_space.kind is LabelKind.MULTICLASS
    assert truth(manifest, 1).max() == 2
    mask(tmp_path / "masks/1.png", 3)
    again = import_dataset(tmp_path, classes=["background", "crack", "spall"])
    assert "mask values 0, 3" in str(again.problems[0])


def test_empty_and_absent_folders(tmp_path: Path) -> None:
    for form in ("auto", "masks", "pictures"):
        with pytest.raises(DataError, match="the folder holds no pictures"):
            import_dataset(tmp_path, format=form)
    with pytest.raises(DataError, match="there is no such folder"):
        import_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot be listed"):
        find_pictures(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file, not a folder"):
        import_dataset(tmp_path / "file")


def both(root: Path, segmentation: list[Any]) -> None:
    import json

    picture(root / "train/images/a.jpg")
    mask(root / "train/masks/a__segment_crack.png")
    value = {
        "images": [{"id": 0, "file_name": "a.jpg", "width": 12, "height": 8}],
        "categories": [{"id": 1, "name": "crack"}],
        "annotations": [
            {
                "id": 0,
                "image_id": 0,
                "category_id": 1,
                "bbox": [0, 0, 12, 8],
                "segmentation": segmentation,
            }
        ],
    }
    (root / "train/images/_annotations.coco.json").write_text(json.dumps(value))


def test_masks_are_preferred_to_coco_boxes(tmp_path: Path) -> None:
    both(tmp_path, [])
    manifest = import_dataset(tmp_path)
    assert manifest.format == "masks"
    assert np.array_equal(truth(manifest), HALF)
    assert manifest.notes[0] == (
        "labels: mask files; COCO (train/images/_annotations.coco.json) has only boxes "
        "(data.format=coco uses them)"
    )
    assert truth(import_dataset(tmp_path, format="coco")).all()


def test_coco_outlines_are_preferred_to_masks(tmp_path: Path) -> None:
    both(tmp_path, [[0, 0, 12, 0, 12, 2, 0, 2]])
    manifest = import_dataset(tmp_path)
    assert manifest.format == "coco"
    assert truth(manifest).sum() == 24
    assert manifest.notes[0].startswith(
        "labels: COCO (train/images/_annotations.coco.json); the mask"
    )
    assert np.array_equal(truth(import_dataset(tmp_path, format="masks")), HALF)


def test_a_scan_decodes_everything(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"images/{name}.png", (64, 64))
        mask(tmp_path / f"masks/{name}.png", size=(64, 64))
    manifest = import_dataset(tmp_path)

    def errors():
        return [scan_item(item, manifest.label_space).error for item in manifest.items]

    assert errors() == [None] * 3
    damaged = bytearray((tmp_path / "images/a.png").read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    (tmp_path / "images/a.png").write_bytes(bytes(damaged))
    picture(tmp_path / "images/b.png", (32, 32))
    mask(tmp_path / "masks/c.png", 9, (64, 64))
    found = [str(error) for error in errors()]
    assert "cannot be decoded" in found[0]
    assert "the picture is 32x32 pixels, the import saw 64x64" in found[1]
    assert "mask values 0, 9" in found[2]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "settings", "counts"),
    [
        ("cracks-road", {}, {"train": 60, "valid": 12}),
        ("cracks-wall", {}, {"train": 480, "valid": 120}),
        ("drywall-seams", {"positive": "taping"}, {"train": 317, "valid": 21}),
        ("drywall-seams", {"positive": "join", "format": "coco"}, {"train": 317, "valid": 21}),
        ("coffee-leaf", {"mask_colours": COLOURS}, {"train": 224, "valid": 50}),
        ("magnetic-tile", {"positive": "*", "mask_rule": "threshold"}, {None: 600}),
    ],
)
def test_real_data_sets(
    shared_data: Path, name: str, settings: dict[str, Any], counts: dict[str | None, int]
) -> None:
    manifest = import_dataset(shared_data / name, on_error="raise", **settings)
    assert {split: len(manifest.split(split)) for split in counts} == counts
    assert sum(counts.values()) == len(manifest.items)
    for item in manifest.items[::25]:
        assert scan_item(item, manifest.label_space).error is None

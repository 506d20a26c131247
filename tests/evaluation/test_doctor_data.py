from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from evaluation_samples import Picture, draw, write_coco
from PIL import Image

from faultline.data.images import read_image
from faultline.data.importers import import_dataset
from faultline.data.manifest import Manifest
from faultline.errors import OutputError
from faultline.evaluation.doctor.data import data_check
from faultline.evaluation.doctor.report import DoctorReport, Finding

SIZE = (160, 120)


def cracks(start: int, count: int, **settings: Any) -> list[Picture]:
    return [
        draw(f"p{seed:03}.png", seed, **{"size": SIZE, **settings})
        for seed in range(start, start + count)
    ]


def data_set(root: Path, **splits: Sequence[Picture]) -> Manifest:
    for name, pictures in splits.items():
        write_coco(root, name, pictures)
    return import_dataset(root)


def codes(report: DoctorReport, level: str | None = None) -> set[str]:
    return {entry.code for entry in report.findings if level in (None, entry.level)}


def found(report: DoctorReport, code: str) -> Finding:
    return next(entry for entry in report.findings if entry.code == code)


def check(manifest: Manifest, **settings: Any) -> DoctorReport:
    return data_check(manifest, **{"near_duplicates": False, "workers": 2, **settings})


def test_sound_data_passes(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    manifest = data_set(tmp_path, train=cracks(0, 3), valid=cracks(10, 2))
    report = data_check(manifest, workers=2, progress=lambda *at: calls.append(at))
    assert codes(report, "error") == set()
    assert codes(report, "warning") == set()
    assert report.exit_code == 0
    assert calls[-1] == (5, 5)
    assert report.facts["splits"]["train"]["items"] == 3
    assert report.facts["splits"]["train"]["label_width"] == pytest.approx(3, abs=0.6)
    share = np.mean([picture.mask.mean() for picture in cracks(0, 3)])
    assert report.facts["splits"]["train"]["positive_share"] == pytest.approx(share)
    table = next(table for table in report.tables if table.title == "Splits")
    assert table.rows[0][:5] == ("train", "3", "3", "0", "160x120")


def test_same_file_in_two_splits(tmp_path: Path) -> None:
    shared = cracks(0, 2)
    manifest = data_set(tmp_path, train=[*shared, *cracks(5, 1)], test=[shared[0]])
    report = check(manifest, output_dir=tmp_path / "out")
    assert report.exit_code == 1
    finding = found(report, "duplicates-across-splits")
    assert finding.files == ("test/p000.png = train/p000.png",)
    assert "1 pair of equal files across test and train" in finding.message
    assert report.contact_sheet is not None
    assert read_image(tmp_path / "out" / "duplicates.png").shape == (258, 428, 3)


def test_altered_copy_in_two_splits(tmp_path: Path) -> None:
    # Texture, as photographs have it: a second opinion needs details to hold on to.
    random = np.random.default_rng(5)
    blobs = cv2.GaussianBlur(random.normal(0, 60, (240, 320)).astype(np.float32), (0, 0), 3)
    picture = draw("a.png", 1, size=(320, 240))
    image = np.clip(picture.image + 4 * blobs[..., None], 0, 255).astype(np.uint8)
    copy = np.clip(image[:, ::-1].astype(float) * 0.8 + 10, 0, 255).astype(np.uint8)
    manifest = data_set(
        tmp_path,
        train=[Picture("a.png", image, picture.mask), *cracks(5, 1)],
        test=[Picture("b.png", copy, picture.mask[:, ::-1])],
    )
    report = data_check(manifest, workers=2)
    assert codes(report, "error") == {"near-duplicates-across-splits"}
    assert (
        "test/b.png = train/a.png (distance 0.0"
        in found(report, "near-duplicates-across-splits").files[0]
    )
    assert check(manifest).exit_code == 0


def test_look_alikes_are_only_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faultline.data.duplicates import DuplicatePair
    from faultline.evaluation.doctor import pairs

    manifest = data_set(tmp_path, train=cracks(0, 2), valid=cracks(10, 1))
    items = sorted(manifest.items, key=lambda item: item.id)
    alike = [DuplicatePair(items[0], items[2], 0.08, False),
             DuplicatePair(items[0], items[1], 0.09, False)]  # fmt: skip
    monkeypatch.setattr(pairs, "find_duplicates", lambda *_: alike)
    report = data_check(manifest, workers=2)
    assert report.exit_code == 0
    assert found(report, "possible-duplicates-across-splits").level == "warning"
    assert found(report, "possible-duplicates-within-split").level == "info"
    assert report.facts["duplicates"]["possible"] == 2


def test_copies_within_a_split(tmp_path: Path) -> None:
    original, other = cracks(0, 2)
    copy = Picture("copy.png", original.image, original.mask)
    wrong = Picture("wrong.png", other.image, np.zeros_like(other.mask))
    report = check(data_set(tmp_path, train=[original, copy, other, wrong]))
    assert found(report, "duplicates-within-split").level == "warning"
    contradiction = found(report, "labels-contradict")
    assert contradiction.level == "error"
    assert contradiction.files == ("train/p001.png = train/wrong.png",)


def test_augmented_copies_of_one_group(tmp_path: Path) -> None:
    first, second, third = cracks(0, 3)
    together = data_set(
        tmp_path / "together",
        train=[Picture("x.rf.1.png", first.image, first.mask),
               Picture("x.rf.2.png", first.image, first.mask), third],
        valid=[second],
    )  # fmt: skip
    assert check(together).exit_code == 0
    assert check(together).facts["duplicates"]["same_group"] == 1
    cut = data_set(
        tmp_path / "cut",
        train=[Picture("x.rf.1.png", first.image, first.mask), third],
        valid=[Picture("x.rf.2.png", second.image, second.mask)],
    )
    report = check(cut)
    assert codes(report, "error") == {"groups-cut"}
    assert "train 1, valid 1" in found(report, "groups-cut").files[0]


def test_no_positives_in_a_split(tmp_path: Path) -> None:
    report = check(data_set(tmp_path, train=cracks(0, 2), valid=cracks(5, 2, lines=0)))
    assert codes(report, "error") == {"no-positives"}
    assert "Not one positive pixel in valid (2 pictures)" in found(report, "no-positives").message


def test_empty_labels_are_counted(tmp_path: Path) -> None:
    report = check(data_set(tmp_path, train=[*cracks(0, 3), *cracks(5, 1, lines=0)]))
    finding = found(report, "empty-labels")
    assert finding.level == "info"
    assert finding.message.startswith("Empty labels in train: 1 (25 %).")
    assert finding.files == ("train/p005.png",)


def test_class_missing_from_a_split(tmp_path: Path) -> None:
    for split, classes in (("train", (1, 2)), ("valid", (1, 1))):
        for part in ("images", "masks"):
            (tmp_path / split / part).mkdir(parents=True)
        for picture, label in zip(cracks(10 * max(classes), 2), classes, strict=True):
            Image.fromarray(picture.image).save(tmp_path / split / "images" / picture.name)
            Image.fromarray(picture.mask * np.uint8(label)).save(
                tmp_path / split / "masks" / picture.name
            )
    manifest = import_dataset(
        tmp_path, mask_rule="index", kind="multiclass", positive="*",
        classes=("background", "crack", "hole"),
    )  # fmt: skip
    report = check(manifest)
    assert found(report, "class-missing").message == "valid shows none of: hole."
    assert report.exit_code == 0


def test_filled_boxes(tmp_path: Path) -> None:
    pictures = cracks(0, 3)
    for picture in pictures:
        picture.mask[:] = 0
        picture.mask[20:50, 30:90] = 1
    report = check(data_set(tmp_path, train=pictures))
    assert found(report, "box-labels").message.startswith("Labels that are filled boxes: 3 of 3")
    assert "labels-too-wide" not in codes(report)


def test_straight_lines_are_no_boxes(tmp_path: Path) -> None:
    pictures = cracks(0, 3)
    for picture in pictures:
        picture.mask[:] = 0
        picture.mask[60:63, 10:150] = 1
    assert "box-labels" not in codes(check(data_set(tmp_path, train=pictures)))


def test_labels_painted_too_wide(tmp_path: Path) -> None:
    wide = data_set(tmp_path / "wide", train=cracks(0, 4, width=2, label_width=10))
    finding = found(check(wide), "labels-too-wide")
    assert finding.level == "warning"
    assert len(finding.files) == 4
    true = data_set(tmp_path / "true", train=cracks(0, 4, width=10))
    assert "labels-too-wide" not in codes(check(true))
    # Nothing dark under the label: then nothing is known of the width of the line.
    faint = data_set(tmp_path / "faint", train=cracks(0, 4, width=2, label_width=10, contrast=3))
    assert "labels-too-wide" not in codes(check(faint))


def test_widths_that_differ_between_splits(tmp_path: Path) -> None:
    report = check(data_set(tmp_path, train=cracks(0, 3, width=9), valid=cracks(5, 3, width=3)))
    assert found(report, "widths-differ").message.startswith("Labels of train are ")


def test_inverted_masks(tmp_path: Path) -> None:
    pictures = [Picture(entry.name, entry.image, 1 - entry.mask) for entry in cracks(0, 3)]
    report = check(data_set(tmp_path, train=pictures))
    assert found(report, "mostly-positive").level == "error"
    assert "exchanged" in found(report, "mostly-positive").message


def test_broken_pixels_behind_a_sound_header(tmp_path: Path) -> None:
    manifest = data_set(tmp_path, train=cracks(0, 3))
    path = manifest.items[1].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    report = check(manifest)
    assert report.exit_code == 1
    assert found(report, "undecodable").files[0].startswith("train/p001.png: ")


def test_picture_changed_after_the_import(tmp_path: Path) -> None:
    manifest = data_set(tmp_path, train=cracks(0, 2))
    Image.new("RGB", (50, 40)).save(manifest.items[0].path)
    assert "50x40 pixels, the import saw 160x120" in found(check(manifest), "undecodable").files[0]


def test_files_that_the_import_left_out(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", cracks(0, 3))
    (tmp_path / "train" / "p001.png").write_bytes(b"")
    report = check(import_dataset(tmp_path))
    assert codes(report, "error") == {"unusable-files"}
    assert "p001.png" in found(report, "unusable-files").files[0]


def test_small_pictures(tmp_path: Path) -> None:
    report = check(data_set(tmp_path, train=[*cracks(0, 2), *cracks(3, 1, size=(60, 50))]))
    assert found(report, "small-pictures").files == ("train/p003.png (60x50)",)


def test_unlabelled_pictures(tmp_path: Path) -> None:
    for picture in cracks(0, 2):
        Image.fromarray(picture.image).save(tmp_path / picture.name)
    report = check(import_dataset(tmp_path, format="pictures"))
    assert found(report, "unlabelled").message.startswith("Pictures without a label: 2.")
    assert report.exit_code == 0


def test_written_report(tmp_path: Path) -> None:
    shared = cracks(0, 2)
    manifest = data_set(tmp_path / "<set>", train=shared, test=[shared[0]])
    check(manifest, output_dir=tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "doctor.json").read_text())
    assert saved["exit_code"] == 1
    assert saved["findings"][0]["level"] == "error"
    page = (tmp_path / "out" / "doctor.html").read_text()
    assert "data:image/jpeg;base64," in page
    assert "<set>" not in page
    assert "{{" not in page
    assert "http" not in page
    assert "Do not train on this yet" in page


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    manifest = data_set(tmp_path / "set", train=cracks(0, 2))
    with pytest.raises(OutputError):
        check(manifest, output_dir=tmp_path / "file" / "out")

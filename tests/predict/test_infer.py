from __future__ import annotations

import csv
import errno
import gc
import itertools
import json
import os
import threading
import time
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from faultline.errors import ConfigError, DataError, OutputError
from faultline.predict import answering
from faultline.predict.infer import infer
from faultline.predict.options import InferOptions
from faultline.predict.overlay import draw_overlay
from faultline.predict.predictor import Predictor
from faultline.predict.submission import write_submission
from faultline.types import LabelKind


def rows(save: Path, name: str = "measurements.csv") -> list[dict[str, str]]:
    with (save / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def names(save: Path) -> list[str]:
    return sorted(p.relative_to(save).as_posix() for p in save.rglob("*.png"))


@pytest.fixture
def photos(tmp_path: Path, cracked, save_image) -> Path:
    folder = tmp_path / "photos"
    for index in range(4):
        save_image(folder / f"{index}.png", cracked(40 + index, 60))
    return folder


def test_results_of_one_picture(predictor: Predictor, tmp_path: Path, cracked, save_image) -> None:
    image = cracked()
    source = save_image(tmp_path / "wall.png", image)
    summary = infer(predictor, source, tmp_path / "out", InferOptions(mm_per_px=0.5))
    assert names(tmp_path / "out") == ["wall_mask.png", "wall_overlay.png"]
    mask = cv2.imread(str(tmp_path / "out" / "wall_mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint8
    assert_array_equal(mask, np.where(image[..., 0] == 0, 255, 0))
    overlay = cv2.cvtColor(
        cv2.imread(str(tmp_path / "out" / "wall_overlay.png")), cv2.COLOR_BGR2RGB
    )
    space = predictor.bundle.label_space
    assert_array_equal(overlay, draw_overlay(image, (mask > 0).view(np.uint8), space))
    (row,) = rows(tmp_path / "out")
    assert row["file"] == str(source)
    assert row["mask"] == "wall_mask.png"
    assert float(row["crack_share"]) == pytest.approx(60 / 2400)
    assert row["components"] == "1"
    assert float(row["max_width_px"]) == 3
    assert float(row["max_width_mm"]) == 1.5
    assert float(row["length_px"]) == pytest.approx(20, abs=2.5)
    assert float(row["threshold"]) == 0.5
    assert float(row["time_ms"]) > 0
    assert row["error"] == ""
    assert (summary.total, summary.written, summary.failed) == (1, 1, [])
    assert summary.table == tmp_path / "out" / "measurements.csv"
    record = json.loads((tmp_path / "out" / "infer.json").read_text())
    assert record["complete"] is True
    assert record["settings"]["maker"] == predictor.bundle.fingerprint
    assert record["made_with"] == row["made_with"]


def test_bad_pictures_are_listed_and_the_rest_goes_on(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    (photos / "1.png").write_bytes(b"")
    (photos / "2.png").write_bytes((photos / "3.png").read_bytes()[:60])
    calls: list[tuple[int, int]] = []
    summary = infer(
        predictor, photos, tmp_path / "out", progress=lambda done, all_: calls.append((done, all_))
    )
    table = rows(tmp_path / "out")
    assert [Path(row["file"]).name for row in table] == ["0.png", "1.png", "2.png", "3.png"]
    assert [bool(row["error"]) for row in table] == [False, True, True, False]
    assert table[1]["mask"] == table[1]["crack_share"] == table[1]["threshold"] == ""
    assert [Path(file).name for file, _ in summary.failed] == ["1.png", "2.png"]
    assert all(reason for _, reason in summary.failed)
    assert summary.written == 2
    assert calls == [(n, 4) for n in range(1, 5)]
    record = json.loads((tmp_path / "out" / "infer.json").read_text())
    assert len(record["summary"]["failed"]) == 2


def test_overlays_can_be_left_out_and_panels_added(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    infer(predictor, photos / "0.png", tmp_path / "a", InferOptions(overlays=False))
    assert names(tmp_path / "a") == ["0_mask.png"]
    infer(predictor, photos / "0.png", tmp_path / "b", InferOptions(panels=True))
    assert names(tmp_path / "b") == ["0_mask.png", "0_overlay.png", "0_panel.png"]


@pytest.mark.parametrize("kind", [LabelKind.MULTICLASS, LabelKind.MULTILABEL])
def test_masks_of_several_classes(kind: LabelKind, make_bundle, photos: Path, tmp_path) -> None:
    predictor = Predictor(make_bundle("local", kind), device="cpu", precision="fp32")
    infer(predictor, photos / "0.png", tmp_path / "out", InferOptions(overlays=False))
    expected = predictor.predict(answering.read_image(photos / "0.png"))
    mask = cv2.imread(str(tmp_path / "out" / "0_mask.png"), cv2.IMREAD_UNCHANGED)
    row = rows(tmp_path / "out")[0]
    stained = expected.mask == 2 if kind is LabelKind.MULTICLASS else expected.mask[2]
    assert float(row["stain_share"]) == pytest.approx(stained.mean(), abs=1e-6)
    assert int(row["stain_components"]) >= 0
    if kind is LabelKind.MULTICLASS:
        assert_array_equal(mask, expected.mask)
        return
    assert_array_equal(mask, expected.foreground * 255)
    stain = cv2.imread(str(tmp_path / "out" / "0_stain_mask.png"), cv2.IMREAD_UNCHANGED)
    assert_array_equal(stain, expected.mask[2] * 255)


def test_masks_of_classes_and_of_pictures_called_alike(
    make_bundle, photos: Path, tmp_path: Path
) -> None:
    (photos / "0_stain.png").write_bytes((photos / "1.png").read_bytes())
    predictor = Predictor(make_bundle("local", LabelKind.MULTILABEL), device="cpu")
    infer(predictor, photos, tmp_path / "out", InferOptions(overlays=False))
    masks = [p for p in names(tmp_path / "out") if p.endswith("_mask.png")]
    classes = len(predictor.bundle.label_space.names)
    assert len(masks) == 5 * (1 + classes)
    one, other = (tmp_path / "out" / f"{name}_mask.png" for name in ("0_stain", "0_stain_png"))
    assert cv2.imread(str(one)).shape != cv2.imread(str(other)).shape


def test_labels_beside_the_pictures_are_kept(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    (photos / "2_mask.png").write_bytes(b"a label")
    with pytest.raises(OutputError, match="may be a label -> give another folder"):
        infer(predictor, photos, photos)
    assert (photos / "2_mask.png").read_bytes() == b"a label"
    (photos / "2_mask.png").unlink()
    assert infer(predictor, photos, photos).written == 4
    assert infer(predictor, photos, photos).written == 4, "its own results are written again"


def test_a_submission_names_folders_and_leaves_failures_out(
    predictor: Predictor, photos: Path, tmp_path: Path, cracked, save_image
) -> None:
    for name in ("a/1.png", "b/1.png", "b/2.png"):
        save_image(tmp_path / "new" / name, cracked())
    inputs, space = [str(tmp_path / "new")], predictor.bundle.label_space
    infer(predictor, inputs, tmp_path / "out")
    path = write_submission(inputs, tmp_path / "out", space)
    assert [row["ImageId"] for row in rows(path.parent, path.name)] == [
        "a/1.png",
        "b/1.png",
        "2.png",
    ]
    write_submission(inputs, tmp_path / "out", space, {str(tmp_path / "new" / "b" / "1.png")})
    assert [row["ImageId"] for row in rows(path.parent, path.name)] == ["a/1.png", "2.png"]


def test_batches_give_the_same_results(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    (photos / "bad.png").write_bytes(b"x")
    sizes: list[int] = []
    predict = predictor.predict_batch
    predictor.predict_batch = lambda images: sizes.append(len(images)) or predict(images)  # type: ignore[method-assign]
    for name in "abcd":
        (photos / f"same-{name}.png").write_bytes((photos / "0.png").read_bytes())
    infer(predictor, photos, tmp_path / "one")
    assert set(sizes) == {1}
    sizes.clear()
    infer(predictor, photos, tmp_path / "many", InferOptions(batch_size=3))
    assert max(sizes) == 3
    for first, second in zip(rows(tmp_path / "one"), rows(tmp_path / "many"), strict=True):
        assert {**first, "time_ms": ""} == {**second, "time_ms": ""}


def test_pictures_that_do_not_fit_in_memory(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    (photos / "0b.png").write_bytes((photos / "0.png").read_bytes())
    predict = predictor.predict_batch

    def cramped(images: list[np.ndarray]) -> object:
        if len(images) > 1 or images[0].shape[0] > 41:
            raise torch.OutOfMemoryError("no room")
        return predict(images)

    predictor.predict_batch = cramped  # type: ignore[method-assign,assignment]
    summary = infer(predictor, photos, tmp_path / "out", InferOptions(batch_size=2))
    assert summary.written == 3
    assert [Path(file).name for file, _ in summary.failed] == ["2.png", "3.png"]
    assert "not enough memory for 60x42 pixels" in summary.failed[0][1]


def test_memory_that_ran_out_on_a_cpu_is_no_defect_of_the_program(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    def cramped(images: list[np.ndarray]) -> object:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    predictor.predict_batch = cramped  # type: ignore[method-assign,assignment]
    summary = infer(predictor, photos, tmp_path / "out")
    assert summary.written == 0
    assert "not enough memory for 60x40 pixels" in summary.failed[0][1]


def test_unwritable_output(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for save in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="choose another output folder"):
            infer(predictor, photos, save)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("broken", ["replace", "open"])
def test_a_full_disk_stops_with_one_error_and_keeps_what_was_there(
    broken: str, predictor: Predictor, photos: Path, tmp_path: Path, monkeypatch
) -> None:
    save = tmp_path / "out"
    infer(predictor, photos, save)
    before = {path.name: path.read_bytes() for path in save.iterdir()}
    replace, count = os.replace, itertools.count()

    def full(source: str, target: str) -> None:
        if str(target).endswith("_mask.png") and next(count) > 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    def cannot_open(path: Path, mode: str = "r", **settings: object) -> object:
        if "x" in mode and next(count) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, **settings)

    opened = Path.open
    with monkeypatch.context() as patch:
        if broken == "replace":
            patch.setattr(os, "replace", full)
        else:
            patch.setattr(Path, "open", cannot_open)
        with pytest.raises(OutputError, match="No space left"):
            infer(predictor, photos, save)
    after = {path.name: path.read_bytes() for path in save.iterdir()}
    after.pop("measurements.csv.part")
    assert json.loads(after.pop("infer.json"))["complete"] is False
    assert after == {name: data for name, data in before.items() if name != "infer.json"}
    assert threading.active_count() < 10


def test_ctrl_c_keeps_what_is_written_and_skip_existing_goes_on(
    predictor: Predictor, tmp_path: Path, cracked, save_image
) -> None:
    photos, save = tmp_path / "photos", tmp_path / "out"
    for index in range(20):
        save_image(photos / f"{index:02}.png", cracked())

    def stop(done: int, _: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        infer(predictor, photos, save, progress=stop)
    assert not (save / "measurements.csv").exists()
    finished = rows(save, "measurements.csv.part")
    assert 7 <= len(finished) <= 15
    assert {f"{Path(row['file']).stem}_mask.png" for row in finished} == {
        name for name in names(save) if name.endswith("_mask.png")
    }
    assert all(cv2.imread(str(save / name)) is not None for name in names(save))
    stamps = {name: (save / name).stat().st_mtime_ns for name in names(save)}
    summary = infer(predictor, photos, save, InferOptions(skip_existing=True))
    assert (summary.skipped, summary.written) == (len(finished), 20 - len(finished))
    assert len({row["file"] for row in rows(save)}) == len(rows(save)) == 20
    assert all((save / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    assert not (save / "measurements.csv.part").exists()
    assert infer(predictor, photos, save, InferOptions(skip_existing=True)).skipped == 20


def test_skip_existing_does_again_what_no_longer_holds(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    save = tmp_path / "out"
    again = InferOptions(skip_existing=True)
    (photos / "3.png").write_bytes(b"broken")
    assert infer(predictor, photos, save, again).written == 3
    assert infer(predictor, photos, save, again).skipped == 3
    (save / "0_overlay.png").unlink()
    future = time.time() + 5
    os.utime(photos / "1.png", (future, future))
    os.utime(save / "2_mask.png", (future, future))
    assert infer(predictor, photos, save, again).written == 3
    os.utime(photos / "1.png", (1, 1))
    infer(predictor, photos, save)
    other = Predictor(predictor.bundle, device="cpu", precision="fp32", threshold=0.9)
    assert infer(other, photos, save, again).written == 3
    assert infer(predictor, photos, save, InferOptions(skip_existing=True, min_size=1)).skipped == 0


def test_a_damaged_table_of_an_earlier_call_is_survived(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    save = tmp_path / "out"
    infer(predictor, photos, save)
    data = (save / "measurements.csv").read_bytes()
    (save / "measurements.csv").write_bytes(data[:-20])
    assert infer(predictor, photos, save, InferOptions(skip_existing=True)).skipped == 3
    (save / "measurements.csv").write_bytes(b"\xff\xfe\x00junk\n,,,\n")
    assert infer(predictor, photos, save, InferOptions(skip_existing=True)).written == 4


def test_odd_file_names(predictor: Predictor, tmp_path: Path, cracked, save_image) -> None:
    photos = tmp_path / "photos"
    odd = ["a,b.png", 'say "crack".png', "line\nbreak.png", "Ärger 壁.png", "two\u2028parts.png"]
    for name in odd:
        save_image(photos / "x.png", cracked()).rename(photos / name)
    infer(predictor, photos, tmp_path / "out")
    assert {Path(row["file"]).name for row in rows(tmp_path / "out")} == set(odd)
    again = infer(predictor, photos, tmp_path / "out", InferOptions(skip_existing=True))
    assert again.skipped == len(odd)


def test_long_file_names_leave_room_for_endings(
    predictor: Predictor, tmp_path: Path, cracked, save_image
) -> None:
    photos, save = tmp_path / "photos", tmp_path / "out"
    for name in ("x" * 250 + "1.png", "x" * 250 + "2.png", "\u00e9" * 125 + ".png"):
        save_image(photos / "1.png", cracked()).rename(photos / name)
    assert infer(predictor, photos, save, InferOptions(panels=True)).written == 3
    assert len(names(save)) == 9
    assert infer(predictor, photos, save, InferOptions(skip_existing=True)).skipped == 3


def test_file_names_that_are_no_text(predictor: Predictor, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / os.fsdecode(b"bad\xff.png")).write_bytes(b"not a picture")
    summary = infer(predictor, photos, tmp_path / "out")
    assert len(summary.failed) == 1
    record = json.loads((tmp_path / "out" / "infer.json").read_text(encoding="utf-8"))
    assert "bad" in record["summary"]["failed"][0]["file"]


def test_no_more_pictures_live_than_the_queues_hold(
    predictor: Predictor, tmp_path: Path, monkeypatch, cracked
) -> None:
    lock = threading.Lock()

    def peak(count: int) -> int:
        live, most = 0, 0

        def gone() -> None:
            nonlocal live
            with lock:
                live -= 1

        def decode(path: Path) -> np.ndarray:
            nonlocal live, most
            image = cracked()
            with lock:
                live += 1
                most = max(most, live)
            weakref.finalize(image, gone)
            return image

        monkeypatch.setattr(answering, "read_image", decode)
        folder = tmp_path / str(count)
        folder.mkdir()
        for index in range(count):
            (folder / f"{index}.png").touch()
        infer(predictor, folder, tmp_path / f"out{count}", InferOptions(overlays=False))
        gc.collect()
        assert live == 0
        return most

    assert peak(15) <= 10
    assert peak(80) <= 10


def test_no_pictures(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures found"):
        infer(predictor, tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="does not exist"):
        infer(predictor, tmp_path / "x", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_impossible_options() -> None:
    for settings in ({"min_size": 0}, {"workers": 0}, {"batch_size": 0}, {"mm_per_px": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            InferOptions(**settings)  # type: ignore[arg-type]

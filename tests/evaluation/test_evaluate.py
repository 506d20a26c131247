from __future__ import annotations

import csv
import errno
import json
import math
import os
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_samples import CRACK, dark_bundle, draw, write_coco
from PIL import Image

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import Threshold
from faultline.data.images import read_image
from faultline.data.importers import import_dataset
from faultline.data.manifest import Manifest
from faultline.data.masks import load_mask
from faultline.errors import ConfigError, DataError, LeakageError, OutputError
from faultline.evaluation.evaluate import evaluate
from faultline.evaluation.segmentation import nothing_to_find
from faultline.metrics.confusion import BinaryCounts, count_binary
from faultline.predict.predictor import Predictor
from faultline.types import LabelKind, LabelSpace


def make_set(folder: Path) -> Manifest:
    """Four cracks, of which one is too faint to be found, one wide label and one clean surface."""
    pictures = [
        draw("a.png", 1),
        draw("b.png", 2, lines=2),
        draw("faint.png", 3, contrast=25),
        draw("wide.png", 4, width=3, label_width=7),
        draw("clean.png", 5, lines=0),
    ]
    # A dark spot that is no crack: the false alarm on a clean surface.
    pictures[4].image[10:14, 10:20] = 40
    return import_dataset(write_coco(folder / "cracks", "test", pictures))


@pytest.fixture
def test_set(tmp_path: Path) -> Manifest:
    return make_set(tmp_path)


@dataclass(frozen=True)
class Evaluated:
    manifest: Manifest
    folder: Path
    results: dict[str, Any]
    calls: list[tuple[int, int]]
    page: str


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, _dark_model: None) -> Evaluated:
    """One evaluation that several tests look at."""
    folder = tmp_path_factory.mktemp("evaluated")
    manifest = make_set(folder)
    calls: list[tuple[int, int]] = []
    results = run(
        dark_bundle(), manifest, folder / "out", progress=lambda *at: calls.append(at), overlays=3
    )
    page = (folder / "out" / "report.html").read_text()
    return Evaluated(manifest, folder / "out", results, calls, page)


def run(bundle: Bundle, manifest: Manifest, folder: Path, **settings: Any) -> dict[str, Any]:
    settings = {"precision": "fp32", "resamples": 50, **settings}
    return evaluate(bundle, manifest.items, manifest.label_space, folder, **settings)


def test_writes_everything(evaluated: Evaluated) -> None:
    out, results = evaluated.folder, evaluated.results
    assert evaluated.calls == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert sorted(path.name for path in (out / "plots").iterdir()) == [
        "pr.png", "reliability.png", "scores.png", "threshold.png",
    ]  # fmt: skip
    drawn = sorted(path.name for path in (out / "overlays").iterdir())
    assert [name.split("-")[0] for name in drawn] == ["best", "median", "worst"]
    assert sorted(results["files"]["overlays"]) == [f"overlays/{name}" for name in drawn]
    saved = json.loads((out / "metrics_test.json").read_text())
    assert saved["pooled"]["iou"]["value"] == pytest.approx(results["pooled"]["iou"]["value"])
    assert saved["images"] == 5
    assert saved["data"]["fingerprint"] == evaluated.manifest.fingerprint()
    assert saved["bundle"]["fingerprint"] == dark_bundle().fingerprint
    assert saved["threshold"]["origin"] == "tuned on validation"
    assert saved["problems"] == []
    assert not list(out.rglob(".*"))  # no temporary file is left


def test_numbers_are_those_of_the_predictor(evaluated: Evaluated) -> None:
    predictor = Predictor(dark_bundle(), precision="fp32")
    results, space = evaluated.results, evaluated.manifest.label_space
    counts = {
        item.id: count_binary(predictor.predict(read_image(item.path)).mask, load_mask(item, space))
        for item in evaluated.manifest.items
    }
    total = sum(counts.values(), BinaryCounts())
    assert results["pooled"]["iou"]["value"] == total.iou
    assert results["pooled"]["recall"]["value"] == total.recall
    ious = [count.iou for count in counts.values()]
    assert results["per_image"]["iou"]["value"] == pytest.approx(np.nanmean(ious))
    assert results["clean"]["images"] == 1
    assert results["clean"]["painted_images"] == 1
    rows = list(csv.DictReader((evaluated.folder / "per_image.csv").read_text().splitlines()))
    assert {row["id"]: float(row["iou"]) for row in rows} == pytest.approx(
        {name: count.iou for name, count in counts.items()}, rel=1e-5
    )


def test_refuses_images_that_were_seen(test_set: Manifest, tmp_path: Path) -> None:
    seen = {"weights": [test_set.items[1].sha256]}
    with pytest.raises(LeakageError, match=r"the weights saw 1 of them \(b\.png\)"):
        run(dark_bundle(seen=seen), test_set, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_refuses_groups_of_its_own_data_set(test_set: Manifest, tmp_path: Path) -> None:
    bundle = dark_bundle(groups={"weights": [test_set.items[0].group]})
    with pytest.raises(LeakageError, match=r"a\.png"):
        run(bundle, test_set, tmp_path, same_data_set=True)
    assert run(bundle, test_set, tmp_path)["images"] == 5


def test_threshold_by_hand_is_recorded(test_set: Manifest, tmp_path: Path) -> None:
    results = run(dark_bundle(), test_set, tmp_path, threshold=0.4)
    assert results["threshold"]["value"] == 0.4
    assert results["threshold"]["origin"] == "set by hand"
    assert "0.400, set by hand" in (tmp_path / "report.html").read_text()


def test_untuned_threshold_is_said(test_set: Manifest, tmp_path: Path) -> None:
    results = run(dark_bundle(threshold=Threshold()), test_set, tmp_path)
    assert results["threshold"]["origin"] == "default, not tuned"
    assert "nobody tuned" in (tmp_path / "report.html").read_text()


def test_bad_images_are_listed_and_the_rest_goes_on(test_set: Manifest, tmp_path: Path) -> None:
    path = test_set.items[0].path
    path.write_bytes(path.read_bytes()[:200])
    Image.new("RGB", (50, 50)).save(test_set.items[1].path)
    results = run(dark_bundle(), test_set, tmp_path / "out")
    assert results["images"] == 3
    files = [problem["file"] for problem in results["problems"]]
    assert files == [test_set.items[0].id, test_set.items[1].id]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "2 files had to be left out" in page
    assert test_set.items[1].id in page


def test_nothing_to_score(test_set: Manifest, tmp_path: Path) -> None:
    for item in test_set.items:
        item.path.write_bytes(b"")
    with pytest.raises(DataError, match="none of 5 images could be scored"):
        run(dark_bundle(), test_set, tmp_path)
    with pytest.raises(DataError, match="there are no images"):
        evaluate(dark_bundle(), [], CRACK, tmp_path)


def test_other_classes_are_refused(test_set: Manifest, tmp_path: Path) -> None:
    space = LabelSpace(LabelKind.MULTILABEL, ("crack", "hole"))
    with pytest.raises(DataError, match=r"labels are multilabel \(crack, hole\)"):
        evaluate(dark_bundle(), test_set.items, space, tmp_path)


def test_settings_out_of_range(test_set: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"plot_format='pgn' is not one of .*did you mean"):
        run(dark_bundle(), test_set, tmp_path, plot_format="pgn")
    with pytest.raises(ConfigError, match="overlays=-1"):
        run(dark_bundle(), test_set, tmp_path, overlays=-1)
    with pytest.raises(ConfigError, match="threshold"):
        run(dark_bundle(), test_set, tmp_path, threshold=1.5)


def test_output_that_cannot_be_written_is_found_before_the_work(
    test_set: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    calls: list[int] = []
    with pytest.raises(OutputError, match="another output folder"):
        run(dark_bundle(), test_set, tmp_path / "file" / "out", progress=lambda *_: calls.append(1))
    assert calls == []


def test_full_disk_leaves_the_old_report(
    test_set: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(dark_bundle(), test_set, tmp_path, overlays=0)
    before = (tmp_path / "report.html").read_bytes()
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == "report.html":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"report\.html: cannot be written: No space left"):
        run(dark_bundle(), test_set, tmp_path, overlays=0)
    assert (tmp_path / "report.html").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_other_plot_formats(test_set: Manifest, tmp_path: Path) -> None:
    results = run(dark_bundle(), test_set, tmp_path, plot_format="SVG", plot_dpi=60, overlays=0)
    assert (tmp_path / "plots" / "pr.svg").read_text().startswith("<?xml")
    assert results["files"]["overlays"] == []


def test_second_evaluation_removes_pictures_of_the_first(
    test_set: Manifest, tmp_path: Path
) -> None:
    run(dark_bundle(), test_set, tmp_path, overlays=5)
    (tmp_path / "overlays" / "mine.png").write_bytes(b"kept")
    results = run(dark_bundle(), test_set, tmp_path, overlays=2)
    names = {path.name for path in (tmp_path / "overlays").iterdir()}
    assert names == {Path(name).name for name in results["files"]["overlays"]} | {"mine.png"}


def test_no_record_of_training_is_said(test_set: Manifest, tmp_path: Path) -> None:
    results = run(dark_bundle(seen={}, provenance={}), test_set, tmp_path)
    assert results["leakage"] == {
        "checked": False, "by_group": False, "seen_pictures": {}, "overlap": None,
    }  # fmt: skip
    page = (tmp_path / "report.html").read_text()
    assert "could not be checked" in page
    assert "had not seen" not in page


def test_only_clean_images(tmp_path: Path) -> None:
    pictures = [draw(f"{seed}.png", seed, lines=0) for seed in range(2)]
    pictures.append(draw("crack.png", 9))
    manifest = import_dataset(write_coco(tmp_path / "clean", "test", pictures))
    clean = [item for item in manifest.items if "crack" not in item.path.name]
    results = evaluate(
        dark_bundle(), clean, manifest.label_space, tmp_path / "out", precision="fp32", resamples=20
    )
    assert math.isnan(results["pooled"]["recall"]["value"])
    assert results["clean"]["images"] == 2
    assert results["clean"]["painted_images"] == 0
    assert "nothing about what is found" in (tmp_path / "out" / "report.html").read_text()


def test_several_classes(tmp_path: Path) -> None:
    space = LabelSpace(LabelKind.MULTICLASS, ("background", "crack", "hole"))
    pictures = [draw(f"{seed}.png", seed) for seed in (1, 2)]
    folder = tmp_path / "set"
    for part in ("images", "masks"):
        (folder / "test" / part).mkdir(parents=True)
    for picture in pictures:
        Image.fromarray(picture.image).save(folder / "test" / "images" / picture.name)
        mask = picture.mask.copy()
        mask[:10, :10] = 2
        Image.fromarray(mask).save(folder / "test" / "masks" / picture.name)
    manifest = import_dataset(
        folder, mask_rule="index", kind="multiclass", classes=space.names, positive="*"
    )
    bundle = dark_bundle(label_space=manifest.label_space)
    # Equal logits give background everywhere; a lift of the second channel gives "crack".
    bundle.state["head.bias"][1] += 0.1
    results = evaluate(
        bundle, manifest.items, manifest.label_space, tmp_path / "out", precision="fp32",
        resamples=20,
    )  # fmt: skip
    assert list(results["classes"]) == ["crack", "hole"]
    # Everything is called crack: recall 1, and of hole nothing is found.
    assert results["classes"]["crack"]["pooled"]["recall"]["value"] == 1.0
    assert results["classes"]["hole"]["pooled"]["recall"]["value"] == 0.0
    assert results["pooled"]["recall"]["value"] == 0.5
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Metrics: crack" in page
    assert "Metrics: hole" in page
    assert (tmp_path / "out" / "plots" / "pr_hole.png").exists()


class _References(HTMLParser):
    """Collects everything that a browser would load or follow, and checks that tags close."""

    VOID = frozenset({"meta", "img", "br", "link", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        assert tag not in ("script", "link", "iframe", "object")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def test_report_is_complete_in_itself(evaluated: Evaluated) -> None:
    page = evaluated.page
    parser = _References()
    parser.feed(page)
    assert parser.open == []
    assert parser.found
    assert all(address.startswith("data:image/") for address in parser.found)
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    text = " ".join(parser.text)
    assert not re.search(
        r"https?://|\{\{|\}\}|\{%|\bNone\b(?! of the)|\bnan\b|Undefined|object at 0x", text
    )
    for expected in (
        "of what it marks is crack", "95 %", "Model card", "Limits", "bce_dice", "15 min",
        "tuned on validation (IoU 0.610 there)", "None of the test images is among them",
        "faultline train data=cracks", "Strict on thin lines",
        "IoU 0.612, Dice 0.759, after epoch 41",
    ):  # fmt: skip
        assert expected in text


def test_report_escapes_names(tmp_path: Path) -> None:
    manifest = import_dataset(write_coco(tmp_path / "set", "test", [draw("a&b <i>.png", 1)]))
    run(dark_bundle(), manifest, tmp_path / "out", data_name="<script>alert(1)</script>")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script>" not in page
    assert "a&amp;b &lt;i&gt;.png" in page
    assert (tmp_path / "out" / "overlays" / "best-1-a_b_i_.png").exists()


def test_a_test_set_without_anything_to_find_is_said_to_be_one(tmp_path: Path) -> None:
    clean = [draw(f"{number}.png", number, lines=0) for number in range(2)]
    manifest = import_dataset(write_coco(tmp_path / "clean", "test", clean))
    assert nothing_to_find(run(dark_bundle(), manifest, tmp_path / "out", overlays=0)) == [
        "WARNING: none of the 2 pictures shows crack: scores tell about false alarms there, and "
        "nothing about what is found"
    ]


def test_a_test_set_with_cracks_needs_no_warning(evaluated: Evaluated) -> None:
    assert nothing_to_find(evaluated.results) == []

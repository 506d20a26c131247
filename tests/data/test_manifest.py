"""The manifest: splits, fingerprint, and a file that comes back as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.data.manifest import Item, Manifest, MaskFile, Problem, Region, canonical_split
from faultline.data.regions import rle_from_mask
from faultline.errors import DataError, FaultlineError
from faultline.types import LabelKind, LabelSpace

SPACE = LabelSpace(LabelKind.BINARY, ("crack",))


def manifest(root: Path) -> Manifest:
    (root / "m.png").write_bytes(b"mask")
    rle = rle_from_mask(np.eye(3, dtype=np.uint8))
    items = [
        Item("valid/b.jpg", root / "valid/b.jpg", "valid", "g", "22", 4, 5, labelled=False),
        Item("train/a.jpg", root / "train/a.jpg", "train", "g", "11", 3, 3, (Region(0, rle),)),
        Item(
            "c.jpg", Path("/elsewhere/c.jpg"), None, "c", "33", 1, 1,
            mask_file=MaskFile(root / "m.png", "binary01"), positive=True,
        ),
        Item("extra/d.jpg", root / "extra/d.jpg", "extra", "d", "44", 1, 1, positive=False),
    ]  # fmt: skip
    return Manifest(root, "coco", SPACE, items, [Problem("x.jpg", "broken")], ["a note"])


def test_splits_are_ordered_and_have_aliases(tmp_path: Path) -> None:
    made = manifest(tmp_path)
    assert made.splits() == ["train", "valid", "extra"]
    assert [item.id for item in made.split("val")] == ["valid/b.jpg"]
    assert [item.id for item in made.split(None)] == ["c.jpg"]
    assert made.split("test") == []
    assert canonical_split("Validation") == "valid"
    assert canonical_split("Fold3") == "Fold3"


def test_save_and_load(tmp_path: Path) -> None:
    made = manifest(tmp_path)
    made.save(tmp_path / "out" / "manifest.jsonl")
    assert Manifest.load(tmp_path / "out" / "manifest.jsonl") == made


def test_a_data_set_may_move(tmp_path: Path) -> None:
    made = manifest(tmp_path)
    made.save(tmp_path / "manifest.jsonl")
    moved = Manifest.load(tmp_path / "manifest.jsonl", root="/new")
    assert moved.items[0].path == Path("/new/valid/b.jpg")
    assert moved.items[2].path == Path("/elsewhere/c.jpg")
    assert moved.items[2].mask_file == MaskFile(Path("/new/m.png"), "binary01")


def test_fingerprint_depends_on_content_only(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    made, same = manifest(tmp_path), manifest(tmp_path / "other")
    same.items.reverse()
    before = made.fingerprint()
    assert len(before) == 64
    assert same.fingerprint() == before
    changes = [
        lambda item: replace(item, id="z"),
        lambda item: replace(item, sha256="z"),
        lambda item: replace(item, labelled=False),
        lambda item: replace(item, regions=(Region(1, item.regions[0].rle),)),
        lambda item: replace(item, regions=()),
    ]
    for change in changes:
        changed = manifest(tmp_path)
        changed.items[1] = change(changed.items[1])
        assert changed.fingerprint() != before
    (tmp_path / "m.png").write_bytes(b"another mask")
    assert made.fingerprint() != before


def test_fingerprint_of_a_lost_mask(tmp_path: Path) -> None:
    made = manifest(tmp_path)
    (tmp_path / "m.png").unlink()
    with pytest.raises(DataError, match=r"m\.png: mask cannot be read: No such file"):
        made.fingerprint()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 is not what a manifest holds"),
        ("{}\n", "line 1 is not what a manifest holds: KeyError: 'faultline_manifest'"),
        ('{"faultline_manifest": 99}\n', "no header of version 1"),
        ("not json\n", "line 1 is not JSON"),
    ],
)
def test_what_is_no_manifest(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        Manifest.load(path)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    manifest(tmp_path).save(path)
    lines = path.read_text().splitlines()
    for broken, message in (('{"id": "a"}', "line 3 is not what"), ("{", "line 3 is not JSON")):
        path.write_text("\n".join([*lines[:2], broken, *lines[3:]]))
        with pytest.raises(DataError, match=message):
            Manifest.load(path)
    with pytest.raises(DataError, match="cannot be read"):
        Manifest.load(tmp_path / "nowhere.jsonl")


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_garbage_in_a_line_gives_a_faultline_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("m")
    path = root / "manifest.jsonl"
    manifest(root).save(path)
    lines = path.read_text().splitlines()
    row = json.loads(lines[2])
    key = data.draw(st.sampled_from(sorted(row)))
    junk = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=3)
    row[key] = data.draw(junk)
    lines[2] = json.dumps(row)
    path.write_text("\n".join(lines))
    try:
        Manifest.load(path)
    except FaultlineError as error:
        assert "line 3" in str(error)  # noqa: PT017 - a row that still loads is fine

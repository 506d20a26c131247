"""A split that is kept: the same when read again, refused where it does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faultline.data.manifest import Item
from faultline.data.split import ClassShare, Split, class_shares, load_split, table_lines
from faultline.errors import DataError
from faultline.types import LabelKind, LabelSpace


def items(count: int = 6) -> list[Item]:
    return [Item(f"{n}.jpg", Path(f"{n}.jpg"), None, f"g{n // 2}", f"h{n}", 1, 1)
            for n in range(count)]  # fmt: skip


def split(every: list[Item]) -> Split:
    parts = {"train": every[:2], "valid": every[2:4], "test": every[4:]}
    return Split(parts, "grouped", 3, notes=["why"])


def test_it_comes_back_with_its_groups(tmp_path: Path) -> None:
    every = items()
    made = split(every)
    made.save(tmp_path / "split.json")
    alone = [replace(item, group=item.id) for item in reversed(every)]
    again = load_split(tmp_path / "split.json", alone)
    assert {name: sorted(i.id for i in own) for name, own in again.parts.items()} == {
        "train": ["0.jpg", "1.jpg"], "valid": ["2.jpg", "3.jpg"], "test": ["4.jpg", "5.jpg"],
    }  # fmt: skip
    assert {item.group for item in again.parts["valid"]} == {"g1"}
    assert (again.strategy, again.seed, again.notes) == ("grouped", 3, ["why"])
    assert again.hash == made.hash
    content = json.loads((tmp_path / "split.json").read_text())
    assert content["parts"]["train"] == {"pictures": 2, "groups": 1}


def test_the_hash_is_of_what_matters() -> None:
    every = items()
    made = split(every)
    assert split(every).hash == made.hash
    assert replace(made, seed=9, notes=[]).hash == made.hash
    parts = {name: list(reversed(own)) for name, own in made.parts.items()}
    assert replace(made, parts=parts).hash == made.hash
    changed = [replace(every[0], sha256="other"), *every[1:]]
    assert split(changed).hash != made.hash
    swapped = {"train": made.parts["valid"], "valid": made.parts["train"]}
    assert replace(made, parts=swapped).hash != made.hash


def test_another_data_set(tmp_path: Path) -> None:
    every = items()
    split(every).save(tmp_path / "s.json")
    with pytest.raises(DataError, match=r"1 pictures are not in the data set: 5\.jpg"):
        load_split(tmp_path / "s.json", every[:5])
    with pytest.raises(DataError, match=r"2 pictures of the data set are not in it: 6\.jpg"):
        load_split(tmp_path / "s.json", items(8))
    changed = [replace(every[0], sha256="new"), *every[1:]]
    with pytest.raises(DataError, match=r"1 pictures have changed since: 0\.jpg -> make"):
        load_split(tmp_path / "s.json", changed)


def test_what_was_thinned_out_stays_out(tmp_path: Path) -> None:
    every = items()
    replace(split(every), strategy="grouped, thinned").save(tmp_path / "s.json")
    again = load_split(tmp_path / "s.json", items(8))
    assert sorted(i.id for part in again.parts.values() for i in part) == [i.id for i in every]
    with pytest.raises(DataError, match=r"1 pictures are not in the data set: 5\.jpg"):
        load_split(tmp_path / "s.json", every[:5])


def test_a_file_changed_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    split(items()).save(path)
    content = json.loads(path.read_text())
    content["items"][0][1] = "test"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="the hash differs"):
        load_split(path, items())


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"faultline_split": 2}', '{"faultline_split": 1, "items": [["a"]]}', "nul\0"],
)
def test_a_file_that_is_no_split(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"s\.json: is no split: .*faultline split"):
        load_split(path, items())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_split(tmp_path / "s.json", items())


def test_shares_of_classes() -> None:
    space = LabelSpace(LabelKind.MULTILABEL, ("dent", "rust"))
    rows = {
        "train": np.array([[1, 0], [1, 1], [0, 0], [0, 0]], np.uint8),
        "test": np.zeros((0, 2), np.uint8),
    }
    table = class_shares(space, rows)
    assert [(row.name, row.counts["train"], row.shares["train"]) for row in table] == [
        ("dent", 2, 0.5), ("rust", 1, 0.25), ("(none of them)", 2, 0.5),
    ]  # fmt: skip
    assert np.isnan(table[0].shares["test"])
    assert table_lines(table) == [
        "class               train  test",
        "dent            2 (50.0%)     -",
        "rust            1 (25.0%)     -",
        "(none of them)  2 (50.0%)     -",
    ]
    assert table_lines([]) == []
    one = class_shares(
        LabelSpace(LabelKind.MULTICLASS, ("a", "b")), {"train": np.eye(2, dtype=np.uint8)}
    )
    assert [row.name for row in one] == ["a", "b"]
    assert ClassShare("x", {"a": 1}, {"a": 0.5}).to_dict() == {
        "name": "x", "counts": {"a": 1}, "shares": {"a": 0.5},
    }  # fmt: skip

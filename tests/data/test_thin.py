"""A class made rare in training and validation, and not in the test part."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from faultline.data.division import Shown
from faultline.data.manifest import Item
from faultline.data.split import PARTS, Split
from faultline.data.thin import thin
from faultline.errors import ConfigError
from faultline.types import LabelKind, LabelSpace

SPACE = LabelSpace(LabelKind.MULTILABEL, ("dent", "rust"))


@pytest.fixture
def shown() -> tuple[Split, Shown]:
    """200 + 100 + 60 pictures; every second shows a dent, every fifth rust."""
    numbers = iter(range(360))
    parts = {
        name: [
            Item(f"{number:03}", Path(name), name, f"{number}", f"{number}", 8, 8)
            for number in islice(numbers, count)
        ]
        for name, count in zip(PARTS, (200, 100, 60), strict=True)
    }
    rows = {
        item.id: np.array([int(item.id) % 2 == 0, int(item.id) % 5 == 0], np.uint8)
        for part in parts.values()
        for item in part
    }
    return Split(parts, "made up", 0), Shown(SPACE, rows)


def share(split: Split, shown: Shown, part: str, index: int) -> tuple[int, int]:
    rows = shown.targets(split.parts[part])
    return int(rows[:, index].sum()), len(rows)


def test_at_most_one_picture_in_n_is_left_and_the_test_part_is_whole(
    shown: tuple[Split, Shown],
) -> None:
    split, rows = shown
    rare = thin(split, rows, {"dent": 51}, seed=0)
    assert share(rare, rows, "train", 0) == (2, 102)
    assert share(rare, rows, "valid", 0) == (1, 51)
    assert rare.parts["test"] == split.parts["test"]
    assert len(split.parts["train"]) == 200
    assert rare.notes == [
        "dent was made rare by data.thin: 2 of 102 pictures in train, 1 of 51 pictures in valid"
    ]
    assert "thinned" in rare.strategy


def test_several_classes_are_all_rare_in_what_is_left(shown: tuple[Split, Shown]) -> None:
    split, rows = shown
    rare = thin(split, rows, {"dent": 20, "rust": 30}, seed=0)
    for part in ("train", "valid"):
        (dents, left), (rusty, _) = (share(rare, rows, part, index) for index in (0, 1))
        assert 1 <= dents <= left / 20
        assert 1 <= rusty <= left / 30
    dents, left = share(rare, rows, "train", 0)
    assert rare.notes[0].startswith(f"dent was made rare by data.thin: {dents} of {left} pictures")


def test_which_pictures_stay_follows_from_the_seed(shown: tuple[Split, Shown]) -> None:
    split, rows = shown
    first, again, other = (thin(split, rows, {"dent": 20}, seed).parts for seed in (0, 0, 1))
    assert first == again
    assert first != other
    ids = [item.id for item in first["train"]]
    assert ids == sorted(ids)


def test_a_class_that_is_rare_enough_and_one_that_would_vanish(shown: tuple[Split, Shown]) -> None:
    split, rows = shown
    assert share(thin(split, rows, {"rust": 5}, 0), rows, "train", 1) == (40, 200)
    assert share(thin(split, rows, {"rust": 10_000}, 0), rows, "valid", 1)[0] == 1


@pytest.mark.parametrize(
    ("one_in", "message"),
    [
        ({"dents": 60}, "did you mean 'dent'"),
        ({"dent": 1}, "at least 2"),
        ({"dent": "few"}, "at least 2"),
        ({"dent": True}, "at least 2"),
        ({"dent": float("nan")}, "at least 2"),
    ],
)
def test_what_cannot_be_thinned_is_refused(
    shown: tuple[Split, Shown], one_in: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        thin(*shown, one_in, seed=0)

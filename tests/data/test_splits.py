"""Splits never cut a group, and parts that share pictures are refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.data.manifest import Item
from faultline.data.splits import check_disjoint, grouped_folds, grouped_split
from faultline.errors import ConfigError, DataError, LeakageError


def item(number: int, group: str | None = None, positive: bool | None = None) -> Item:
    name = f"{number:04d}.jpg"
    return Item(name, Path("d") / name, None, group or name, f"h{number}", 1, 1, positive=positive)


@st.composite
def item_lists(draw: st.DrawFn) -> list[Item]:
    sizes = draw(st.lists(st.integers(1, 6), min_size=2, max_size=25))
    kinds = draw(st.lists(st.sampled_from([None, True, False]), min_size=25, max_size=25))
    items: list[Item] = []
    for group, size in enumerate(sizes):
        items += [item(len(items) + k, f"g{group}", kinds[group]) for k in range(size)]
    return items


@settings(deadline=None, max_examples=50)
@given(item_lists(), st.floats(0.05, 0.95), st.integers(0, 1000))
def test_a_split_covers_everything_and_cuts_no_group(
    items: list[Item], fraction: float, seed: int
) -> None:
    train, valid = grouped_split(items, fraction, seed)
    assert train
    assert valid
    assert sorted(i.id for i in train + valid) == [i.id for i in items]
    assert not {i.group for i in train} & {i.group for i in valid}
    check_disjoint(train=train, valid=valid)
    shuffled = random.Random(seed).sample(items, len(items))
    again = grouped_split(shuffled, fraction, seed)
    assert {i.id for i in again[1]} == {i.id for i in valid}


def test_the_share_is_met_and_foreground_is_shared_out() -> None:
    items = [item(n, positive=n < 40) for n in range(400)]
    train, valid = grouped_split(items, 0.15, 0)
    assert len(valid) == 60
    assert sum(bool(i.positive) for i in valid) == 6
    assert [i.id for i in train] == sorted(i.id for i in train)


def test_the_seed_decides() -> None:
    items = [item(n) for n in range(100)]
    chosen = [{i.id for i in grouped_split(items, 0.2, seed)[1]} for seed in range(5)]
    assert len({frozenset(ids) for ids in chosen}) == 5
    assert {i.id for i in grouped_split(items, 0.2, 3)[1]} == chosen[3]


def test_one_large_group_does_not_swallow_the_training_part() -> None:
    items = [item(n, "large") for n in range(50)] + [item(50 + n) for n in range(10)]
    train, valid = grouped_split(items, 0.15, 0)
    assert len(train) >= 50
    assert 0 < len(valid) <= 10


def test_too_few_groups() -> None:
    with pytest.raises(DataError, match="8 pictures in 1 groups cannot be shared out over 2 parts"):
        grouped_split([item(n, "g") for n in range(8)], 0.15, 0)
    with pytest.raises(DataError, match="over 3 parts"):
        grouped_folds([item(0), item(1)], 3, 0)
    with pytest.raises(DataError, match="0 pictures"):
        grouped_split([], 0.5, 0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_share_out_of_range(fraction: float) -> None:
    with pytest.raises(ConfigError, match="not between 0 and 1"):
        grouped_split([item(0), item(1)], fraction, 0)


@settings(deadline=None, max_examples=50)
@given(item_lists(), st.integers(2, 5), st.integers(0, 1000))
def test_folds_cover_every_item_once(items: list[Item], folds: int, seed: int) -> None:
    if len({i.group for i in items}) < folds:
        return
    parts = grouped_folds(items, folds, seed)
    assert len(parts) == folds
    assert sorted(i.id for _, valid in parts for i in valid) == [i.id for i in items]
    for train, valid in parts:
        assert valid
        assert len(train) + len(valid) == len(items)
        check_disjoint(train=train, valid=valid)
    assert grouped_folds(items[::-1], folds, seed)[0][1] == parts[0][1][::-1]


def test_folds_are_even() -> None:
    items = [item(n, f"g{n // 4}", n % 8 < 4) for n in range(200)]
    sizes = [len(valid) for _, valid in grouped_folds(items, 5, 1)]
    assert max(sizes) - min(sizes) <= 8
    with pytest.raises(ConfigError, match="1 folds"):
        grouped_folds(items, 1, 0)


def test_same_bytes_in_two_parts_are_refused_with_names_and_remedy() -> None:
    train = [item(n) for n in range(10)]
    test = [
        Item(f"copy{n}.jpg", Path(f"t/copy{n}.jpg"), "test", f"t{n}", f"h{n}", 1, 1)
        for n in range(8)
    ]
    with pytest.raises(LeakageError) as caught:
        check_disjoint(train=train, valid=[], test=test)
    message = str(caught.value)
    assert "the same pictures (byte for byte) are in train and in test: 8 of them" in message
    assert "d/0000.jpg = t/copy0.jpg" in message
    assert "and 3 more" in message
    assert "delete them from one of the two" in message


def test_shared_group_is_refused() -> None:
    with pytest.raises(LeakageError, match=r"one group .* are in train and in valid: 1 of them"):
        check_disjoint(train=[item(0, "g")], valid=[item(1, "g")])
    check_disjoint(train=[item(0)], valid=[item(1)], test=[item(2)])

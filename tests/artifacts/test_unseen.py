from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.unseen import check_unseen
from faultline.errors import LeakageError


@dataclass(frozen=True)
class Item:
    path: Path
    sha256: str
    group: str = ""


FRESH = Item(Path("data/new.jpg"), "c" * 64, "wall-9")


def test_fresh_items_pass(bundle: Bundle) -> None:
    check_unseen(bundle, [FRESH])
    check_unseen(bundle, [])


@pytest.mark.parametrize(("digest", "part"), [("a", "weights"), ("b", "threshold")])
def test_seen_items_are_refused_with_part_and_files(bundle: Bundle, digest: str, part: str) -> None:
    seen = Item(Path("data/old.jpg"), digest * 64)
    with pytest.raises(LeakageError, match=rf"the {part} saw 1 of them \(old\.jpg\)"):
        check_unseen(bundle, iter([FRESH, seen]))


def test_parts_can_be_chosen(bundle: Bundle) -> None:
    tuned_on = Item(Path("v.jpg"), "b" * 64)
    check_unseen(bundle, [tuned_on], parts=["weights"])
    with pytest.raises(LeakageError):
        check_unseen(bundle, [tuned_on], parts=["threshold"])


def test_groups_count_only_within_one_data_set(bundle: Bundle) -> None:
    sibling = Item(Path("s.jpg"), "d" * 64, "wall-1")
    check_unseen(bundle, [sibling])
    with pytest.raises(LeakageError, match="weights saw 1"):
        check_unseen(bundle, [sibling], by_group=True)


def test_long_lists_are_cut(bundle: Bundle) -> None:
    items = [Item(Path(f"{n}.jpg"), "a" * 64) for n in range(9)]
    with pytest.raises(LeakageError, match=r"9 of them .* and 4 more"):
        check_unseen(bundle, items)

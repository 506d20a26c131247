"""Copies are found however they were turned or altered; pictures of the same kind are not."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from faultline.data.duplicates import find_duplicates, near_duplicate_groups
from faultline.data.manifest import Item


def surface(seed: int, height: int = 160, width: int = 160) -> np.ndarray:
    """A grey, rough surface with a dark line across it, (H, W, 3)."""
    rng = np.random.default_rng(seed)
    grey = np.full((height, width), 150.0)
    for sigma, strength in ((1.5, 25), (6, 60), (20, 150)):
        grey += strength * cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), sigma)
    y = np.cumsum(rng.normal(0, 1.5, width)) + height / 2
    points = np.stack([np.arange(width), y], axis=1).astype(np.int32)
    cv2.polylines(grey, [points], False, 60.0, 2)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def write(folder: Path, name: str, pixels: np.ndarray, group: str | None = None) -> Item:
    path = folder / name
    assert cv2.imwrite(str(path), pixels)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Item(name, path, None, group or name, digest, pixels.shape[1], pixels.shape[0])


def rotated(pixels: np.ndarray, degrees: float) -> np.ndarray:
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), degrees, 1)
    return np.asarray(cv2.warpAffine(pixels, turn, (width, height)))


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    **{f"turned{k}": lambda pixels, k=k: np.rot90(pixels, k) for k in range(4)},  # type: ignore[misc]
    **{f"mirrored{k}": lambda pixels, k=k: np.rot90(pixels[::-1], k) for k in range(4)},  # type: ignore[misc]
    "rotated 10": lambda pixels: rotated(pixels, 10),
    "rotated -37 and mirrored": lambda pixels: rotated(pixels[:, ::-1], -37),
    "darker": lambda pixels: (pixels * 0.6).astype(np.uint8),
    "tinted": lambda pixels: (pixels * [1.0, 0.8, 0.6]).astype(np.uint8),
    "half the size": lambda pixels: cv2.resize(pixels, None, fx=0.5, fy=0.5),
    "blurred": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 1.0),
    "noisy": lambda pixels: np.clip(
        pixels + np.random.default_rng(0).normal(0, 8, pixels.shape), 0, 255
    ).astype(np.uint8),
}


@pytest.mark.parametrize("shape", [(160, 160), (140, 200)])
@pytest.mark.parametrize("change", CHANGES)
def test_an_altered_copy_is_found(change: str, shape: tuple[int, int], tmp_path: Path) -> None:
    pixels = surface(1, *shape)
    items = [
        write(tmp_path, "a.png", pixels),
        write(tmp_path, "b.jpg", np.ascontiguousarray(CHANGES[change](pixels))),
        write(tmp_path, "c.png", surface(2, *shape)),
    ]
    (pair,) = find_duplicates(items)
    assert (pair.a.id, pair.b.id, pair.exact) == ("a.png", "b.jpg", False)
    assert 0 <= pair.distance < 0.15


def test_surfaces_of_one_kind_are_told_apart(tmp_path: Path) -> None:
    items = [write(tmp_path, f"{seed}.png", surface(seed)) for seed in range(40)]
    assert find_duplicates(items, max_distance=0.3) == []


def test_long_pictures_are_compared_as_a_whole(tmp_path: Path) -> None:
    pixels = surface(5, 64, 400)
    other = pixels.copy()
    other[:, :160], other[:, 240:] = surface(6, 64, 160), surface(7, 64, 160)
    items = [
        write(tmp_path, "a.png", pixels),
        write(tmp_path, "b.png", np.ascontiguousarray(pixels[:, ::-1])),
        write(tmp_path, "c.png", other),
    ]
    assert [(pair.a.id, pair.b.id) for pair in find_duplicates(items)] == [("a.png", "b.png")]


def test_same_bytes_are_exact_and_come_first(tmp_path: Path) -> None:
    pixels = surface(3)
    items = [
        write(tmp_path, "b.png", pixels),
        write(tmp_path, "a.png", pixels),
        write(tmp_path, "c.png", np.ascontiguousarray(pixels[::-1])),
    ]
    pairs = find_duplicates(items)
    assert [(p.a.id, p.b.id, p.exact) for p in pairs] == [
        ("a.png", "b.png", True),
        ("a.png", "c.png", False),
    ]
    assert pairs[0].distance == 0
    assert len(find_duplicates(items, max_distance=0)) == 1


def test_blank_and_broken_pictures_resemble_nothing(tmp_path: Path) -> None:
    blank = [
        write(tmp_path, f"{level}.jpg", np.full((80, 80, 3), level, np.uint8))
        for level in (0, 90, 200)
    ]
    broken = write(tmp_path, "x.png", surface(1))
    broken.path.write_bytes(broken.path.read_bytes()[:400])
    gone = write(tmp_path, "y.png", surface(1))
    gone.path.unlink()
    assert find_duplicates([*blank, broken, gone], max_distance=0.9) == [
        pair for pair in find_duplicates([broken, gone], max_distance=0) if pair.exact
    ]
    assert find_duplicates([]) == []
    assert find_duplicates(blank[:1]) == []


def test_groups_join_chains_and_keep_groups_by_name(tmp_path: Path) -> None:
    first, second = surface(10), surface(11)
    items = [
        write(tmp_path, "a.png", first, "one"),
        write(tmp_path, "b.png", second, "one"),
        write(tmp_path, "c.png", np.ascontiguousarray(first[::-1]), "two"),
        write(tmp_path, "d.png", np.ascontiguousarray(np.rot90(second)), "three"),
        write(tmp_path, "e.png", surface(12), "four"),
    ]
    groups = near_duplicate_groups(items)
    assert groups == near_duplicate_groups(items[::-1])
    assert {groups[item.id] for item in items[:4]} == {"one"}
    assert groups["e.png"] == "four"


@pytest.mark.slow
def test_six_hundred_pictures_take_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (600, 52, 52, 3), dtype=np.uint8)
    items = [
        write(tmp_path, f"{k}.jpg", cv2.resize(pixels, (416, 416)))
        for k, pixels in enumerate(small)
    ]
    start = time.perf_counter()
    find_duplicates(items)
    assert time.perf_counter() - start < 10

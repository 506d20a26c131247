from __future__ import annotations

import numpy as np
import pytest
from evaluation_samples import CRACK
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.evaluation.drawings import choose, slug
from faultline.evaluation.panels import FALSE_ALARM, HIT, IGNORED, MISSED, comparison, panel


def test_comparison_colours_every_case() -> None:
    image = np.full((1, 5, 3), 100, np.uint8)
    truth = np.array([[1, 1, 0, 0, 255]], np.uint8)
    prediction = np.array([[1, 0, 1, 0, 1]], np.uint8)
    drawn = comparison(image, truth, prediction)
    assert [tuple(pixel) for pixel in drawn[0]] == [
        HIT, MISSED, FALSE_ALARM, (45, 45, 45), IGNORED,
    ]  # fmt: skip


def test_wrong_class_is_a_false_alarm() -> None:
    image = np.full((1, 2, 3), 100, np.uint8)
    drawn = comparison(image, np.array([[1, 2]], np.uint8), np.array([[2, 2]], np.uint8))
    assert [tuple(pixel) for pixel in drawn[0]] == [FALSE_ALARM, HIT]


@pytest.mark.parametrize(("size", "scale"), [((100, 130), 3), ((300, 400), 1), ((3000, 1500), 0.4)])
def test_panel_has_four_views(size: tuple[int, int], scale: float) -> None:
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    drawn = panel(image, mask, mask, CRACK)
    assert drawn.shape[1:] == (4 * width * scale + 18, 3)
    assert 1 < drawn.shape[0] / (height * scale) < 1.15  # views and a line of titles


@given(st.integers(0, 20), st.integers(0, 12))
@settings(deadline=None, max_examples=50)
def test_choice_takes_no_image_twice(images: int, count: int) -> None:
    ranked = [(f"image {index}", 1 - index / 20) for index in range(images)]
    chosen = choose(ranked, count)
    names = [name for _, name, _ in chosen]
    assert len(names) == len(set(names)) == min(images, count)
    if chosen:
        assert chosen[0][:2] == ("best", "image 0")
    if len(chosen) > 1:
        assert ("worst", f"image {images - 1}") in [entry[:2] for entry in chosen]


def test_choice_is_a_third_of_each() -> None:
    ranked = [(str(index), 1 - index / 9) for index in range(9)]
    assert [(rank, name) for rank, name, _ in choose(ranked, 6)] == [
        ("best", "0"), ("best", "1"), ("median", "3"), ("median", "4"),
        ("worst", "8"), ("worst", "7"),
    ]  # fmt: skip
    assert [(rank, name) for rank, name, _ in choose(ranked, 3)] == [
        ("best", "0"), ("median", "4"), ("worst", "8"),
    ]  # fmt: skip


def test_slug_is_a_safe_file_name() -> None:
    assert slug("test/images/Riß 7 (2).jpg") == "Riß_7_2_"
    assert slug("a/???.png") == "_"
    assert len(slug("x" * 300 + ".png")) == 80

"""Polygons, both forms of run lengths and boxes, against pycocotools and closed forms."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from faultline.data.images import apply_orientation
from faultline.data.regions import (
    decode_rles,
    rle_area,
    rle_from_box,
    rle_from_mask,
    rle_from_segmentation,
    turn_rle,
    uncompressed_counts,
)
from faultline.errors import DataError

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(SHAPES)
    seed, share = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.02, 0.5, 0.98]))
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)
    mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = 1
    return mask


def runs_of(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, written from the definition."""
    flat = mask.flatten(order="F")
    runs, value, count = [], 0, 0
    for pixel in flat:
        if pixel != value:
            runs.append(count)
            value, count = pixel, 0
        count += 1
    return [*runs, count]


@settings(deadline=None, max_examples=50)
@given(masks())
def test_run_lengths_round_trip(mask: np.ndarray) -> None:
    height, width = mask.shape
    compressed = coco_mask.encode(np.asfortranarray(mask))
    assert uncompressed_counts(compressed["counts"]).tolist() == runs_of(mask)
    text = {"size": [height, width], "counts": compressed["counts"].decode()}
    lists = {"size": [height, width], "counts": runs_of(mask)}
    for segmentation in (text, lists):
        rle = rle_from_segmentation(segmentation, height, width)
        assert np.array_equal(decode_rles([rle], height, width), mask)
        assert rle_area(rle) == mask.sum()
    assert np.array_equal(coco_mask.decode(rle_from_mask(mask)), mask)


@settings(deadline=None, max_examples=30)
@given(masks(), st.integers(1, 8))
def test_turning_run_lengths_turns_the_mask(mask: np.ndarray, orientation: int) -> None:
    expected = apply_orientation(mask, orientation)
    turned = turn_rle(rle_from_mask(mask), orientation)
    assert turned["size"] == list(expected.shape)
    assert np.array_equal(coco_mask.decode(turned), expected)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.integers(1, 20))
def test_a_rectangle_as_polygon_and_as_box(x: int, y: int, width: int, height: int) -> None:
    expected = np.zeros((45, 50), np.uint8)
    expected[y : y + height, x : x + width] = 1
    box = rle_from_box([x, y, width, height], 45, 50)
    right, bottom = x + width, y + height
    outline = [[x, y, right, y, right, bottom, x, bottom]]
    polygon = rle_from_segmentation(outline, 45, 50)
    assert np.array_equal(decode_rles([box], 45, 50), expected)
    assert np.array_equal(decode_rles([polygon], 45, 50), expected)


def test_a_circle_has_its_area() -> None:
    angles = np.linspace(0, 2 * math.pi, 200, endpoint=False)
    outline = np.stack([50 + 30 * np.cos(angles), 50 + 30 * np.sin(angles)], axis=1)
    rle = rle_from_segmentation([outline.ravel().tolist()], 100, 100)
    assert rle_area(rle) == pytest.approx(math.pi * 30**2, rel=0.01)


def test_several_polygons_are_one_area_and_a_bare_list_is_one_polygon() -> None:
    parts = [[0, 0, 4, 0, 4, 4, 0, 4], [2, 2, 6, 2, 6, 6, 2, 6]]
    assert rle_area(rle_from_segmentation(parts, 10, 10)) == 16 + 16 - 4
    assert rle_area(rle_from_segmentation(parts[0], 10, 10)) == 16


def test_a_box_with_fractions_covers_pixels_whose_centre_is_inside() -> None:
    mask = decode_rles([rle_from_box([1.4, 0.6, 2.2, 1.0], 4, 6)], 4, 6)
    assert np.argwhere(mask).tolist() == [[1, 1], [1, 2], [1, 3]]


def test_a_box_is_cut_at_the_picture() -> None:
    assert rle_area(rle_from_box([-5, -5, 8, 8], 10, 10)) == 9
    assert rle_area(rle_from_box([0, 0, 10, 10], 10, 10)) == 100


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "segmentation is empty"),
        ([[]], "polygon is empty"),
        ([[1, 2, 3, 4]], "4 numbers, not an even count of at least 6"),
        ([[1, 2, 3, 4, 5, 6, 7]], "7 numbers"),
        ([[1, 2, float("nan"), 4, 5, 6]], "coordinate nan"),
        ([[1, 2, float("inf"), 4, 5, 6]], "coordinate inf"),
        ([[1, 2, "3", 4, 5, 6]], "not a list of numbers"),
        ([[1, 2, 10**400, 4, 5, 6]], "too large"),
        ([[1, 2, 1e9, 4, 5, 6]], "far outside a 30x20 picture"),
        ([[1, 1, 1, 1, 1, 1]], "covers no pixel"),
        ([[25, 25, 29, 25, 29, 30]], "covers no pixel"),
        ("abc", "is a str, not polygons or RLE"),
        ({"counts": [600]}, "RLE size is None"),
        ({"size": [20, 31], "counts": [620]}, r"RLE is 20x31 \(h x w\), the picture 20x30"),
        ({"size": [20, 30], "counts": [10, 20]}, "covers 30 pixels, the picture has 20x30 = 600"),
        ({"size": [20, 30], "counts": [-10, 610]}, "larger than the picture"),
        ({"size": [20, 30], "counts": [300, -100, 400]}, "negative run"),
        ({"size": [20, 30], "counts": [1.5, 598.5]}, "whole numbers"),
        ({"size": [20, 30], "counts": 7}, "whole numbers"),
        ({"size": [20, 30], "counts": "\u00e9~"}, "damaged"),
        ({"size": [20, 30], "counts": "P"}, "damaged"),
        ({"size": [20, 30], "counts": "PPPPPPPPP0"}, "damaged"),
        ({"size": [20, 30], "counts": ""}, "covers 0 pixels"),
        ({"size": [20, 30], "counts": [600]}, "covers no pixel"),
    ],
)
def test_bad_segmentations(segmentation: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rle_from_segmentation(segmentation, 20, 30)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([1, 2, 3], "3 numbers, not 4"),
        ([1, 2, float("nan"), 4], "coordinate nan"),
        ([1, 2, 0, 4], "covers no pixel"),
        ([1, 2, -3, 4], "covers no pixel"),
        ([40, 2, 3, 4], "covers no pixel of a 30x20 picture"),
        ("box", "not a list of numbers"),
        ([True, 2, 3, 4], "not a list of numbers"),
    ],
)
def test_bad_boxes(box: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rle_from_box(box, 20, 30)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


@settings(deadline=None, max_examples=50)
@given(
    JSON
    | st.lists(st.lists(st.floats(), max_size=10), max_size=3)
    | st.fixed_dictionaries(
        {
            "size": st.just([8, 9]) | JSON,
            "counts": st.text(max_size=12) | st.lists(st.integers(), max_size=9),
        }
    )
)
def test_garbage_gives_an_area_or_a_data_error(segmentation: Any) -> None:
    with contextlib.suppress(DataError):
        rle = rle_from_segmentation(segmentation, 8, 9)
        assert decode_rles([rle], 8, 9).shape == (8, 9)
    with contextlib.suppress(DataError):
        assert rle_area(rle_from_box(segmentation, 8, 9)) > 0

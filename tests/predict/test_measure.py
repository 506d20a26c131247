from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label

from faultline.errors import ConfigError, ContractError
from faultline.predict.measure import (
    ClassMeasures,
    keep_components,
    measure,
    measure_classes,
    measured_classes,
    skeleton_length,
    widths_at,
)
from faultline.types import LabelKind, LabelSpace


def bar(width: int, length: int = 120, size: tuple[int, int] = (60, 200)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[20 : 20 + width, 40 : 40 + length] = 1
    return mask


@pytest.mark.parametrize("width", range(1, 13))
@pytest.mark.parametrize("turned", [False, True])
def test_width_of_a_straight_bar_is_exact(width: int, turned: bool) -> None:
    mask = bar(width).T if turned else bar(width)
    measures = measure(np.ascontiguousarray(mask))
    assert measures.max_width == width
    assert measures.mean_width == pytest.approx(width, rel=0.08)  # the ends taper
    assert measures.length == pytest.approx(120, abs=width + 3)
    assert measures.components == 1
    assert measures.share == pytest.approx(width * 120 / (60 * 200))


def test_length_of_thin_lines_follows_the_published_weights() -> None:
    assert measure(bar(1)).length == pytest.approx(0.980 * 119 + 1)
    mask = np.zeros((50, 50), np.uint8)
    np.fill_diagonal(mask[5:25, 5:25], 1)
    assert measure(mask).length == pytest.approx(1.406 * 19 + 1)
    stairs = np.zeros((3, 6), bool)
    stairs[0, :2] = stairs[1, 2:4] = stairs[2, 4:] = True
    # Straight, diagonal, straight, diagonal, straight: both ends of each diagonal are corners.
    assert skeleton_length(stairs) == pytest.approx(0.980 * 3 + 1.406 * 2 - 0.091 * 4)


def test_length_does_not_cut_corners_twice() -> None:
    corner = np.zeros((8, 8), bool)
    corner[2, 2:6] = True
    corner[2:6, 2] = True
    assert skeleton_length(corner) == pytest.approx(0.980 * 6)
    loop = np.zeros((8, 8), bool)
    loop[1, 1:6] = loop[5, 1:6] = loop[1:6, 1] = loop[1:6, 5] = True
    assert skeleton_length(loop) == pytest.approx(0.980 * 16)
    assert skeleton_length(np.ones((1, 1), bool)) == 0


@pytest.mark.parametrize("angle", range(0, 91, 7))
def test_length_of_a_thin_line_is_close_at_any_angle(angle: int) -> None:
    mask = np.zeros((300, 300), np.uint8)
    reach = 100 * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    start, end = (np.round(150 + sign * reach).astype(int).tolist() for sign in (-1, 1))
    cv2.line(mask, start, end, 1, 1)
    true = np.linalg.norm(np.subtract(end, start)) + 1
    assert measure(mask).length == pytest.approx(true, rel=0.025)


@pytest.mark.parametrize("angle", [10, 30, 45, 60, 80])
@pytest.mark.parametrize("width", [3, 6, 10])
def test_slanted_bars_are_close(angle: float, width: int) -> None:
    mask = np.zeros((300, 300), np.uint8)
    box = cv2.boxPoints(((150.0, 150.0), (200.0, float(width)), angle))
    cv2.fillPoly(mask, [np.round(box * 256).astype(np.int32)], 1, shift=8)
    measures = measure(mask)
    assert measures.mean_width == pytest.approx(width, abs=1.2)
    assert measures.length == pytest.approx(200, rel=0.03 + width / 150)


def test_small_components_are_left_out_of_all_but_the_share() -> None:
    mask = bar(3)
    mask[50, 5:9] = 1
    mask[55, 100] = 1
    alone = measure(bar(3))
    both = measure(mask, min_size=5)
    assert both.components == 1
    assert (both.length, both.mean_width) == (alone.length, alone.mean_width)
    assert both.share == mask.mean()
    assert measure(mask, min_size=1).components == 3


def test_components_join_over_corners() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[2:4, 2:4] = mask[4:6, 4:6] = 1
    assert measure(mask, min_size=1).components == 1


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0.05, 0.6))
def test_components_agree_with_skimage(seed: int, min_size: int, density: float) -> None:
    mask = (np.random.default_rng(seed).random((24, 31)) < density).astype(np.uint8)
    labels = label(mask, connectivity=2)
    sizes = np.bincount(labels.ravel())[1:]
    kept, count = keep_components(mask, min_size)
    assert count == np.count_nonzero(sizes >= min_size)
    assert kept.sum() == sizes[sizes >= min_size].sum()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (7, 5), (64, 64)])
def test_full_and_empty_masks(size: tuple[int, int]) -> None:
    empty = measure(np.zeros(size, np.uint8))
    assert (empty.share, empty.components, empty.length, empty.max_width) == (0, 0, 0, 0)
    full = measure(np.full(size, 255, np.uint8), min_size=1)
    assert (full.share, full.components) == (1, 1)
    assert 0 < full.max_width <= min(size)
    assert full.length > 0


def test_a_crack_that_runs_out_of_the_picture_keeps_its_width() -> None:
    mask = np.zeros((40, 90), np.uint8)
    mask[10:15] = 1
    assert measure(mask).max_width == 5
    assert measure(mask).mean_width == pytest.approx(5, rel=0.02)


def test_every_skeleton_pixel_has_a_width() -> None:
    mask = bar(4)
    skeleton = np.zeros(mask.shape, bool)
    skeleton[21, 60:70] = True
    assert widths_at(mask, skeleton).tolist() == [4.0] * 10


def test_millimetres() -> None:
    measures = measure(bar(4), mm_per_px=0.25)
    assert measures.max_width_mm == 1.0
    assert measures.length_mm == measures.length * 0.25
    assert measures.mean_width_mm == measures.mean_width * 0.25
    assert measure(bar(4)).length_mm is None
    with pytest.raises(ConfigError, match="above 0"):
        measure(bar(4), mm_per_px=0)
    with pytest.raises(ContractError, match=r"\(H, W\)"):
        measure(np.zeros((2, 3, 4), np.uint8))


def test_each_class_is_measured_by_itself() -> None:
    names = ("ground", "crack", "stain")
    index = np.zeros((20, 30), np.uint8)
    index[2:6, 2:6], index[2:6, 10:14], index[10, 10] = 1, 1, 1  # the last one is too small
    index[12:18, 20:28] = 2
    crack = ClassMeasures("crack", 33 / 600, 2)
    stain = ClassMeasures("stain", 48 / 600, 1)
    exclusive = LabelSpace(LabelKind.MULTICLASS, names)
    assert measure_classes(index, exclusive) == (crack, stain)
    layers = np.stack([index == 1, index > 0]).astype(np.uint8)  # classes may overlap
    free = LabelSpace(LabelKind.MULTILABEL, names[1:])
    assert measure_classes(layers, free) == (crack, ClassMeasures("stain", 81 / 600, 3))
    assert measured_classes(exclusive) == measured_classes(free) == names[1:]
    one = LabelSpace(LabelKind.BINARY, ("crack",))
    assert measure_classes(index, one) == measured_classes(one) == ()

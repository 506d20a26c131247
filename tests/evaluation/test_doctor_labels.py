from __future__ import annotations

import cv2
import numpy as np
import pytest
from evaluation_samples import widened
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.evaluation.doctor.labels import measure_label


def surface(mask: np.ndarray, contrast: int = 100) -> np.ndarray:
    noise = np.random.default_rng(0).normal(160, 4, mask.shape)
    grey = np.clip(noise - contrast * mask, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


@given(st.integers(1, 12))
@settings(deadline=None, max_examples=12)
def test_width_of_a_straight_line(width: int) -> None:
    mask = np.zeros((60, 200), np.uint8)
    mask[20 : 20 + width, 20:180] = 1
    shape = measure_label(surface(mask), mask > 0)
    # The ends of the skeleton lie nearer to the edge than its middle.
    assert shape.width == pytest.approx(width, abs=0.35)
    assert not shape.touches_frame


@pytest.mark.parametrize("width", [1, 3, 5])
def test_dark_core_of_a_wide_label(width: int) -> None:
    centre = np.zeros((80, 200), np.uint8)
    cv2.line(centre, (10, 30), (190, 50), 1, 1)
    core, label = widened(centre, width), widened(centre, 11)
    shape = measure_label(surface(core), label > 0)
    assert shape.width == pytest.approx(11, abs=0.6)
    assert shape.core_width == pytest.approx(width, abs=0.6)


def test_texture_alone_is_no_core() -> None:
    label = np.zeros((80, 200), np.uint8)
    label[30:41, 10:190] = 1
    shape = measure_label(surface(np.zeros_like(label)), label > 0)
    assert shape.core_width is None


def test_boxes_and_outlines() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[10:30, 10:40] = 1  # a box
    cv2.circle(mask, (70, 70), 15, 1, -1)  # a blob
    mask[90:92, 5:95] = 1  # a line: too thin to tell
    shape = measure_label(surface(mask), mask > 0)
    assert (shape.parts, shape.boxes) == (2, 1)


def test_nothing_labelled() -> None:
    mask = np.zeros((20, 20), bool)
    shape = measure_label(surface(mask.astype(np.uint8)), mask)
    assert (shape.width, shape.core_width, shape.parts) == (None, None, 0)


def test_everything_labelled() -> None:
    mask = np.ones((20, 20), bool)
    shape = measure_label(surface(mask.astype(np.uint8)), mask)
    assert shape.touches_frame
    assert shape.boxes == 1

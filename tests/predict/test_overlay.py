from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from faultline.errors import ContractError
from faultline.predict.overlay import draw_overlay, four_panel, heat_map
from faultline.predict.probability import Prediction
from faultline.types import LabelKind, LabelSpace

CRACK = LabelSpace(LabelKind.BINARY, ("crack",), ((250, 10, 20),))


def grey(height: int = 30, width: int = 40) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def test_fill_is_translucent_and_the_outline_lies_outside() -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[10:13, 5:35] = 1
    before = grey()
    drawn = draw_overlay(before, mask, CRACK, opacity=0.5)
    assert_array_equal(before, grey())
    assert_array_equal(drawn[11, 20], [175, 55, 60])
    assert_array_equal(drawn[9, 20], [250, 10, 20])
    assert_array_equal(drawn[13, 4], [250, 10, 20])
    assert_array_equal(drawn[8, 20], [100, 100, 100])
    changed = (drawn != 100).any(axis=2)
    assert changed.sum() == 5 * 32


def test_outlines_grow_with_the_picture() -> None:
    mask = np.zeros((40, 2400), np.uint8)
    mask[20] = 1
    changed = (draw_overlay(grey(40, 2400), mask, CRACK) != 100).any(axis=2)
    assert changed[:, 100].sum() == 7


def test_nothing_found_leaves_the_picture() -> None:
    assert_array_equal(draw_overlay(grey(), np.zeros((30, 40), np.uint8), CRACK), grey())


@pytest.mark.parametrize("kind", [LabelKind.MULTICLASS, LabelKind.MULTILABEL])
def test_each_class_has_its_colour(kind: LabelKind) -> None:
    space = LabelSpace(kind, ("a", "b", "c"), ((9, 0, 0), (0, 9, 0), (0, 0, 9)))
    index = np.zeros((30, 40), np.uint8)
    index[5:8, 5:8] = 1
    index[20:23, 20:23] = 2
    mask = index if kind is LabelKind.MULTICLASS else np.stack([index == k for k in range(3)])
    drawn = draw_overlay(grey(), mask.astype(np.uint8), space, opacity=1.0)
    assert_array_equal(drawn[6, 6], [0, 9, 0])
    assert_array_equal(drawn[21, 21], [0, 0, 9])
    background = [100, 100, 100] if kind is LabelKind.MULTICLASS else [9, 0, 0]
    assert_array_equal(drawn[0, 39], background)


def test_sizes_must_agree() -> None:
    with pytest.raises(ContractError, match="does not fit"):
        draw_overlay(grey(), np.zeros((30, 41), np.uint8), CRACK)


def test_heat_map_runs_from_dark_to_bright() -> None:
    colours = heat_map(np.linspace(0, 1, 11, dtype=np.float32)[None]).astype(int).sum(axis=2)[0]
    assert (np.diff(colours) > 0).all()


@pytest.mark.parametrize("kind", list(LabelKind))
def test_four_panel(kind: LabelKind) -> None:
    classes = 1 if kind is LabelKind.BINARY else 3
    space = LabelSpace(kind, tuple("abc"[:classes]))
    probability = np.zeros((classes, 30, 40), np.float32)
    mask = np.zeros((30, 40) if kind is not LabelKind.MULTILABEL else (3, 30, 40), np.uint8)
    panel = four_panel(grey(), Prediction(probability, mask, 0.5, "", 0), space)
    assert panel.shape == (30, 4 * 40 + 3 * 4, 3)
    assert_array_equal(panel[:, :40], grey())
    assert_array_equal(panel[:, -40:], grey())

"""Mask values are read by explicit rules; what fits none is an error that shows the values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faultline.data.mask_rules import (
    MaskScan,
    colour_rule,
    infer_mask_rule,
    parse_rule,
    resolve_rule,
)
from faultline.errors import FaultlineError, MaskError
from faultline.types import LabelKind, LabelSpace

BINARY = LabelSpace(LabelKind.BINARY, ("crack",))
THREE = LabelSpace(LabelKind.MULTICLASS, ("background", "leaf", "lesion"))
BOTH = LabelSpace(LabelKind.MULTILABEL, ("leaf", "lesion"))


def scan(*grey: int, palette: set[int] | None = None, lossy: bool = False) -> MaskScan:
    values = None if palette and not grey else frozenset(grey)
    return MaskScan(Path("m.png"), 4, 4, lossy, values, frozenset(palette) if palette else None)


@pytest.mark.parametrize(
    ("values", "space", "rule"),
    [
        ([0, 1], BINARY, "binary01"),
        ([1], BINARY, "binary01"),
        ([0, 255], BINARY, "binary0255"),
        ([255], BINARY, "binary0255"),
        ([0, 1, 255], BINARY, "index"),
        ([0], BINARY, "binary01"),
        ([0, 1, 2], THREE, "index"),
        ([0, 2, 255], THREE, "index"),
    ],
)
def test_values_lead_to_a_rule(values: list[int], space: LabelSpace, rule: str) -> None:
    assert infer_mask_rule(values, space) == rule


def test_a_colour_table_is_the_only_rule() -> None:
    table = {(255, 0, 0): "crack"}
    assert infer_mask_rule([(0, 0, 0), (255, 0, 0)], BINARY, table) == "rgb"
    with pytest.raises(
        MaskError, match=r"colours \(0, 0, 0\), \(9, 9, 9\) do not fit the rule rgb"
    ):
        infer_mask_rule([(0, 0, 0), (9, 9, 9)], BINARY, table)


def test_misfit_shows_the_first_ten_values_and_what_each_rule_wants() -> None:
    with pytest.raises(MaskError) as caught:
        infer_mask_rule(range(3, 40), BINARY)
    message = str(caught.value)
    assert "mask values 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 ... (first 10 of 37) fit no rule" in message
    assert "binary01 wants 0, 1;" in message
    assert "binary0255 wants 0, 255;" in message
    assert "index wants 0, 1, 255 = ignore" in message
    assert "data.mask_rule=threshold" in message


def test_index_above_the_classes_is_no_index() -> None:
    with pytest.raises(MaskError, match="values 0, 3 fit no rule: index wants 0, 1, 2, 255"):
        infer_mask_rule([0, 3], THREE)


def test_empty_masks_follow_the_others() -> None:
    assert resolve_rule([scan(0), scan(0), scan(0, 255)], BINARY) == "binary0255"
    assert resolve_rule([scan(0), scan(0), scan(0, 1)], BINARY) == "binary01"
    assert resolve_rule([scan(0)], BINARY) == "binary01"
    assert resolve_rule([], THREE) == "index"


def test_the_rule_of_most_wins() -> None:
    assert resolve_rule([scan(0, 255)] * 9 + [scan(0, 1)], BINARY) == "binary0255"
    assert resolve_rule([scan(0, 255)] * 9 + [scan(0, 7)], BINARY) == "binary0255"


def test_contradictory_masks_are_refused() -> None:
    with pytest.raises(MaskError, match="contradict each other: 2 hold 0 and 1, 2 hold 0 and 255"):
        resolve_rule([scan(0, 1), scan(0, 255)] * 2, BINARY)
    with pytest.raises(MaskError, match="255 may be foreground or ignore"):
        resolve_rule([scan(0, 1, 255), scan(0, 255)], BINARY)


def test_ignore_in_binary_masks() -> None:
    assert resolve_rule([scan(0, 1, 255), scan(0, 1), scan(1, 255)], BINARY) == "index"


def test_black_and_white_is_no_class_index() -> None:
    with pytest.raises(MaskError, match="hold only 0 and 255, but the labels are 3 classes"):
        resolve_rule([scan(0, 255), scan(0)], THREE)


def test_most_masks_without_a_rule_are_an_error_with_remedy() -> None:
    smeared = scan(0, 1, 2, 253, 254, 255, lossy=True)
    with pytest.raises(MaskError) as caught:
        resolve_rule([smeared, smeared, scan(0)], BINARY)
    assert "2 of 3 masks do not fit one rule; mask values 0, 1, 2, 253" in str(caught.value)
    assert "JPEG smears the values of a mask: export the masks as PNG" in str(caught.value)


def test_palette_files() -> None:
    assert resolve_rule([scan(palette={0, 1, 2, 255})], THREE) == "palette"
    with pytest.raises(MaskError, match="1 of 1 masks"):
        resolve_rule([scan(palette={0, 3})], THREE)


def test_multilabel_needs_colours() -> None:
    with pytest.raises(MaskError, match="'index' does not apply to multilabel labels"):
        resolve_rule([scan(0, 1)], BOTH)


def test_colour_rule_round_trip() -> None:
    rule = colour_rule({(0, 176, 0): (0,), (255, 0, 0): (0, 1), (255, 255, 255): None})
    assert rule == "rgb:000000=;00b000=0;ff0000=0+1;ffffff=ignore"
    assert parse_rule(rule, BOTH).classes == {
        (0, 0, 0): (),
        (0, 176, 0): (0,),
        (255, 0, 0): (0, 1),
        (255, 255, 255): None,
    }


@pytest.mark.parametrize(
    ("rule", "space", "message"),
    [
        ("binary02", BINARY, "unknown mask rule 'binary02'"),
        ("rgb", BINARY, "needs a colour table"),
        ("binary01", THREE, "'binary01' does not apply to multiclass labels"),
        ("threshold", BOTH, "'threshold' does not apply to multilabel labels"),
        ("rgb:00", BINARY, "malformed"),
        ("rgb:zzzzzz=0", BINARY, "malformed"),
        ("rgb:000000=x", BINARY, "malformed"),
        ("rgb:ff0000=1", BINARY, "names class 1, but there are 1"),
    ],
)
def test_wrong_rules(rule: str, space: LabelSpace, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        parse_rule(rule, space)


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=30), st.sampled_from([BINARY, THREE, BOTH]))
def test_any_text_is_a_rule_or_a_faultline_error(text: str, space: LabelSpace) -> None:
    for rule in (text, f"rgb:{text}"):
        try:
            parse_rule(rule, space)
        except FaultlineError:
            continue


def test_one_bit_png_is_read_as_black_and_white(tmp_path: Path) -> None:
    from faultline.data.masks import scan_mask

    bits = np.eye(8, dtype=bool)
    Image.fromarray(bits).save(tmp_path / "m.png")
    assert scan_mask(tmp_path / "m.png").grey == {0, 255}

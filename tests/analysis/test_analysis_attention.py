"""Share of heat in regions, and who is said to look at the background, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from faultline.analysis.attention import (
    BACKGROUND,
    ON_OBJECT,
    UNCERTAIN,
    cheating,
    judge,
)
from faultline.analysis.regions import OBJECT, Masks, heat_shares
from faultline.analysis.sample import choose_pictures, draw_training_pictures
from faultline.data.dual_prepare import MaskLabel
from faultline.data.manifest import Item, MaskFile
from faultline.types import LabelKind, LabelSpace


def test_share_of_heat_by_hand():
    heat = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 9]], np.float32)
    known = np.ones((2, 4), bool)
    known[1, 3] = False  # its nine count nowhere
    area = np.zeros((2, 4), bool)
    area[0, :2] = True
    found = heat_shares(heat, [area, ~area & known, area & False], known)
    np.testing.assert_allclose(found[0], [0.5, 2 / 7])
    np.testing.assert_allclose(found[1], [0.5, 5 / 7])
    assert np.isnan(found[2]).all()
    assert np.isnan(heat_shares(heat * 0, [area], known)).all()


def test_a_blind_map_has_the_share_of_the_area():
    area = np.random.default_rng(0).random((30, 20)) < 0.3
    found = heat_shares(np.ones((30, 20), np.float32), [area], np.ones((30, 20), bool))[0]
    assert found[0] == pytest.approx(found[1])


def shares(heat, area=0.2, count=8):
    noise = np.resize([-0.02, 0.02], count)
    return np.stack([heat + noise, np.full(count, area)], axis=1)


def groups(count=8):
    return [str(number) for number in range(count)]


def test_verdicts():
    good = judge("a", "bar", OBJECT, shares(0.6), groups())
    bad = judge("b", "bar", OBJECT, shares(0.05), groups())
    none = judge("c", "bar", OBJECT, shares(0.2), groups())
    assert [one.verdict for one in (good, bad, none)] == [ON_OBJECT, BACKGROUND, UNCERTAIN]
    assert good.gain == pytest.approx(good.heat - 0.2)
    assert good.low < good.gain < good.high
    assert cheating([good, bad, none]) == [bad]
    assert cheating([replace(bad, region="leaf")]) == []


def test_few_groups_say_nothing():
    assert judge("a", "bar", OBJECT, shares(0.9), ["one"] * 8).verdict == UNCERTAIN
    assert judge("a", "bar", OBJECT, shares(0.9, count=2), groups(2)).verdict == UNCERTAIN
    without = judge("a", "bar", OBJECT, np.full((3, 2), np.nan), groups(3))
    assert (without.pictures, without.verdict) == (0, UNCERTAIN)


def item(name, part=(), group=None, targets=(0,)):
    return Item(name, f"/{name}", None, group or name, name, 4, 4, targets=targets)


def test_the_object_is_the_own_channel_or_all_but_the_background(tmp_path):
    import cv2

    def masks(names):
        path = tmp_path / "x_mask.png"
        cv2.imwrite(str(path), np.array([[1, 2, 4, 0]], np.uint8))
        np.save(tmp_path / "x_conf.npy", np.array([[1, 1, 1, 0.1]], np.float16))
        picture = Item("x", tmp_path / "x.png", None, "x", "x", 4, 1)
        labelled = replace(picture, mask_file=MaskFile(path, "bits:0.6"))
        space = LabelSpace(LabelKind.MULTILABEL, names)
        return Masks(space, {str(picture.path): MaskLabel(labelled, "A")}), picture

    found, picture = masks(("background", "Healthy", "sign"))
    areas, known = found.regions(picture, "RedRot")
    assert found.channels == (OBJECT, "background", "Healthy", "sign")
    assert known.tolist() == [[True, True, True, False]]
    assert [one.tolist()[0] for one in areas] == [
        [False, True, True, False], [True, False, False, False],
        [False, True, False, False], [False, False, True, False],
    ]  # fmt: skip
    own, picture = masks(("bar", "spot", "crack"))
    assert own.regions(picture, "Spot")[0][0].tolist() == [[False, True, False, False]]
    assert own.regions(item("other"), "spot") is None


def test_validation_first_and_groups_apart():
    space = LabelSpace(LabelKind.MULTICLASS, ("a", "b"))
    valid = [item(f"v{k}", group="g" if k < 3 else None) for k in range(5)]
    train = [item(f"t{k}", targets=(k % 2,)) for k in range(6)]
    chosen = choose_pictures(train, valid, space, 6, seed=0)
    of_a = [one for one in chosen if one.class_index == 0]
    assert [one.part for one in of_a] == ["valid"] * 5 + ["train"]
    assert len({one.item.group for one in of_a[:3]}) == 3
    assert [one.item.id[0] for one in chosen if one.class_index == 1] == ["t"] * 3
    assert chosen == choose_pictures(train, valid, space, 6, seed=0)


def test_training_pictures_are_drawn_once_each():
    train = [item(f"t{k}") for k in range(9)]
    drawn = draw_training_pictures(train, 4, 0)
    assert len({one.id for one in drawn}) == 4
    assert draw_training_pictures(train, 20, 0) == train

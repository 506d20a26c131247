"""Pseudo-labels on disk: what is read, what is ignored, what is refused."""

import cv2
import numpy as np
import pytest
from tiny_dual import CHANNELS, write_channels, write_pseudo_label

from faultline.config.schema import DataConfig
from faultline.data.dual_prepare import prepare_dual
from faultline.data.manifest import label_hash
from faultline.data.masks import load_mask
from faultline.data.pseudo_masks import find_pseudo_label, read_bits, read_channels
from faultline.errors import DataError, MaskError
from faultline.types import LabelKind

BITS = np.array([[1, 2, 4], [6, 0, 7]], np.uint8)


def test_channels_are_independent_labels_with_their_colours(tmp_path):
    space = read_channels(write_channels(tmp_path))
    assert space.kind is LabelKind.MULTILABEL
    assert space.names == tuple(name for name, _ in CHANNELS)
    assert space.colours[1] == (255, 255, 0)
    assert space.first == 1


@pytest.mark.parametrize(
    "text", ["{}", "no json", '{"channels": [{"name": "a"}]}', '{"channels": []}',
             '{"channels": [{"name": "a", "color": [0, 0]}]}'],
)  # fmt: skip
def test_a_bad_list_of_channels_is_refused_with_its_form(tmp_path, text):
    (tmp_path / "channels.json").write_text(text)
    with pytest.raises(DataError, match=r"channels\.json"):
        read_channels(tmp_path)


def test_each_bit_is_a_plane_and_uncertain_pixels_are_ignored(tmp_path):
    confidence = np.array([[1, 1, 0.5], [1, 0.59, 0.6]])
    write_pseudo_label(tmp_path, "a/x.jpg", BITS, confidence, "A")
    planes = read_bits(tmp_path / "a/x_mask.png", 3, 0.6)
    expected = np.stack([(BITS >> c) & 1 for c in range(3)])
    # 0.6 in float16 is a little more than 0.6: it counts.
    expected[:, confidence < 0.6] = 255
    assert np.array_equal(planes, expected)


@pytest.mark.parametrize("place", ["", "train", "val"])
def test_it_is_found_below_a_split_too(tmp_path, place):
    write_pseudo_label(tmp_path / place, "rust/x.jpg", BITS, np.ones((2, 3)), "b")
    found = find_pseudo_label(tmp_path, "rust/x.jpg")
    assert (found.tier, found.mask.name) == ("B", "x_mask.png")
    assert find_pseudo_label(tmp_path, "rust/y.jpg") is None


def test_a_tier_that_is_none_is_refused(tmp_path):
    write_pseudo_label(tmp_path, "rust/x.jpg", BITS, np.ones((2, 3)), "D")
    with pytest.raises(DataError, match="tier 'D'"):
        find_pseudo_label(tmp_path, "rust/x.jpg")


def test_bits_without_a_channel_and_other_sizes_are_refused(tmp_path):
    write_pseudo_label(tmp_path, "x.png", BITS, np.ones((2, 3)), "A")
    with pytest.raises(MaskError, match="holds the value 7, but 2 channels end at 3"):
        read_bits(tmp_path / "x_mask.png", 2, 0.6)
    np.save(tmp_path / "x_conf.npy", np.ones((3, 3), np.float16))
    with pytest.raises(MaskError, match=r"shape \(3, 3\)"):
        read_bits(tmp_path / "x_mask.png", 3, 0.6)
    cv2.imwrite(str(tmp_path / "x_mask.png"), np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(MaskError, match="no 8-bit grey"):
        read_bits(tmp_path / "x_mask.png", 3, 0.6)


def config(root, folder):
    return DataConfig(root=str(root), masks=str(folder), positive="*")


def test_tier_c_and_pictures_without_a_label_teach_only_their_class(pseudo_labelled):
    root, folder = pseudo_labelled
    found = prepare_dual(config(root, folder), 0, 0.6)
    assert found.tiers == {"A": 12, "B": 12, "C": 9, "none": 3}
    assert len(found.masks) == 24
    assert {label.tier for label in found.masks.values()} == {"A", "B"}
    assert found.label_space.names == ("bar", "clean", "spot")
    assert found.mask_space.names == ("background", "bar", "spot")
    every = [*found.train, *found.valid, *found.test]
    assert len(found.masked(every)) == 24 < len(every) == 36
    label = next(iter(found.masks.values())).item
    mask = load_mask(label, found.mask_space)
    assert (mask[:, :2] == 255).all()
    assert set(np.unique(mask[:, 2:])) <= {0, 1}


def test_a_changed_confidence_is_another_label(tmp_path, pseudo_labelled):
    root, folder = pseudo_labelled
    found = prepare_dual(config(root, folder), 0, 0.6)
    item = next(iter(found.masks.values())).item
    before = label_hash(item)
    path = item.mask_file.path.with_name(item.mask_file.path.name.replace("_mask.png", "_conf.npy"))
    kept = path.read_bytes()
    np.save(path, np.zeros((24, 30), np.float16))
    changed = label_hash(item)
    path.write_bytes(kept)
    assert changed != before == label_hash(item)


def test_a_broken_pseudo_label_is_listed_and_the_rest_goes_on(tmp_path, pseudo_labelled):
    root, folder = pseudo_labelled
    tier = folder / "bar" / "bar-000_tier.txt"
    kept = tier.read_text()
    tier.write_text("?")
    try:
        found = prepare_dual(config(root, folder), 0, 0.6)
    finally:
        tier.write_text(kept)
    assert [problem.file for problem in found.problems] == ["bar/bar-000.png"]
    assert found.tiers["none"] == 4


def test_no_pseudo_label_at_all_is_refused(tmp_path, pseudo_labelled):
    with pytest.raises(DataError, match="holds no pseudo-label"):
        prepare_dual(config(pseudo_labelled[0], write_channels(tmp_path)), 0, 0.6)


def test_class_folders_without_masks_are_told_of_pseudo_labels(pseudo_labelled):
    with pytest.raises(DataError, match=r"no masks.*data\.masks"):
        prepare_dual(DataConfig(root=str(pseudo_labelled[0]), positive="*"), 0, 0.6)


def test_masks_of_class_folders_become_a_channel_each(masked_folders):
    found = prepare_dual(DataConfig(root=str(masked_folders), positive="*"), 0, 0.6)
    assert found.label_space.kind is LabelKind.MULTICLASS
    assert found.mask_space.kind is LabelKind.MULTILABEL
    assert found.mask_space.names == ("bar", "spot")
    for label in found.masks.values():
        mask = load_mask(label.item, found.mask_space)
        own = 0 if label.item.id.startswith("bar") else 1
        assert mask[own].any()
        assert not mask[1 - own].any()


def test_severstal_gives_a_channel_for_each_class(steel):
    found = prepare_dual(DataConfig(root=str(steel), positive="*"), 0, 0.6)
    assert found.label_space.kind is LabelKind.MULTILABEL
    assert found.mask_space.names == found.label_space.names == ("defect_1", "defect_2")
    for item in found.train:
        mask = load_mask(found.masks[str(item.path)].item, found.mask_space)
        assert tuple(np.flatnonzero(mask.any((1, 2)))) == item.targets

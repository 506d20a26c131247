"""What is read off the training labels before training."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from faultline.config import load_config
from faultline.data.prepare import prepare
from faultline.data.synthetic import ShapeSettings, write_shapes_dataset
from faultline.training import labels
from faultline.training.labels import class_shares, sample
from faultline.training.segmentation import SegmentationKind
from faultline.types import LabelKind, LabelSpace


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("shapes") / "data"
    settings = ShapeSettings(size=(64, 64), kinds=("circle", "line"), radius=(0.2, 0.3))
    write_shapes_dataset(root, {"train": 12, "valid": 3}, seed=1, settings=settings)
    return root


def shares_in_files(items):
    masks = np.stack([cv2.imread(str(item.mask_file.path), cv2.IMREAD_UNCHANGED) for item in items])
    return (np.bincount(masks.ravel(), minlength=3) / masks.size).tolist()


def test_shares_of_the_classes(data):
    prepared = prepare(load_config([f"data={data}"]).data, 0)
    found = class_shares(prepared.train, prepared.label_space)
    assert found == pytest.approx(shares_in_files(prepared.train))
    assert class_shares([], prepared.label_space) == pytest.approx([1 / 3] * 3)


def test_shares_of_one_class_and_of_classes_that_overlap(monkeypatch):
    masks = {
        "a": np.array([[1, 0, 255, 0]], np.uint8), "b": np.array([[0, 1, 0, 0]], np.uint8)
    }  # fmt: skip
    monkeypatch.setattr(labels, "load_mask", lambda item, space: masks[item])
    one = LabelSpace(LabelKind.BINARY, ("crack",))
    assert class_shares(["a", "b"], one) == pytest.approx([2 / 7])
    assert class_shares([], one) == [0.5]
    masks = {"a": np.array([[[1, 0, 255, 0]], [[1, 1, 255, 0]]], np.uint8)}
    both = LabelSpace(LabelKind.MULTILABEL, ("leaf", "spot"))
    assert class_shares(["a"], both) == pytest.approx([1 / 3, 2 / 3])


def test_training_starts_at_them(data):
    config = load_config([f"data={data}", "model=unet", "model.base_channels=4"])
    kind = SegmentationKind()
    prepared = kind.prepare(config)
    start = kind.task(config, prepared).network.head.bias.softmax(0).tolist()
    assert start == pytest.approx(shares_in_files(prepared.train))


def test_a_sample_spans_everything():
    assert list(sample(range(7))) == list(range(7))
    assert list(sample(range(200))) == list(range(200))
    found = list(sample(range(450)))
    assert found[:3] == [0, 3, 6]
    assert found[-1] == 447
    assert len(list(sample(range(201)))) <= 200
    assert list(sample([])) == []

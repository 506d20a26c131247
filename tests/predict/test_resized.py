"""A model trained on resized pictures answers at the size of the picture."""

import dataclasses

import numpy as np
import pytest
import torch

from faultline.artifacts.bundle import Bundle, load_bundle, save_bundle
from faultline.artifacts.contents import InputSpec
from faultline.data.resize import resize_picture, resize_probability, resized_shape
from faultline.errors import ConfigError
from faultline.models import create_model
from faultline.predict.predictor import Predictor
from faultline.types import LabelKind, LabelSpace


@pytest.fixture
def bundle():
    torch.manual_seed(0)
    model = create_model("unet_mini", base_channels=4)
    space = LabelSpace(LabelKind.BINARY, ("crack",))
    return Bundle("unet_mini", {"base_channels": 4}, space, model.state_dict())


def test_answers_equal_those_for_the_resized_picture(bundle, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    small = dataclasses.replace(bundle, input=InputSpec(resize=60))
    save_bundle(tmp_path / "small.safetensors", small)
    loaded = load_bundle(tmp_path / "small.safetensors")
    whole = Predictor(loaded, "cpu", "fp32").predict(image)
    inner = Predictor(bundle, "cpu", "fp32").predict(resize_picture(image, 60))
    assert whole.probability.shape == (1, 90, 120)
    assert whole.mask.shape == (90, 120)
    expected = resize_probability(inner.probability, 90, 120)
    np.testing.assert_array_equal(whole.probability, expected)


@pytest.mark.parametrize(
    ("shape", "longest", "expected"),
    [((90, 120), 60, (45, 60)), ((120, 90), 0, (120, 90)), ((3, 1000), 100, (1, 100))],
)
def test_resized_shape(shape, longest, expected):
    assert resized_shape(*shape, longest) == expected


def test_nothing_is_copied_where_nothing_changes():
    image = np.zeros((8, 10, 3), np.uint8)
    assert resize_picture(image, 0) is image
    assert resize_picture(image, 10) is image


def test_probabilities_stay_in_range():
    values = np.random.default_rng(0).random((2, 9, 7), dtype=np.float32)
    resized = resize_probability(values, 31, 40)
    assert resized.min() >= 0
    assert resized.max() <= 1


def test_a_negative_size_is_refused():
    with pytest.raises(ConfigError, match="resize is -1"):
        InputSpec(resize=-1)

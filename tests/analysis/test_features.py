"""Stages and dead channels, on networks made by hand and on backbones."""

import numpy as np
import pytest
import torch
from torch import nn

from faultline.analysis.features import FeatureMeter
from faultline.analysis.stages import activations_of, is_activation, taps_of
from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import InputSpec, Normalisation
from faultline.evaluation.classification.gradcam import GradCam
from faultline.models import MODELS, create_model
from faultline.predict.class_predictor import ClassPredictor
from faultline.predict.dual_head import classes_of
from faultline.types import LabelKind, LabelSpace

SPACE = LabelSpace(LabelKind.MULTICLASS, ("a", "b"))
PLAIN = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def by_hand(num_classes=2):
    """Channels: red, green - 2 (never above zero), 1; then their sum and its negative."""
    first, second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1)
    head = nn.Linear(2, num_classes)
    with torch.no_grad():
        first.weight.zero_()
        first.weight[0, 0] = first.weight[1, 1] = 1
        first.bias.copy_(torch.tensor([0.0, -2.0, 1.0]))
        second.weight.fill_(1)
        second.weight[1] = -1
        second.bias.zero_()
        head.weight.copy_(torch.eye(2))
        head.bias.zero_()
    return nn.Sequential(
        first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head
    )


@pytest.fixture(scope="module", autouse=True)
def _model():
    MODELS.register("by_hand", tags=["classification"])(by_hand)
    yield
    del MODELS._entries["by_hand"]


def predictor(name, size=(4, 4), **settings):
    settings = {"num_classes": 2, **settings}
    torch.manual_seed(0)
    state = create_model(name, **settings).state_dict()
    spec = InputSpec(height=size[0], width=size[1])
    bundle = Bundle(name, settings, SPACE, state, PLAIN, spec, task="classification")
    return ClassPredictor(bundle, "cpu", "fp32")


def test_stages_of_a_network_made_by_hand():
    meter = FeatureMeter(predictor("by_hand"))
    dark, red = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    red[:2, :, 0] = 255
    for picture in (dark, red):
        meter.add(picture)
    first, second = meter.stages()
    assert (first.name, first.channels, first.units, first.dead) == ("stage 1", 3, 3, 1)
    assert (second.units, second.dead, second.dead_share) == (2, 1, 0.5)
    # Half of one of two pictures is red: 16 ones of 96 values of red, and 32 of the constant.
    values = np.concatenate([np.ones(8), np.zeros(24), np.zeros(32), np.ones(32)])
    assert first.mean == pytest.approx(values.mean())
    assert first.spread == pytest.approx(values.std())
    np.testing.assert_allclose(first.by_channel, [0.25, 0, 1])
    np.testing.assert_allclose(meter.pooled()["stage 1"], [[0, 0, 1], [0.5, 0, 1]])
    np.testing.assert_allclose(meter.pooled()["embedding"], [[1, 0], [1.5, 0]])


def test_a_channel_is_alive_if_one_picture_wakes_it():
    meter = FeatureMeter(predictor("by_hand"))
    meter.add(np.zeros((4, 4, 3), np.uint8))
    assert meter.stages()[0].dead == 2
    awake = np.zeros((4, 4, 3), np.uint8)
    awake[0, 0, 0] = 1
    meter.add(awake)
    assert meter.stages()[0].dead == 1


def test_answers_are_those_of_the_predictor_and_no_hook_stays():
    made = predictor("by_hand")
    picture = np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8)
    before = hooks_of(made.model)
    found = FeatureMeter(made).add(picture)
    np.testing.assert_array_equal(found, made.predict(picture).probability)
    assert hooks_of(made.model) == before


def hooks_of(model):
    return [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]


@pytest.mark.parametrize(
    "name", ["conv_next", "mobile_one", "swin", "deit", "vit_hybrid", "efficient_net"]
)
def test_backbones_have_four_stages_with_living_functions(name):
    made = predictor(name, (64, 64))
    meter = FeatureMeter(made)
    rng = np.random.default_rng(1)
    for _ in range(2):
        meter.add(rng.integers(0, 255, (64, 64, 3), np.uint8))
    stages = meter.stages()
    assert [one.name for one in stages] == [f"stage {k}" for k in (1, 2, 3, 4)]
    assert all(one.units > 0 and one.spread > 0 for one in stages[1:])
    # Nothing has been trained to be silent: channels taken for places would show many dead ones.
    assert all(one.dead_share < 0.9 for one in stages if one.units)
    pooled = meter.pooled()
    assert pooled["embedding"].shape[0] == 2
    assert all(pooled[one.name].shape == (2, one.channels) for one in stages)


def test_widths_of_functions_are_those_of_channels():
    """Channels last in ConvNeXt's blocks, first in a convolutional network."""
    for name in ("conv_next", "mobile_one"):
        made = predictor(name, (64, 64))
        widths = {}

        def note(module, flat, name=name, widths=widths):
            module.register_forward_hook(
                lambda m, i, out: widths.update({m: (flat(out).shape[-1], out.shape)})
            )

        for module, flat in activations_of(made.model):
            note(module, flat)
        made.predict(np.zeros((64, 64, 3), np.uint8))
        assert widths
        parents = {child: parent for parent in made.model.modules() for child in parent.children()}
        for module, (width, _) in widths.items():
            near = [c for c in parents[module].modules() if isinstance(c, (nn.Linear, nn.Conv2d))]
            sizes = {s for c in near for s in (c.weight.shape[0], c.weight.shape[1])}
            assert not sizes or width in sizes


def test_gates_are_no_activations():
    assert not any(is_activation(one) for one in (nn.Sigmoid(), nn.Hardsigmoid(), nn.Tanh()))
    assert all(is_activation(one) for one in (nn.ReLU(), nn.GELU(), nn.SiLU(), nn.Mish()))
    assert not is_activation(nn.Linear(1, 1))


def test_other_networks_are_read_at_quarters():
    layers = [part for _ in range(9) for part in (nn.Conv2d(3, 3, 1), nn.ReLU())]
    taps = taps_of(nn.Sequential(*layers))
    chosen = [layers[1::2].index(tap.module) for tap in taps]
    assert chosen == [1, 3, 5, 8]


def test_the_class_head_of_two_heads_is_read_like_any_classifier():
    pytest.importorskip("captum.attr")
    settings = {"num_classes": 2, "num_masks": 1, "backbone": "conv_next", "size": "nano"}
    torch.manual_seed(0)
    state = create_model("dual_head", **settings).state_dict()
    masks = LabelSpace(LabelKind.BINARY, ("leaf",))
    both = Bundle(
        "dual_head", settings, masks, state, PLAIN, InputSpec(height=64, width=64),
        task="dual_head", extra={"classes": SPACE.to_dict()},
    )  # fmt: skip
    made = ClassPredictor(classes_of(both), "cpu", "fp32")
    picture = np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)
    meter = FeatureMeter(made)
    meter.add(made.fit(picture))
    assert [one.name for one in meter.stages()] == [f"stage {k}" for k in (1, 2, 3, 4)]
    width = made.model.head.in_features
    assert meter.pooled()["embedding"].shape == (1, width)
    heat = GradCam(made).heat_on(picture, 1)
    assert heat.shape == (48, 80)
    assert 0 <= heat.min() <= heat.max() <= 1

"""CBAM against its equations, against timm's, and inside networks."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from faultline.errors import ConfigError
from faultline.models.backbones import PLANS, create_backbone
from faultline.models.cbam import CBAM, ChannelAttention, SpatialAttention

STAGED = [plan.name for plan in PLANS if plan.kind == "staged"]
OTHERS = [plan.name for plan in PLANS if plan.kind != "staged"]


def maps(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_channel_attention_is_equation_2():
    attention = ChannelAttention(32, reduction=4)
    x = maps(2, 32, 5, 7)
    w0, w1 = attention.squeeze.weight.detach().numpy(), attention.excite.weight.detach().numpy()
    array = x.numpy()
    scale = sum(
        np.maximum(summary @ w0.T, 0) @ w1.T
        for summary in (array.mean((2, 3)), array.max(axis=(2, 3)))
    )
    expected = array * sigmoid(scale)[:, :, None, None]
    np.testing.assert_allclose(attention(x).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_spatial_attention_is_equation_3():
    attention = SpatialAttention()
    x = maps(2, 8, 9, 6)
    stacked = np.stack([x.numpy().mean(1), x.numpy().max(1)], axis=1)
    padded = np.pad(stacked, ((0, 0), (0, 0), (3, 3), (3, 3)))
    kernel = attention.conv.weight.detach().numpy()[0]
    scores = np.zeros((2, 9, 6))
    for row in range(9):
        for column in range(6):
            window = padded[:, :, row : row + 7, column : column + 7]
            scores[:, row, column] = (window * kernel).sum((1, 2, 3))
    expected = x.numpy() * sigmoid(scores)[:, None]
    np.testing.assert_allclose(attention(x).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_channel_attention_agrees_with_timm():
    layers = pytest.importorskip("timm.layers.cbam")
    theirs, ours = layers.ChannelAttn(64, rd_channels=8), ChannelAttention(64, reduction=8)
    with torch.no_grad():
        ours.squeeze.weight.copy_(theirs.fc1.weight.flatten(1))
        ours.excite.weight.copy_(theirs.fc2.weight.flatten(1))
    x = maps(2, 64, 6, 5)
    torch.testing.assert_close(ours(x), theirs(x))


def test_channels_come_before_places():
    both = CBAM(16)
    x = maps(1, 16, 8, 8)
    channel, spatial = both
    assert isinstance(channel, ChannelAttention)
    assert isinstance(spatial, SpatialAttention)
    after = channel.weights(x) * x
    torch.testing.assert_close(both(x), spatial.weights(after) * after)
    assert not torch.allclose(both(x), channel(spatial(x)))


def test_none_is_the_identity_without_parameters():
    x = maps(1, 4, 3, 3)
    assert CBAM(4, "none")(x) is x
    assert not list(CBAM(4, "none").parameters())


@pytest.mark.parametrize(("attention", "kinds"), [
    ("channel", [ChannelAttention]), ("spatial", [SpatialAttention]),
    ("both", [ChannelAttention, SpatialAttention]),
])  # fmt: skip
def test_one_or_both_can_be_taken(attention, kinds):
    assert [type(part) for part in CBAM(32, attention)] == kinds


def test_a_channel_that_decides_is_kept_and_others_are_damped():
    attention = ChannelAttention(8, reduction=1)
    with torch.no_grad():
        attention.squeeze.weight.copy_(torch.eye(8))
        attention.excite.weight.copy_(4 * torch.eye(8) - 2 * torch.ones(8, 8))
    x = torch.zeros(1, 8, 4, 4)
    x[:, 2] = 3.0
    weights = attention.weights(x).flatten()
    assert weights[2] > 0.99
    assert torch.cat([weights[:2], weights[3:]]).max() < 0.01


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"attention": "all"}, "attention='all'"),
        ({"reduction": 0}, "reduction"),
        ({"kernel": 4}, "kernel=4"),
        ({"channels": 0}, "channels"),
    ],
)
def test_bad_settings_are_refused(settings, word):
    with pytest.raises(ConfigError, match=word):
        CBAM(**{"channels": 8, **settings})


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("conv_next", "swin", "mobile_one")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in STAGED
    ],
)  # fmt: skip
def test_it_goes_after_every_stage_of_every_network_with_stages(name):
    pytest.importorskip("timm")
    torch.manual_seed(0)
    plain = create_backbone(name)
    attended = create_backbone(name, cbam="both", cbam_stages=[1, 2, 3, 4])
    assert attended.channels == plain.channels
    parts = [part for part in attended.modules() if isinstance(part, CBAM)]
    assert [part[0].excite.out_features for part in parts] == list(plain.channels)
    features, embedding = attended.train().features_and_embedding(maps(2, 3, 64, 96))
    sum(each.square().mean() for each in [*features, embedding]).backward()
    for part in parts:
        assert all(p.grad is not None and p.grad.any() for p in part.parameters())
    assert embedding.shape == (2, plain.embedding_dim)


def test_a_map_is_what_the_attention_gives():
    pytest.importorskip("timm")
    torch.manual_seed(0)
    backbone = create_backbone("conv_next", cbam="both", cbam_stages=[2]).eval()
    stage = backbone.model.stages[1]
    picture = maps(1, 3, 64, 64)
    with torch.no_grad():
        before = stage[0](backbone.model.stages[0](backbone.model.stem(picture)))
        torch.testing.assert_close(backbone(picture)[1], stage[1](before))


def test_checkpointing_reaches_the_stage_behind_the_attention():
    pytest.importorskip("timm")
    torch.manual_seed(0)
    backbone = create_backbone("conv_next", cbam="both", features=False).eval()
    twin = copy.deepcopy(backbone)
    assert backbone.set_grad_checkpointing()
    assert backbone.model.stages[3][0].grad_checkpointing
    assert backbone.model.stages[3].grad_checkpointing
    assert not twin.model.stages[3].grad_checkpointing
    picture = maps(1, 3, 64, 64)
    for each in (backbone, twin):
        F.mse_loss(each.embed(picture), torch.ones(1, each.embedding_dim)).backward()
    for one, other in zip(backbone.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("name", OTHERS)
def test_networks_without_stages_refuse_it(name):
    pytest.importorskip("timm")
    with pytest.raises(ConfigError, match="cbam='both' needs a backbone with stages"):
        create_backbone(name, cbam="both")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"cbam": "all"}, "cbam='all'"),
        ({"cbam": "both", "cbam_stages": [0]}, "cbam_stages"),
        ({"cbam": "both", "cbam_stages": []}, "cbam_stages"),
        ({"cbam": "both", "cbam_stages": 3}, "cbam_stages"),
    ],
)
def test_bad_settings_of_a_backbone_are_refused(settings, word):
    pytest.importorskip("timm")
    with pytest.raises(ConfigError, match=word):
        create_backbone("conv_next", **settings)

"""Networks that name what a picture shows, and the two-headed one."""

import pytest
import torch
from torch import nn

from faultline.errors import ConfigError, UnknownNameError
from faultline.models import MODELS, Classifier, count_parameters, create_model
from faultline.models.backbones import PLANS
from faultline.models.cbam import CBAM
from faultline.models.dual_head import DualLogits

pytest.importorskip("timm")

SMALL = "resnet_mish"


def pictures(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_every_backbone_is_a_model_of_its_own_name(plan):
    model = create_model(plan.document.name, num_classes=5).eval()
    assert isinstance(model, Classifier)
    with torch.no_grad():
        logits = model(pictures(1, 3, 64, 64))
    assert logits.shape == (1, 5)
    entry = MODELS.get(plan.document.name)
    assert entry.name == plan.name
    assert entry.tags == {"classification"}
    assert entry.summary == plan.summary
    assert set(entry.settings()) == set(MODELS.get("classifier").settings()) - {"backbone"}


def test_name_and_backbone_lead_to_the_same_network():
    first = create_model("classifier", backbone=SMALL, num_classes=2, dropout=0.2)
    second = create_model(SMALL, num_classes=2, dropout=0.2)
    assert first.state_dict().keys() == second.state_dict().keys()
    assert first.dropout.p == second.dropout.p == 0.2


def test_it_learns_which_half_is_bright():
    torch.manual_seed(0)
    model = create_model(SMALL, num_classes=1).train()
    picture = torch.zeros(4, 3, 64, 64)
    picture[:2, :, :32], picture[2:, :, 32:] = 1.0, 1.0
    truth = torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    losses = []
    for _ in range(12):
        loss = nn.functional.binary_cross_entropy_with_logits(model(picture), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_dropout_acts_in_training_only():
    model = create_model(SMALL, dropout=0.5)
    picture = pictures(2, 3, 64, 64)
    with torch.no_grad():
        model.eval()
        assert torch.equal(model(picture), model(picture))
        model.train()
        assert not torch.equal(model(picture), model(picture))


@pytest.mark.parametrize("name", [SMALL, "deit", "conv_next"])
def test_the_maximum_pools_the_embedding_and_the_highest_value_of_every_channel(name):
    model = create_model(name, num_classes=3, pooling="maximum").eval()
    batch = pictures(2, 3, 65, 96)
    with torch.no_grad():
        maps, embedding = model.backbone.features_and_embedding(batch)
        highest = [each.flatten(2).sort(-1).values[..., -1] for each in maps]
        expected = model.head(model.norm(torch.cat([embedding, *highest], 1)))
        torch.testing.assert_close(model(batch), expected)
    assert model.head.in_features == model.backbone.embedding_dim + sum(model.backbone.channels)
    assert isinstance(model.norm, nn.LayerNorm)


def test_the_maximum_is_moved_more_than_the_average_by_a_small_sign():
    """One spot of 4 x 4 in 256 x 256: the average all but forgets it."""
    plain = 0.3 * pictures(1, 3, 256, 256)
    spot = plain.clone()
    spot[..., 128:132, 128:132] = 5.0
    moved = {}
    for pooling in ("average", "maximum"):
        torch.manual_seed(0)
        model = create_model(SMALL, pooling=pooling).eval()
        with torch.no_grad():
            one, other = (model.norm(model._pooled(each)) for each in (plain, spot))
        moved[pooling] = float((one - other).norm() / one.norm())
    assert moved["maximum"] > 2 * moved["average"]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"pooling": "max"}, "pooling='max'.*average, maximum"),
        ({"num_classes": 0}, "num_classes"),
        ({"dropout": 1.0}, "dropout"),
        ({"backbon": "swin"}, "did you mean 'backbone'"),
    ],
)
def test_bad_settings_are_refused(settings, word):
    with pytest.raises(ConfigError, match=word):
        create_model("classifier", **settings)


def test_an_unknown_backbone_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'reg_net'"):
        create_model("classifier", backbone="regnet")


def attentions(model):
    return [key for key, part in model.named_modules() if isinstance(part, CBAM)]


def test_convnext_cbam_attends_after_stages_3_and_4():
    model = create_model("convnext_cbam", num_classes=4).eval()
    assert attentions(model) == ["backbone.model.stages.2.1", "backbone.model.stages.3.1"]
    with torch.no_grad():
        assert model(pictures(1, 3, 64, 100)).shape == (1, 4)


def test_convnext_cbam_in_full_is_convnext_tiny():
    with torch.device("meta"):
        model = create_model("convnext_cbam", num_classes=4, size="full")
    # ConvNeXt-Tiny without its classifier: 27,820,128 (Liu et al. 2022: 28.6 M with it).
    plain = 27_820_128 + 768 * 4 + 4
    assert count_parameters(model) == plain + 2 * 384 * 24 + 2 * 768 * 48 + 2 * 98


@pytest.mark.parametrize(("attention", "count"), [("none", 0), ("channel", 1), ("spatial", 1)])
def test_convnext_cbam_takes_less_for_ablations(attention, count):
    model = create_model("convnext_cbam", attention=attention, stages=[4])
    assert len(attentions(model)) == count


def test_checkpointing_can_be_asked_of_the_model():
    assert create_model("convnext_cbam").set_grad_checkpointing()
    assert not create_model("csp_darknet").set_grad_checkpointing()


@pytest.mark.parametrize("backbone", [SMALL, "conv_next", "deit", "swin"])
def test_dual_head_gives_classes_and_masks(backbone):
    torch.manual_seed(0)
    model = create_model("dual_head", num_classes=5, num_masks=2, backbone=backbone).train()
    answer = model(pictures(2, 3, 70, 90))
    assert isinstance(answer, DualLogits)
    assert answer.classes.shape == (2, 5)
    assert answer.masks.shape == (2, 2, 70, 90)
    (answer.classes.square().mean() + answer.masks.square().mean()).backward()
    assert [key for key, each in model.named_parameters() if each.grad is None] == []


@pytest.mark.parametrize(
    "settings",
    [
        {"num_masks": 0},
        {"decoder_channels": 1},
        {"aspp_rates": []},
        {"skip_channels": 0},
        {"answer": "neither"},
    ],
)
def test_dual_head_refuses_bad_settings(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        create_model("dual_head", backbone=SMALL, **settings)


def test_dual_head_has_a_tag_of_its_own():
    assert MODELS.get("dual_head").tags == {"dual_head"}

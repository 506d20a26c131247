"""The first answer of an untrained network: how often each class occurs."""

from __future__ import annotations

import pytest
import torch

from faultline.models import create_model
from faultline.models.prior import RAREST, start_at_shares
from faultline.types import LabelKind

SHARES = {
    LabelKind.BINARY: [0.02],
    LabelKind.MULTILABEL: [0.5, 0.07, 0.3],
    LabelKind.MULTICLASS: [0.9, 0.07, 0.03],
}


@pytest.mark.parametrize("kind", SHARES)
@pytest.mark.parametrize(
    "name", ["unet", "unet_transformer", "unet_mini", "scratch_ed", "scratch_ed_plus",
             "scratch_ed_plus_dropout", "prompt_ed_plain"]
)  # fmt: skip
def test_a_network_that_knows_nothing_answers_with_the_shares(name: str, kind: LabelKind) -> None:
    shares = SHARES[kind]
    network = create_model(name, num_classes=len(shares)).eval()
    assert start_at_shares(network, shares, kind)
    torch.nn.init.zeros_(network.head.weight)
    with torch.no_grad():
        logits = network(torch.rand(1, 3, 64, 64))
    probability = logits.softmax(1) if kind is LabelKind.MULTICLASS else logits.sigmoid()
    wanted = torch.tensor(shares).view(1, -1, 1, 1).expand_as(probability)
    torch.testing.assert_close(probability, wanted)


@pytest.mark.parametrize("kind", [LabelKind.MULTILABEL, LabelKind.MULTICLASS])
def test_a_class_without_pixels_starts_rare_and_not_impossible(kind: LabelKind) -> None:
    network = create_model("unet", num_classes=3)
    assert start_at_shares(network, [0.5, 0.5, 0.0], kind)
    bias = network.head.bias
    start = bias.exp() if kind is LabelKind.MULTICLASS else bias.sigmoid()
    assert start.tolist() == pytest.approx([0.5, 0.5, RAREST])


def test_a_class_that_is_everywhere_starts_certain_but_finite() -> None:
    network = create_model("unet")
    assert start_at_shares(network, [1.0], LabelKind.BINARY)
    assert network.head.bias.sigmoid().item() == pytest.approx(1 - RAREST)


def test_other_networks_are_left_as_they_are() -> None:
    shares = SHARES[LabelKind.MULTICLASS]
    assert not start_at_shares(torch.nn.Conv2d(3, 3, 1), shares, LabelKind.MULTICLASS)
    assert not start_at_shares(create_model("unet", num_classes=4), shares, LabelKind.MULTICLASS)

"""The first answer of an untrained network: how often each class occurs."""

from __future__ import annotations

import pytest
import torch

from faultline.models import create_model
from faultline.models.prior import RAREST, start_at_shares

SHARES = [0.9, 0.07, 0.03]


@pytest.mark.parametrize(
    "name", ["unet", "unet_transformer", "unet_mini", "scratch_ed", "scratch_ed_plus",
             "scratch_ed_plus_dropout", "prompt_ed_plain"]
)  # fmt: skip
def test_a_network_that_knows_nothing_answers_with_the_shares(name: str) -> None:
    network = create_model(name, num_classes=3).eval()
    assert start_at_shares(network, SHARES)
    torch.nn.init.zeros_(network.head.weight)
    with torch.no_grad():
        probability = network(torch.rand(1, 3, 64, 64)).softmax(1)
    wanted = torch.tensor(SHARES).view(1, 3, 1, 1).expand_as(probability)
    torch.testing.assert_close(probability, wanted)


def test_a_class_without_pixels_starts_rare_and_not_impossible() -> None:
    network = create_model("unet", num_classes=3)
    assert start_at_shares(network, [0.5, 0.5, 0.0])
    assert network.head.bias.exp().tolist() == pytest.approx([0.5, 0.5, RAREST])


def test_other_networks_are_left_as_they_are() -> None:
    assert not start_at_shares(torch.nn.Conv2d(3, 3, 1), SHARES)
    assert not start_at_shares(create_model("unet", num_classes=4), SHARES)

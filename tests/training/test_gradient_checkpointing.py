"""Gradient checkpointing: the same gradients and averages, less memory, the same names."""

import pytest
import torch
from torch import nn

from faultline.models import MODELS
from faultline.training.gradient_checkpointing import enable_gradient_checkpointing


@pytest.mark.parametrize("name", ["unet", "unet_mini", "scratch_ed_plus", "unet_transformer",
                                  "scratch_ed_plus_dropout"])  # fmt: skip
def test_gradients_and_running_averages_are_the_same(name):
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = MODELS.build(name, base_channels=4).train()
        if checkpointing:
            assert enable_gradient_checkpointing(model) > 0
        torch.manual_seed(1)
        loss = model(torch.randn(2, 3, 48, 48)).square().mean()
        loss.backward()
        found.append((
            [p.grad for p in model.parameters()], [b.clone() for b in model.buffers()],
            torch.get_rng_state(),
        ))  # fmt: skip
    for a, b in zip(*(one[0] for one in found), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    for a, b in zip(*(one[1] for one in found), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(found[0][2], found[1][2])


def test_less_is_kept():
    from faultline.profiling.activations import activation_bytes

    kept = []
    for checkpointing in (False, True):
        model = MODELS.build("unet", base_channels=8).train()
        if checkpointing:
            enable_gradient_checkpointing(model)
        x = torch.randn(1, 3, 64, 64)
        kept.append(activation_bytes(model, lambda model=model, x=x: model(x).mean()))
    assert kept[1] < 0.5 * kept[0]


def test_state_names_and_evaluation_stay_as_they_were():
    model = MODELS.build("unet_mini", base_channels=4)
    names, x = list(model.state_dict()), torch.randn(1, 3, 32, 32)
    expected = model.eval()(x)
    enable_gradient_checkpointing(model)
    assert list(model.state_dict()) == names
    assert torch.equal(model.eval()(x), expected)


def test_a_networks_own_method_comes_first():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
            self.asked = None

        def set_grad_checkpointing(self, enable=True):
            self.asked = enable

    network = Own()
    assert enable_gradient_checkpointing(network) == 1
    assert network.asked is True
    assert "forward" not in vars(network.inner)

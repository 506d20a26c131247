"""Which layer is blamed for a NaN."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from faultline.contracts import first_nonfinite, first_nonfinite_in
from faultline.models import create_model


class Root(nn.Module):
    """1 / sqrt(x - 1) in code of its own, between two layers."""

    def __init__(self):
        super().__init__()
        self.before = nn.Linear(4, 4)
        self.block = nn.Sequential(nn.ReLU(), nn.Linear(4, 4))
        self.after = nn.Linear(4, 4)
        self.shift = 0.0

    def forward(self, x, scale=None):
        x = self.block(self.before(x))
        return self.after((x.abs() + self.shift).sqrt() if scale is None else x * scale)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Root()


def test_a_sound_network_has_none(net):
    assert first_nonfinite(net, torch.randn(2, 4)) is None


def test_a_broken_weight_is_named(net):
    with torch.no_grad():
        net.block[1].weight[2, 1] = torch.nan
    found = first_nonfinite(net, torch.randn(2, 4))
    assert (found.layer, found.part, found.value) == ("block.1", "weight", "NaN")
    assert str(found) == "layer 'block.1' (Linear) first gave NaN: its 'weight' holds NaN"


def test_an_overflow_is_found_where_it_happens(net):
    with torch.no_grad():
        net.after.weight.fill_(3e38)
    found = first_nonfinite(net, torch.randn(2, 4))
    assert (found.layer, found.part, found.value) == ("after", "output", "Inf")
    assert str(found) == "layer 'after' (Linear) first gave Inf"


def test_code_between_layers_is_told_from_the_layer_behind_it(net):
    net.shift = -100.0
    found = first_nonfinite(net, torch.randn(2, 4))
    assert (found.layer, found.part) == ("after", "input")
    assert "every layer before it gave finite values" in str(found)


@pytest.mark.parametrize("named", [False, True])
def test_a_batch_that_is_not_finite(net, named):
    x, bad = torch.randn(2, 4), torch.tensor(torch.inf)
    found = first_nonfinite(net, x, scale=bad) if named else first_nonfinite(net, x * bad)
    assert (found.layer, found.part, found.value) == ("", "input", "Inf")
    assert str(found) == "the model (Root) was given Inf"


def test_the_first_of_several_is_named():
    model = create_model("unet_mini", base_channels=4)
    with torch.no_grad():
        model.decoder[0][1][0].weight[0] = torch.nan
        model.head.bias.fill_(torch.nan)
    assert first_nonfinite(model, torch.randn(1, 3, 16, 16)).layer == "decoder.0.1.0"


def test_nested_outputs_are_looked_into():
    class Many(nn.Module):
        def forward(self, x):
            return {"a": [x, (x, x / 0)], "b": "text", "c": torch.ones(2, dtype=torch.int64)}

    assert first_nonfinite(Many(), torch.ones(1)).part == "output"


@pytest.mark.parametrize("broken", [False, True])
def test_nothing_is_changed_by_looking(broken):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 1, 1))
    if broken:
        nn.init.constant_(model[3].bias, torch.nan)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    first_nonfinite(model, torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    after = model.state_dict()
    assert all(torch.equal(before[k].nan_to_num(), after[k].nan_to_num()) for k in before)
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_another_method_than_the_call():
    @dataclass
    class Answer:
        value: torch.Tensor

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def fit(self, x):
            return Answer(self.layer(x).sum() / x[0, 0])

    model = Two()
    assert first_nonfinite_in(model.fit, model, torch.ones(1, 2)) is None
    assert str(first_nonfinite_in(model.fit, model, torch.zeros(1, 2) / 0)) == (
        "the model (Two) was given NaN"
    )
    assert first_nonfinite_in(model.fit, model, torch.zeros(1, 2)).part == "output"
    nn.init.constant_(model.layer.bias, torch.nan)
    found = first_nonfinite_in(model.fit, model, torch.ones(1, 2))
    assert (found.layer, found.part) == ("layer", "bias")
    assert not model.layer._forward_hooks

"""What every registered segmentation model has to hold; a plugin's model is one without a tag."""

import copy
import itertools

import pytest
import torch
from torch import nn

from faultline.artifacts.bundle import Bundle, load_bundle, save_bundle
from faultline.errors import ConfigError, UnknownNameError
from faultline.losses import create_loss
from faultline.models import MODELS, count_parameters, create_model
from faultline.types import LabelKind, LabelSpace

NAMES = [entry.name for entry in MODELS if not entry.tags or "segmentation" in entry.tags]
SMALL = {"base_channels": 8}
STEPS = 30


def build(name: str, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    return create_model(name, **SMALL, **settings)


def lines() -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures (2, 3, 32, 32) of one bright line each, and their masks (2, 32, 32)."""
    picture, truth = torch.zeros(2, 3, 32, 32), torch.zeros(2, 32, 32, dtype=torch.uint8)
    picture[0, :, 14:17], truth[0, 14:17] = 2.0, 1
    picture[1, :, :, 8:11], truth[1, :, 8:11] = 2.0, 1
    return picture, truth


def fit(model: nn.Module, picture: torch.Tensor, truth: torch.Tensor, steps: int) -> list[float]:
    """Train `model` a little; the loss of every step."""
    criterion = create_loss("bce")
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(steps):
        loss = criterion(model(picture), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", NAMES)
class TestEveryModel:
    @pytest.mark.parametrize("size", [(64, 64), (65, 33), (40, 57), (1, 1), (3, 130)])
    def test_gives_logits_of_the_size_of_the_picture(self, name, size):
        model = build(name, num_classes=2).eval()
        with torch.no_grad():
            assert model(torch.randn(1, 3, *size)).shape == (1, 2, *size)

    def test_every_parameter_gets_a_finite_gradient(self, name):
        model = build(name).train()
        model(torch.randn(2, 3, 64, 64)).square().mean().backward()
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
            assert parameter.grad.abs().sum() > 0, key

    @pytest.mark.parametrize("size", [(64, 64), (33, 17), (8, 8), (1, 1)])
    def test_trains_on_a_batch_of_one(self, name, size):
        model = build(name).train()
        logits = model(torch.randn(1, 3, *size))
        assert logits.shape == (1, 1, *size)
        logits.square().mean().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    def test_learns_a_bright_line(self, name):
        losses = fit(build(name).train(), *lines(), STEPS)
        assert losses[-1] < 0.5 * losses[0]

    def test_empty_masks_teach_that_there_is_nothing(self, name):
        picture, truth = lines()
        model = build(name).train()
        losses = fit(model, picture, torch.zeros_like(truth), 10)
        assert losses[-1] < losses[0]
        assert model(picture).isfinite().all()

    def test_masks_that_say_nothing_change_nothing(self, name):
        picture, truth = lines()
        model = build(name).train()
        before = [parameter.clone() for parameter in model.parameters()]
        assert fit(model, picture, torch.full_like(truth, 255), 2) == [0.0, 0.0]
        assert all(map(torch.equal, before, model.parameters()))

    def test_a_trained_bundle_round_trips_to_equal_output(self, name, tmp_path):
        model = build(name).train()
        fit(model, *lines(), 3)
        space = LabelSpace(LabelKind.BINARY, ("line",))
        bundle = Bundle(name, SMALL, space, model.state_dict())
        again = load_bundle(save_bundle(tmp_path / "some.safetensors", bundle)).build_model()
        picture = torch.randn(1, 3, 48, 40)
        with torch.no_grad():
            assert torch.equal(model.eval()(picture), again(picture))

    def test_the_same_seed_builds_the_same_weights(self, name):
        first, second = build(name).state_dict(), build(name).state_dict()
        assert all(torch.equal(first[key], second[key]) for key in first)

    def test_is_traceable_at_any_size(self, name):
        model = build(name).eval()
        traced = torch.fx.symbolic_trace(model)
        for size in [(32, 32), (41, 27)]:
            picture = torch.randn(1, 3, *size)
            with torch.no_grad():
                torch.testing.assert_close(traced(picture), model(picture))

    def test_channels_last_and_autocast_agree_with_plain(self, name):
        model = build(name).eval()
        picture = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            plain = model(picture)
            fast = copy.deepcopy(model).to(memory_format=torch.channels_last)
            laid = picture.contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(fast(laid), plain, atol=1e-4, rtol=1e-3)
            with torch.autocast("cpu", torch.bfloat16):
                rough = fast(laid).float()
        scale = plain.abs().max()
        assert (rough - plain).abs().max() < 0.1 * max(scale, torch.tensor(1.0))

    def test_an_unknown_setting_names_the_nearest(self, name):
        with pytest.raises(ConfigError, match="did you mean 'base_channels'"):
            create_model(name, base_chanels=8)

    def test_input_is_left_untouched(self, name):
        picture = torch.randn(1, 3, 33, 35)
        before = picture.clone()
        with torch.no_grad():
            build(name).eval()(picture)
        assert torch.equal(picture, before)


def test_parameter_counts_are_those_documented():
    counts = {name: count_parameters(create_model(name)) for name in NAMES}
    assert counts["unet_mini"] == pytest.approx(0.49e6, rel=0.02)
    assert 1e6 <= counts["scratch_ed"] <= 3e6
    assert 0.5e6 <= counts["scratch_ed_plus"] <= 3e6
    assert counts["scratch_ed_plus_dropout"] == counts["scratch_ed_plus"]


def test_unknown_model_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'scratch_ed_plus'"):
        create_model("scratch_ed_pluss")


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"stages": 2}, "stages"), ({"base_channels": 0}, "base_channels")],
)
def test_scratch_ed_refuses_bad_settings(settings, word):
    with pytest.raises(ConfigError, match=word):
        create_model("scratch_ed", **settings)


@pytest.mark.parametrize("rates", [[], [0, 1]])
def test_aspp_refuses_bad_rates(rates):
    with pytest.raises(ConfigError, match="aspp_rates"):
        create_model("scratch_ed_plus", aspp_rates=rates)


def test_dropout_variant_drops_only_while_training():
    model = build("scratch_ed_plus_dropout", dropout=0.5)
    picture = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        model.eval()
        assert torch.equal(model(picture), model(picture))
        model.train()
        assert not torch.equal(model(picture), model(picture))


@pytest.mark.parametrize("name", ["scratch_ed", "scratch_ed_plus"])
def test_no_dropout_in_the_core_models(name):
    kinds = (nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
    assert not any(isinstance(module, kinds) for module in create_model(name).modules())


def test_batch_of_one_and_two_agree_in_eval():
    for name, (height, width) in itertools.product(NAMES, [(48, 40)]):
        model = build(name).eval()
        pictures = torch.randn(2, 3, height, width)
        with torch.no_grad():
            together = model(pictures)
            alone = torch.cat([model(pictures[:1]), model(pictures[1:])])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)

"""Names, settings and the messages of wrong ones."""

import pytest
import torch

from faultline.errors import ConfigError, ContractError, UnknownNameError
from faultline.losses import LOSSES, create_loss

NAMES = {
    "bce", "bce_dice", "cldice", "cross_entropy", "dice", "focal", "focal_tversky", "lovasz",
    "tversky", "weighted_bce_dice",
}  # fmt: skip


def test_names_and_summaries() -> None:
    assert set(LOSSES.names()) >= NAMES
    assert all(entry.summary for entry in LOSSES)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("BCEDice", "bce_dice"),
        ("bce+dice", "bce_dice"),
        ("bce_with_logits", "bce"),
        ("focal_loss", "focal"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    assert type(create_loss(alias)) is type(create_loss(name))


def test_the_default_is_bce_dice() -> None:
    settings = create_loss().parameters_in_force()
    assert settings["bce_weight"] == settings["dice_weight"] == settings["smooth"] == 1.0
    assert type(create_loss()) is type(create_loss("bce_dice"))


def test_unknown_name_and_setting_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'focal_tversky'"):
        create_loss("focal_tversk")
    with pytest.raises(ConfigError, match="'smoth', did you mean 'smooth'"):
        create_loss("dice", smoth=1)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("dice", {"kind": "binry"}, "kind 'binry' .*its kinds: binary, multilabel, multiclass"),
        ("dice", {"smooth": -1}, "loss.smooth: -1 is not a number of at least 0"),
        ("dice", {"smooth": "much"}, "loss.smooth: 'much' is not a number"),
        ("dice", {"smooth": True}, "loss.smooth: True is not a number"),
        ("dice", {"smooth": float("nan")}, "loss.smooth: nan"),
        ("bce_dice", {"bce_weight": 0, "dice_weight": 0}, "bce_weight and dice_weight are all 0"),
        ("weighted_bce_dice", {"pos_weight": "automatic"}, "neither a number nor 'auto'"),
        ("weighted_bce_dice", {"pos_weight": 0}, "loss.pos_weight: 0 is not a number above 0"),
        ("weighted_bce_dice", {"max_pos_weight": 0.5}, "loss.max_pos_weight: 0.5"),
        ("focal", {"gamma": -2}, "loss.gamma: -2"),
        ("focal", {"alpha": 1.5}, "loss.alpha: 1.5 .* at most 1"),
        ("focal", {"alpha": [0.5, -1]}, "loss.alpha: -1"),
        ("focal", {"alpha": "auto"}, "loss.alpha"),
        ("focal_tversky", {"gamma": 0}, "loss.gamma: 0 is not a number above 0"),
        ("cldice", {"alpha": 2}, "loss.alpha: 2"),
        ("cldice", {"iterations": 0}, "loss.iterations: 0"),
        ("cldice", {"iterations": 2.5}, "loss.iterations: 2.5 is not a whole number"),
        ("cross_entropy", {"class_weights": [1, -1]}, "loss.class_weights: -1"),
        ("bce", {"pos_weight": 3}, "loss.pos_weight: 3 is not one number per class, nor 'bal"),
        ("bce", {"class_weights": "dynamic"}, "'dynamic' is not one number per class, nor 'bal"),
        ("focal", {"alpha": "dynamc"}, "'dynamc' is not one number per class, nor 'dynamic'"),
        ("focal", {"alpha": "dynamic"}, "counted from the training pictures, in classification"),
    ],
)
def test_settings_out_of_range(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_loss(name, **settings)


def test_the_number_of_class_values_must_fit_the_logits() -> None:
    loss = create_loss("cross_entropy", class_weights=[1, 2])
    with pytest.raises(ConfigError, match=r"loss\.class_weights: 2 values for logits of K = 3"):
        loss(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))


def test_a_multiclass_target_holds_integers() -> None:
    with pytest.raises(ContractError, match="float32, expected integer class indices"):
        create_loss("cross_entropy")(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2))


def test_binary_target_may_carry_its_channel() -> None:
    logits, target = torch.randn(2, 1, 4, 4), torch.randint(0, 2, (2, 4, 4))
    loss = create_loss("bce_dice")
    assert torch.equal(loss(logits, target), loss(logits, target[:, None]))
    assert torch.equal(loss(logits, target.bool()), loss(logits, target))


def test_a_nan_in_a_soft_target_is_refused() -> None:
    target = torch.tensor([[[0.0, float("nan")]]])
    with pytest.raises(ContractError, match="values from nan to nan"):
        create_loss("bce")(torch.zeros(1, 1, 1, 2), target)

"""Losses on whole pictures: (B, K) logits are (B, K, 1, 1), and class balance is as defined."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from faultline.errors import ConfigError, ContractError
from faultline.losses import LOSSES, check_for_pictures, create_loss, settings_from_targets

PICTURE_LOSSES = [entry.name for entry in LOSSES if "classification" in entry.tags]
CASES = [(name, kind.value) for name in PICTURE_LOSSES for kind in LOSSES.get(name).builder.kinds]


def batch(kind, count=6, classes=3):
    generator = torch.Generator().manual_seed(3)
    classes = 1 if kind == "binary" else classes
    logits = torch.randn(count, classes, generator=generator)
    if kind == "multiclass":
        return logits, torch.arange(count) % classes
    return logits, (torch.rand(count, classes, generator=generator) < 0.4).float()


def test_the_losses_of_the_document_are_there():
    assert {"focal", "bce", "asymmetric", "cross_entropy"} <= set(PICTURE_LOSSES)
    assert LOSSES.get("focal_loss").name == "focal"
    assert LOSSES.get("bce_with_logits").name == "bce"


@pytest.mark.parametrize(("name", "kind"), CASES)
class TestEveryPictureLoss:
    def test_a_picture_is_a_single_pixel(self, name, kind):
        logits, target = batch(kind)
        loss = create_loss(name, kind=kind)
        pixel = target[:, None, None] if kind == "multiclass" else target[..., None, None]
        torch.testing.assert_close(loss(logits, target), loss(logits[..., None, None], pixel))

    def test_weight_zero_leaves_a_picture_out(self, name, kind):
        logits, target = batch(kind)
        loss = create_loss(name, kind=kind)
        weight = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 1.0])
        kept = weight > 0
        torch.testing.assert_close(loss(logits, target, weight), loss(logits[kept], target[kept]))

    def test_smoothing_raises_the_loss_of_a_sure_answer(self, name, kind):
        target = batch(kind)[1]
        truth = F.one_hot(target, 3).float() if kind == "multiclass" else target
        sure = (2 * truth - 1) * 9
        plain = create_loss(name, kind=kind)(sure, target)
        smooth = create_loss(name, kind=kind, label_smoothing=0.1)(sure, target)
        assert smooth > plain

    def test_little_smoothing_is_none(self, name, kind):
        logits, target = batch(kind)
        plain = create_loss(name, kind=kind)(logits.double(), target)
        nearly = create_loss(name, kind=kind, label_smoothing=1e-12)(logits.double(), target)
        torch.testing.assert_close(nearly, plain)

    def test_class_weights_of_one_are_none(self, name, kind):
        logits, target = batch(kind)
        ones = [1.0] * logits.shape[1]
        plain = create_loss(name, kind=kind)(logits, target)
        torch.testing.assert_close(
            create_loss(name, kind=kind, class_weights=ones)(logits, target), plain
        )

    def test_rebuilds_from_its_parameters_in_force(self, name, kind):
        logits, target = batch(kind)
        weights = [0.5, 2.0, 1.0][: logits.shape[1]]
        loss = create_loss(name, kind=kind, class_weights=weights, label_smoothing=0.05)
        again = create_loss(name, **loss.parameters_in_force())
        torch.testing.assert_close(again(logits, target), loss(logits, target))


def test_bce_is_that_of_torch():
    logits, target = batch("multilabel")
    torch.testing.assert_close(
        create_loss("bce_with_logits", kind="multilabel")(logits, target),
        F.binary_cross_entropy_with_logits(logits, target),
    )
    factors = [2.0, 0.5, 7.0]
    torch.testing.assert_close(
        create_loss("bce", kind="multilabel", pos_weight=factors)(logits, target),
        F.binary_cross_entropy_with_logits(logits, target, pos_weight=torch.tensor(factors)),
    )


def test_cross_entropy_is_that_of_torch_with_weights_and_smoothing():
    logits, target = batch("multiclass")
    torch.testing.assert_close(
        create_loss("cross_entropy", kind="multiclass", label_smoothing=0.2)(logits, target),
        F.cross_entropy(logits, target, label_smoothing=0.2),
    )
    weights = [0.5, 1.0, 3.0]
    torch.testing.assert_close(
        create_loss("ce", kind="multiclass", class_weights=weights)(logits, target),
        F.cross_entropy(logits, target, weight=torch.tensor(weights)),
    )


def test_focal_is_that_of_torchvision():
    from torchvision.ops import sigmoid_focal_loss

    logits, target = batch("multilabel")
    torch.testing.assert_close(
        create_loss("focal_loss", kind="multilabel", gamma=2.0, alpha=0.25)(logits, target),
        sigmoid_focal_loss(logits, target, alpha=0.25, gamma=2.0, reduction="mean"),
    )


def test_alpha_a_class_by_hand():
    # Logit 0: p = 1/2, so every term is alpha_t / 4 * ln 2.
    logits, target = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    loss = create_loss("focal", kind="multilabel", gamma=2.0, alpha=[0.9, 0.3])
    expected = (0.9 + (1 - 0.3)) / 2 * 0.25 * math.log(2)
    assert loss(logits, target).item() == pytest.approx(expected, rel=1e-6)


def test_dynamic_alpha_is_one_minus_frequency():
    targets = np.zeros((60, 2), np.uint8)
    targets[:44, 0] = 1  # 73 % as defect 3 of the document
    targets[0, 1] = 1  # 1.7 % as defect 2
    settings = settings_from_targets("focal_loss", {}, targets)
    assert settings["alpha"] == pytest.approx([1 - 44 / 60, 1 - 1 / 60])
    assert settings_from_targets("focal", {"alpha": None}, targets) == {"alpha": None}
    assert settings_from_targets("focal", {"alpha": 0.25}, targets) == {"alpha": 0.25}


def test_alpha_by_batch_is_counted_in_the_batch():
    logits, target = batch("multilabel")
    frequency = target.mean(0).tolist()
    by_hand = create_loss("focal", kind="multilabel", alpha=[1 - f for f in frequency])
    counted = create_loss("focal", kind="multilabel", alpha="batch")
    torch.testing.assert_close(counted(logits, target), by_hand(logits, target))
    assert counted.parameters_in_force()["alpha"] == "batch"


def test_balanced_weights():
    targets = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]], np.uint8)
    bce = settings_from_targets("bce", {"pos_weight": "balanced"}, targets)
    assert bce["pos_weight"] == pytest.approx([1 / 3, 3.0, 1.0])  # 1: nobody shows the last one
    ce = settings_from_targets("ce", {"class_weights": "balanced"}, targets)
    assert ce["class_weights"] == pytest.approx([4 / 9, 4 / 3, 1.0])


def test_asymmetric_by_hand():
    """Ridnik et al. 2021, eqs. 3 to 6, in float64."""
    logits, target = batch("multilabel")
    p = logits.double().sigmoid()
    shifted = (p - 0.05).clamp_min(0)
    positive = (1 - p) ** 1 * -p.log()
    negative = shifted**4 * -(1 - shifted).log()
    expected = (target * positive + (1 - target) * negative).mean()
    loss = create_loss("asymmetric", kind="multilabel", gamma_neg=4, gamma_pos=1, margin=0.05)
    torch.testing.assert_close(loss(logits.double(), target.double()), expected)


def test_asymmetric_without_margin_is_focal():
    logits, target = batch("multilabel")
    asymmetric = create_loss("asl", kind="multilabel", gamma_neg=2, gamma_pos=2, margin=0)
    focal = create_loss("focal", kind="multilabel", gamma=2.0)
    torch.testing.assert_close(asymmetric(logits, target), focal(logits, target))


def test_easy_negatives_cost_nothing_and_have_no_slope():
    logits = torch.full((1, 1), -6.0, requires_grad=True)
    loss = create_loss("asymmetric", kind="binary", margin=0.05)(logits, torch.zeros(1, 1))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().max() < 1e-12


@pytest.mark.parametrize("name", PICTURE_LOSSES)
def test_extreme_logits_stay_finite(name):
    kind = LOSSES.get(name).builder.kinds[-1].value
    logits = torch.tensor([[90.0, -90.0, 90.0], [-90.0, 90.0, 0.0]], requires_grad=True)
    target = (
        torch.tensor([1, 0]) if kind == "multiclass" else torch.tensor([[0.0, 1, 0], [1, 0, 1]])
    )
    value = create_loss(name, kind=kind, label_smoothing=0.1)(logits, target)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: check_for_pictures("bce_dice"), ["segmentation loss", "focal"]),
        (lambda: create_loss("focal", alpha="dynamic"), ["'dynamic'", "loss.alpha"]),
        (lambda: create_loss("bce", pos_weight="balanced"), ["'balanced'", "loss.pos_weight"]),
        (lambda: create_loss("asymmetric", margin=2.0), ["margin", "at most 1"]),
        (lambda: create_loss("asymmetric", kind="multiclass"), ["multiclass", "multilabel"]),
        (
            lambda: create_loss("focal", kind="multilabel", alpha=[0.5])(*batch("multilabel")),
            ["1 values", "K = 3"],
        ),
    ],
)  # fmt: skip
def test_mistakes_are_explained(call, words):
    with pytest.raises(ConfigError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "target"),
    [("multilabel", torch.zeros(6, 2)), ("multiclass", torch.zeros(6, 3, dtype=torch.int64)),
     ("multilabel", torch.full((6, 3), 2.0))],
)  # fmt: skip
def test_a_wrong_target_is_refused(kind, target):
    with pytest.raises(ContractError, match="target"):
        create_loss("focal", kind=kind)(batch(kind)[0], target)

"""What every registered loss promises; a new loss gets all of this by being registered."""

import json

import pytest
import torch
from torch import Tensor

from faultline.errors import ConfigError, ContractError
from faultline.losses import LOSSES, create_loss
from faultline.types import IGNORE_INDEX, LabelKind

CLASSES = {"binary": 1, "multilabel": 3, "multiclass": 3}
CASES = [(entry.name, kind.value) for entry in LOSSES for kind in entry.builder.kinds]
REFUSED = [
    (entry.name, kind.value)
    for entry in LOSSES
    for kind in LabelKind
    if kind not in entry.builder.kinds
]
PER_IMAGE = [case for case in CASES if "per_image" in LOSSES.get(case[0]).settings()]


def batch(kind: str, size: int = 16) -> tuple[Tensor, Tensor]:
    """Logits (2, K, H, W) and a target of thin strokes, a blob and some ignored pixels."""
    generator = torch.Generator().manual_seed(7)
    classes = CLASSES[kind]
    logits = torch.randn(2, classes, size, size, generator=generator)
    planes = torch.zeros(2, classes, size, size, dtype=torch.uint8)
    planes[0, 0, 3, 2:12] = 1
    planes[1, 0, 5:9, 6:10] = 1
    planes[:, -1, 8:, 4] = 1
    if kind == "multiclass":
        target = torch.zeros(2, size, size, dtype=torch.int64)
        target[planes[:, 0] == 1] = 1
        target[planes[:, -1] == 1] = 2
    else:
        target = planes if kind == "multilabel" else planes[:, 0]
    target[..., :2, :3] = IGNORE_INDEX
    target[..., 10:13, 7] = IGNORE_INDEX
    return logits, target


def certain(target: Tensor, kind: str, scale: float = 12.0) -> Tensor:
    """Logits that are right about every pixel."""
    if kind == "multiclass":
        labels = torch.arange(CLASSES[kind]).view(1, -1, 1, 1)
        truth = target.unsqueeze(1) == labels
    else:
        truth = target.view(2, CLASSES[kind], *target.shape[-2:]) == 1
    return (truth.float() * 2 - 1) * scale


def slope(name: str, kind: str, logits: Tensor, target: Tensor, **call: Tensor) -> Tensor:
    leaf = logits.clone().requires_grad_()
    create_loss(name, kind=kind)(leaf, target, **call).backward()
    assert leaf.grad is not None
    return leaf.grad


@pytest.mark.parametrize(("name", "kind"), CASES)
class TestEveryLoss:
    def test_is_a_finite_scalar_of_at_least_zero(self, name: str, kind: str) -> None:
        value = create_loss(name, kind=kind)(*batch(kind))
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        assert value >= 0

    def test_gradient_reaches_every_class_of_the_logits(self, name: str, kind: str) -> None:
        gradient = slope(name, kind, *batch(kind))
        assert torch.isfinite(gradient).all()
        assert (gradient.abs().sum((0, 2, 3)) > 0).all()

    def test_ignored_pixels_have_no_gradient_and_no_say(self, name: str, kind: str) -> None:
        logits, target = batch(kind)
        ignored = (target == IGNORE_INDEX).view(2, -1, 16, 16).expand_as(logits)
        assert (slope(name, kind, logits, target)[ignored] == 0).all()
        loss = create_loss(name, kind=kind)
        elsewhere = torch.where(ignored, torch.full_like(logits, 9.0), logits)
        torch.testing.assert_close(loss(elsewhere, target), loss(logits, target))

    def test_weight_zero_is_the_same_as_ignore(self, name: str, kind: str) -> None:
        logits, target = batch(kind)
        plain = torch.where(target == IGNORE_INDEX, torch.ones_like(target), target)
        kept = (target != IGNORE_INDEX).view(2, -1, 16, 16)[:, 0].float()
        by_ignore, by_weight = (
            slope(name, kind, logits, target),
            slope(name, kind, logits, plain, weight=kept),
        )
        loss = create_loss(name, kind=kind)
        torch.testing.assert_close(loss(logits, plain, kept), loss(logits, target))
        torch.testing.assert_close(by_weight, by_ignore)
        torch.testing.assert_close(loss(logits, plain, kept[:, None]), loss(logits, target))

    def test_weights_matter_and_weight_one_is_no_weight(self, name: str, kind: str) -> None:
        logits, target = batch(kind)
        loss = create_loss(name, kind=kind)
        ones = torch.ones(2, 16, 16)
        torch.testing.assert_close(loss(logits, target, ones), loss(logits, target))
        ones[:, 3, 2:9] = 5.0
        assert not torch.isclose(loss(logits, target, ones), loss(logits, target))

    def test_the_truth_is_near_the_minimum_and_its_opposite_far(self, name: str, kind: str) -> None:
        _, target = batch(kind)
        loss = create_loss(name, kind=kind)
        right = certain(target, kind)
        best, middle, worst = (
            loss(right, target),
            loss(torch.zeros_like(right), target),
            loss(-right, target),
        )
        assert best < 0.01
        assert best < middle < worst

    def test_steps_down_the_gradient_bring_it_down(self, name: str, kind: str) -> None:
        logits, target = batch(kind)
        loss = create_loss(name, kind=kind)
        leaf = logits.clone().requires_grad_()
        optimizer = torch.optim.Adam([leaf], lr=0.3)
        for _ in range(40):
            optimizer.zero_grad()
            loss(leaf, target).backward()
            optimizer.step()
        assert loss(leaf, target) < 0.6 * loss(logits, target)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_logits_are_computed_in_float32(
        self, name: str, kind: str, dtype: torch.dtype
    ) -> None:
        logits, target = batch(kind)
        rounded = logits.to(dtype)
        loss = create_loss(name, kind=kind)
        value = loss(rounded, target)
        assert value.dtype == torch.float32
        assert torch.equal(value, loss(rounded.float(), target))
        assert slope(name, kind, rounded, target).dtype == dtype

    def test_autocast_changes_nothing(self, name: str, kind: str) -> None:
        logits, target = batch(kind)
        loss = create_loss(name, kind=kind)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = loss(logits, target)
        assert torch.equal(inside, loss(logits, target))

    def test_channels_last_changes_nothing(self, name: str, kind: str) -> None:
        logits, target = batch(kind)
        loss = create_loss(name, kind=kind)
        other = logits.contiguous(memory_format=torch.channels_last)
        assert torch.equal(loss(other, target), loss(logits, target))

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
    def test_target_type_changes_nothing(self, name: str, kind: str, dtype: torch.dtype) -> None:
        logits, target = batch(kind)
        loss = create_loss(name, kind=kind)
        assert torch.equal(loss(logits, target.to(dtype)), loss(logits, target))

    def test_an_empty_target_prefers_an_empty_prediction(self, name: str, kind: str) -> None:
        logits, target = batch(kind)
        empty = torch.zeros_like(target)
        loss = create_loss(name, kind=kind)
        assert torch.isfinite(slope(name, kind, logits, empty)).all()
        right = certain(empty, kind)
        assert loss(right, empty) < 0.02
        assert loss(right, empty) < loss(logits, empty)

    def test_a_full_target_is_finite(self, name: str, kind: str) -> None:
        logits, target = batch(kind)
        full = torch.ones_like(target)
        assert torch.isfinite(slope(name, kind, logits, full)).all()

    @pytest.mark.parametrize("how", ["ignore", "weight"])
    def test_all_left_out_is_zero_with_zero_gradient(self, name: str, kind: str, how: str) -> None:
        logits, target = batch(kind)
        call = {"weight": torch.zeros(2, 16, 16)} if how == "weight" else {}
        if how == "ignore":
            target = torch.full_like(target, IGNORE_INDEX)
        assert create_loss(name, kind=kind)(logits, target, **call) == 0
        assert (slope(name, kind, logits, target, **call) == 0).all()

    def test_one_picture_left_out_does_not_spoil_the_other(self, name: str, kind: str) -> None:
        logits, target = batch(kind)
        target[1] = IGNORE_INDEX
        loss = create_loss(name, kind=kind)
        torch.testing.assert_close(loss(logits, target), loss(logits[:1], target[:1]))
        assert torch.isfinite(slope(name, kind, logits, target)).all()

    @pytest.mark.parametrize("extreme", [-3e4, 3e4])
    def test_extreme_logits_stay_finite(self, name: str, kind: str, extreme: float) -> None:
        logits, target = batch(kind)
        gradient = slope(name, kind, torch.full_like(logits, extreme), target)
        assert torch.isfinite(gradient).all()

    def test_gradient_agrees_with_finite_differences(self, name: str, kind: str) -> None:
        logits, target = batch(kind)
        loss = create_loss(name, kind=kind)
        corner = logits[..., :5, 2:7].double().requires_grad_()
        piece = target[..., :5, 2:7]
        weight = torch.linspace(0.5, 2, 50).view(2, 5, 5).double()
        assert torch.autograd.gradcheck(lambda x: loss(x, piece, weight), (corner,))

    def test_settings_are_json_and_rebuild_the_loss(self, name: str, kind: str) -> None:
        loss = create_loss(name, kind=kind)
        settings = json.loads(json.dumps(loss.parameters_in_force()))
        assert settings["kind"] == kind
        assert set(settings) == set(LOSSES.get(name).settings())
        again = create_loss(name, **settings)
        assert again.parameters_in_force() == settings
        assert torch.equal(again(*batch(kind)), loss(*batch(kind)))
        assert f"kind='{kind}'" in repr(loss)

    def test_wrong_shapes_say_which_tensor_and_both_shapes(self, name: str, kind: str) -> None:
        logits, target = batch(kind)
        loss = create_loss(name, kind=kind)
        with pytest.raises(ContractError, match=r"target .*15.*expected .*16, 16"):
            loss(logits, target[..., :15, :])
        with pytest.raises(ContractError, match=r"weight: .*\(2, 16, 15\).*expected \(2, 16, 16\)"):
            loss(logits, target, torch.ones(2, 16, 15))
        with pytest.raises(ContractError, match=r"logits: .*\(16, 16\).*\(B, K, H, W\)"):
            loss(logits[0, 0], target)
        with pytest.raises(ContractError, match=r"logits: .*int64"):
            loss(logits.long(), target)
        wrong = logits.new_zeros(2, 1 if kind == "multiclass" else 2, 16, 16)
        with pytest.raises(ContractError):
            loss(wrong, target)

    def test_target_values_that_fit_no_rule_are_refused(self, name: str, kind: str) -> None:
        logits, target = batch(kind)
        target[..., 5, 5] = 3
        with pytest.raises(ContractError, match=r"target .*values from 0.* to 3.*ignore"):
            create_loss(name, kind=kind)(logits, target)


@pytest.mark.parametrize(("name", "kind"), PER_IMAGE)
def test_per_image_is_the_mean_over_pictures(name: str, kind: str) -> None:
    logits, target = batch(kind)
    # Without pixels left out, the cross-entropy of some is such a mean as well.
    target = torch.where(target == IGNORE_INDEX, torch.zeros_like(target), target)
    settings = {"pos_weight": 3.0} if name == "weighted_bce_dice" else {}
    loss = create_loss(name, kind=kind, per_image=True, **settings)
    alone = [loss(logits[i : i + 1], target[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(loss(logits, target), (alone[0] + alone[1]) / 2)


@pytest.mark.parametrize("name", [name for name, kind in CASES if kind == "multilabel"])
def test_multilabel_is_the_mean_over_binary_classes(name: str) -> None:
    logits, target = batch("multilabel")
    binary, multilabel = create_loss(name), create_loss(name, kind="multilabel")
    alone = [binary(logits[:, k : k + 1], target[:, k]) for k in range(3)]
    torch.testing.assert_close(multilabel(logits, target), torch.stack(alone).mean())


@pytest.mark.parametrize(("name", "kind"), REFUSED)
def test_a_kind_that_a_loss_is_not_defined_for_is_refused(name: str, kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"'{kind}' .*its kinds: "):
        create_loss(name, kind=kind)

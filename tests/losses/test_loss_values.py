"""Values worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from faultline.losses import create_loss
from faultline.losses.targets import encode
from faultline.types import LabelKind


def logit(*probabilities: float) -> Tensor:
    """Logits (1, 1, 1, N) of these probabilities."""
    return torch.tensor(probabilities).logit().view(1, 1, 1, -1)


def mask(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.uint8).view(1, 1, -1)


PREDICTED, TRUTH = logit(0.8, 0.4, 0.3, 0.1), mask(1, 1, 0, 0)
"""TP = 1.2, sum p = 1.6, sum t = 2, FN = 0.8, FP = 0.4."""


def value(
    name: str, predicted: Tensor = PREDICTED, truth: Tensor = TRUTH, **settings: object
) -> float:
    return create_loss(name, **settings)(predicted, truth).item()


def test_dice() -> None:
    assert value("dice") == pytest.approx(1 - 3.4 / 4.6)
    assert value("dice", smooth=0) == pytest.approx(1 - 2.4 / 3.6)


def test_bce() -> None:
    expected = -(math.log(0.8) + math.log(0.4) + math.log(0.7) + math.log(0.9)) / 4
    assert value("bce") == pytest.approx(expected)


def test_bce_dice_adds_its_parts_by_their_weights() -> None:
    parts = 0.5 * value("bce") + 2 * value("dice")
    assert value("bce_dice", bce_weight=0.5, dice_weight=2) == pytest.approx(parts)
    assert value("bce_dice") == pytest.approx(value("bce") + value("dice"))


def test_tversky_weighs_misses_by_alpha() -> None:
    assert value("tversky", smooth=0) == pytest.approx(1 - 1.2 / (1.2 + 0.7 * 0.8 + 0.3 * 0.4))
    only_misses = value("tversky", smooth=0, alpha=1, beta=0)
    assert only_misses == pytest.approx(1 - 1.2 / 2.0)


def test_tversky_with_equal_halves_is_dice_with_twice_the_smooth() -> None:
    halves = value("tversky", alpha=0.5, beta=0.5, smooth=1)
    assert halves == pytest.approx(value("dice", smooth=2))


def test_focal_tversky_is_a_power_of_tversky() -> None:
    assert value("focal_tversky") == pytest.approx(value("tversky") ** 0.75)


def test_focal() -> None:
    right = [0.8, 0.4, 0.7, 0.9]
    terms = [(1 - p) ** 2 * -math.log(p) for p in right]
    assert value("focal") == pytest.approx(sum(terms) / 4)
    balanced = 0.25 * sum(terms[:2]) + 0.75 * sum(terms[2:])
    assert value("focal", alpha=0.25) == pytest.approx(balanced / 4)


def test_focal_without_focus_is_cross_entropy() -> None:
    assert value("focal", gamma=0) == pytest.approx(value("bce"))
    logits, target = torch.randn(2, 4, 3, 3), torch.randint(0, 4, (2, 3, 3))
    focal = create_loss("focal", kind="multiclass", gamma=0)(logits, target)
    torch.testing.assert_close(focal, create_loss("cross_entropy")(logits, target))


def test_focal_alpha_by_class() -> None:
    logits, target = torch.randn(2, 3, 4, 4), torch.randint(0, 2, (2, 3, 4, 4))
    single = [
        create_loss("focal", alpha=alpha)(logits[:, k : k + 1], target[:, k])
        for k, alpha in enumerate((0.2, 0.5, 0.9))
    ]
    together = create_loss("focal", kind="multilabel", alpha=[0.2, 0.5, 0.9])
    torch.testing.assert_close(together(logits, target), sum(single) / 3)


def test_multiclass_focal_alpha_spares_the_background() -> None:
    logits, target = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    number = create_loss("focal", kind="multiclass", alpha=0.8)
    listed = create_loss("focal", kind="multiclass", alpha=(0.2, 0.8, 0.8))
    torch.testing.assert_close(number(logits, target), listed(logits, target))


def test_lovasz_hinge() -> None:
    # Errors 1 - logit * sign in falling order: 2.0 (t = 1), 1.5 (t = 0), 0.5 (t = 1), 0 (t = 0).
    # Jaccard loss of the growing set of wrong pixels, |t| = 2: 1/2, then 1 - 1/3, then 1.
    logits = torch.tensor([-1.0, 0.5, 0.5, -3.0]).view(1, 1, 1, 4)
    expected = 2.0 * (1 / 2) + 1.5 * (2 / 3 - 1 / 2) + 0.5 * (1 - 2 / 3)
    assert value("lovasz", logits, mask(1, 0, 1, 0)) == pytest.approx(expected)


def test_lovasz_hinge_without_positives_is_the_worst_false_alarm() -> None:
    logits = torch.tensor([-2.0, 0.5, 1.5, -3.0]).view(1, 1, 1, 4)
    assert value("lovasz", logits, mask(0, 0, 0, 0)) == pytest.approx(2.5)


def test_lovasz_of_hard_decisions_is_the_jaccard_loss() -> None:
    truth = torch.tensor([[1, 1, 1, 0, 0, 0]]).view(1, 1, 6)
    chosen = torch.tensor([1, 1, 0, 1, 0, 0])
    logits = torch.stack([1 - chosen, chosen]).float().view(1, 2, 1, 6) * 200
    # Foreground: 2 of 4; background: 2 of 4.
    assert value("lovasz", logits, truth, kind="multiclass") == pytest.approx(0.5)


def test_lovasz_with_whole_weights_is_repetition_of_pixels() -> None:
    logits = torch.tensor([-1.0, 0.5, 0.7, -3.0]).view(1, 1, 1, 4)
    weight = torch.tensor([2.0, 1.0, 1.0, 3.0]).view(1, 1, 4)
    weighted = create_loss("lovasz")(logits, mask(1, 0, 1, 0), weight)
    times = weight.flatten().long()
    repeated = create_loss("lovasz")(
        logits.repeat_interleave(times, 3), mask(1, 0, 1, 0).repeat_interleave(times, 2)
    )
    torch.testing.assert_close(weighted, repeated)


@pytest.mark.parametrize("name", ["bce", "dice", "bce_dice", "focal", "tversky", "focal_tversky"])
def test_whole_weights_are_repetition_of_pixels(name: str) -> None:
    times = torch.tensor([3, 1, 2, 1])
    weighted = create_loss(name)(PREDICTED, TRUTH, times.view(1, 1, 4).float())
    repeated = create_loss(name)(
        PREDICTED.repeat_interleave(times, 3), TRUTH.repeat_interleave(times, 2)
    )
    torch.testing.assert_close(weighted, repeated)


def test_soft_targets_of_sigmoid_kinds() -> None:
    soft = torch.tensor([0.9, 0.6, 0.1, 255.0]).view(1, 1, 4)
    p, t = [0.8, 0.4, 0.3], [0.9, 0.6, 0.1]
    expected = -sum(y * math.log(q) + (1 - y) * math.log(1 - q) for q, y in zip(p, t, strict=True))
    assert value("bce", truth=soft) == pytest.approx(expected / 3)


class TestWeightedBCEDice:
    def weight(self, truth: Tensor, **settings: object) -> float:
        loss = create_loss("weighted_bce_dice", **settings)
        logits = torch.zeros(1, 1, 1, truth.numel())
        return loss.positive_weight(encode(logits, truth, None, LabelKind.BINARY)).item()

    def test_auto_is_negatives_over_positives_of_pixels_that_count(self) -> None:
        assert self.weight(mask(1, 0, 0, 0, 255, 255)) == pytest.approx(3)
        assert self.weight(mask(1, 0, 0, 0), factor=2) == pytest.approx(6)

    def test_auto_is_capped_on_both_sides(self) -> None:
        assert self.weight(mask(1, *[0] * 50)) == pytest.approx(20)
        assert self.weight(mask(0, 0, 0), max_pos_weight=5) == pytest.approx(5)
        assert self.weight(mask(1, 1, 1), max_pos_weight=5) == pytest.approx(0.2)

    def test_auto_is_one_weight_a_class(self) -> None:
        target = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0]]).view(1, 2, 1, 4)
        loss = create_loss("weighted_bce_dice", kind="multilabel")
        weights = loss.positive_weight(
            encode(torch.zeros(1, 2, 1, 4), target, None, LabelKind.MULTILABEL)
        )
        torch.testing.assert_close(weights, torch.tensor([3.0, 1 / 3]))

    def test_value(self) -> None:
        positive, negative = -math.log(0.8) - math.log(0.4), -math.log(0.7) - math.log(0.9)
        expected = (10 * positive + negative) / 4 + value("dice")
        assert value("weighted_bce_dice", pos_weight=10) == pytest.approx(expected)
        assert value("weighted_bce_dice", pos_weight=1) == pytest.approx(value("bce_dice"))


def test_dice_pools_the_batch_by_default() -> None:
    predicted = torch.cat([logit(0.9, 0.2), logit(0.5, 0.5)])
    truth = torch.cat([mask(1, 0), mask(0, 1)])
    pooled = 1 - (2 * 1.4 + 1) / (2.1 + 2 + 1)
    each = [1 - (1.8 + 1) / (1.1 + 1 + 1), 1 - (1.0 + 1) / (1.0 + 1 + 1)]
    assert value("dice", predicted, truth) == pytest.approx(pooled)
    assert value("dice", predicted, truth, per_image=True) == pytest.approx(sum(each) / 2)


def test_background_of_multiclass_can_be_left_out() -> None:
    logits = torch.zeros(1, 2, 1, 4)
    truth = mask(0, 0, 0, 1)
    foreground = 1 - (2 * 0.5 + 1) / (2 + 1 + 1)
    background = 1 - (2 * 1.5 + 1) / (2 + 3 + 1)
    both = value("dice", logits, truth, kind="multiclass")
    assert both == pytest.approx((foreground + background) / 2)
    for name in ("dice", "bce_dice", "tversky", "focal_tversky"):
        call = {"kind": "multiclass", "include_background": False}
        assert math.isfinite(value(name, logits, truth, **call))
    alone = value("dice", logits, truth, kind="multiclass", include_background=False)
    assert alone == pytest.approx(foreground)


@pytest.mark.parametrize("name", ["dice", "tversky", "focal_tversky"])
def test_exclusive_classes_that_do_not_occur_are_not_unlearned(name: str) -> None:
    """A batch without a rare class says nothing about it but what the other classes miss."""
    logits = torch.tensor([[2.0, 0.0, 0.5], [0.0, 2.0, 0.5]]).T.reshape(1, 3, 1, 2)
    logits.requires_grad_()
    loss = create_loss(name, kind="multiclass")(logits, mask(0, 1))
    present = create_loss(name, kind="multilabel", per_image=True)
    probability = logits.softmax(1)
    truth = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2)
    # The same classes by themselves, their probabilities given as those of sigmoids.
    alone = present(probability[:, :2].logit(), truth)
    assert loss.item() == pytest.approx(alone.item(), abs=1e-6)
    (found,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (wanted,) = torch.autograd.grad(alone, logits)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-4)


def test_without_the_background_absent_classes_still_count() -> None:
    """Nothing else would say that foreground was painted where there is none."""
    logits = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 1, 4).clone().requires_grad_()
    create_loss("dice", kind="multiclass", include_background=False)(
        logits, mask(0, 0, 0, 0)
    ).backward()
    assert (logits.grad[:, 1] > 0).all()


def test_a_rare_class_is_learned_although_most_batches_do_not_show_it() -> None:
    """With the absent class counted, its probability sank in every batch without it."""
    generator = torch.Generator().manual_seed(0)
    colour = torch.eye(4)
    model = torch.nn.Conv2d(4, 4, 1)
    torch.nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), 2.0)
    loss = create_loss("dice", kind="multiclass")
    for step in range(150):
        rare = step % 10 == 0
        truth = torch.randint(0, 4 if rare else 3, (1, 16, 16), generator=generator)
        loss(model(colour[truth].permute(0, 3, 1, 2)), truth.to(torch.uint8)).backward()
        optimizer.step()
        optimizer.zero_grad()
    probability = model(colour.view(4, 4, 1, 1)).softmax(1).flatten(1)
    assert probability.argmax(1).tolist() == [0, 1, 2, 3]


def test_classes_weighed_by_rarity() -> None:
    probabilities = ((0.2, 0.7, 0.1), (0.6, 0.3, 0.1))
    logits = torch.tensor([*probabilities] * 4).log().T.reshape(1, 3, 1, 8)
    truth = mask(0, 0, 0, 0, 0, 0, 1, 1)

    def entropy_of(weight: float, absent: float) -> float:
        """Weights at the pixels, and in the softmax as well."""
        terms = []
        for number, index in enumerate((0, 0, 0, 0, 0, 0, 1, 1)):
            balanced = [
                p * w for p, w in zip(probabilities[number % 2], (1, weight, absent), strict=True)
            ]
            terms.append((1, weight)[index] * -math.log(balanced[index] / sum(balanced)))
        return sum(terms) / len(terms)

    for factor, cap, weight in ((1, 20, 3), (2, 20, 6), (1, 2, 2), (0.1, 20, 1)):
        call = {"kind": "multiclass", "dice_weight": 0, "factor": factor, "max_pos_weight": cap}
        found = value("weighted_bce_dice", logits, truth, **call)
        assert found == pytest.approx(entropy_of(weight, cap), rel=1e-5)
    by_hand = value("weighted_bce_dice", logits, truth, kind="multiclass", pos_weight=3)
    dice = value("dice", logits, truth, kind="multiclass")
    assert by_hand == pytest.approx(dice + entropy_of(3, 3))


def test_weights_of_exclusive_classes_do_not_move_the_answer() -> None:
    """Where nothing tells classes apart, the best answer is how often each occurs, not 1 / K."""
    truth = mask(*[0] * 12, 1, 1, 1, 2)
    logits = torch.zeros(1, 3, 1, 1, requires_grad=True)
    loss = create_loss("weighted_bce_dice", kind="multiclass", dice_weight=0)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        found: Tensor = loss(logits.expand(1, 3, 1, 16), truth)
        found.backward()
        return found

    optimizer.step(closure)
    shares = torch.tensor([12.0, 3.0, 1.0]) / 16
    torch.testing.assert_close(logits.softmax(1).flatten(), shares, atol=1e-4, rtol=0)


def test_a_class_left_out_everywhere_does_not_count_in_the_mean() -> None:
    logits = torch.zeros(1, 2, 1, 4)
    target = torch.tensor([[1, 0, 0, 0], [255] * 4]).view(1, 2, 1, 4)
    assert value("dice", logits, target, kind="multilabel") == pytest.approx(
        value("dice", logits[:, :1], target[:, 0])
    )


def test_cldice_by_hand() -> None:
    # A straight line of 5 px is its own skeleton; 3 of its pixels are found, nothing else is.
    truth = torch.zeros(1, 5, 7, dtype=torch.uint8)
    truth[0, 2, 1:6] = 1
    found = torch.zeros(1, 1, 5, 7)
    found[0, 0, 2, 1:4] = 1
    logits = (found * 2 - 1) * 200
    precision, sensitivity = (3 + 1) / (3 + 1), (3 + 1) / (5 + 1)
    cl = 1 - 2 * precision * sensitivity / (precision + sensitivity)
    dice = 1 - (2 * 3 + 1) / (3 + 5 + 1)
    assert value("cldice", logits, truth, alpha=1) == pytest.approx(cl)
    assert value("cldice", logits, truth, alpha=0.3) == pytest.approx(0.7 * dice + 0.3 * cl)


def test_cldice_prefers_a_thin_line_to_a_broken_one() -> None:
    truth = torch.zeros(1, 32, 32, dtype=torch.uint8)
    truth[0, 14:17, 2:30] = 1
    thin, broken = torch.zeros(2, 1, 1, 32, 32)
    thin[..., 15, 2:30] = 1
    broken[..., 14:17, 2:30] = 1
    broken[..., 14:17, 10:20] = 0
    scores = [value("cldice", (x * 2 - 1) * 50, truth, alpha=1) for x in (thin, broken)]
    assert scores[0] < 0.05 < scores[1]

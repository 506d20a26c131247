"""Losses of both heads against their closed forms."""

import math

import pytest
import torch
from torch.nn import functional as F

from faultline.losses import create_loss
from faultline.training.dual_loss import (
    object_share,
    picture_weights,
    truth_probability,
    weighted_mask_loss,
)
from faultline.types import LabelKind

BATCH, CHANNELS, HEIGHT, WIDTH = 4, 2, 5, 6


@pytest.fixture
def sample():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH, generator=generator)
    mask = torch.randint(0, 2, logits.shape, generator=generator, dtype=torch.uint8)
    return logits.requires_grad_(), mask


def bce_of(logits, mask):
    return F.binary_cross_entropy_with_logits(logits, mask.float())


def test_a_picture_counts_by_the_weight_of_its_tier(sample):
    logits, mask = sample
    weight = torch.tensor([1.0, 0.5, 0.0, 1.0])
    found = weighted_mask_loss(create_loss("bce", kind="multilabel"), logits, mask, weight)
    terms = [w * bce_of(logits[i], mask[i]) for i, w in enumerate(weight.tolist())]
    assert found.item() == pytest.approx(sum(terms).item() / BATCH, rel=1e-5)
    found.backward()
    assert not logits.grad[2].any()
    assert logits.grad[1].abs().sum() > 0


def test_tier_b_alone_teaches_half_of_tier_a_alone(sample):
    logits, mask = sample
    criterion = create_loss("bce_dice", kind="multilabel")
    a = weighted_mask_loss(criterion, logits, mask, torch.ones(BATCH))
    b = weighted_mask_loss(criterion, logits, mask, torch.full((BATCH,), 0.5))
    # Dice is smoothed by 1, which half of the pixels feel a little more.
    assert b.item() == pytest.approx(a.item() / 2, rel=0.02)


def test_accumulated_parts_give_the_cross_entropy_of_the_whole_batch(sample):
    logits, mask = sample
    weight = torch.tensor([1.0, 0.5, 0.5, 0.0])
    criterion = create_loss("bce", kind="multilabel")
    whole = weighted_mask_loss(criterion, logits, mask, weight)
    parts = [weighted_mask_loss(criterion, logits[i : i + 2], mask[i : i + 2], weight[i : i + 2])
             for i in (0, 2)]  # fmt: skip
    assert whole.item() == pytest.approx(sum(parts).item() / 2, rel=1e-5)


def test_ignored_pixels_teach_nothing(sample):
    logits, mask = sample
    mask[:, :, :2] = 255
    found = weighted_mask_loss(
        create_loss("bce_dice", kind="multilabel"), logits, mask, torch.ones(BATCH)
    )
    p, t = logits[:, :, 2:].sigmoid(), mask[:, :, 2:].float()
    dice = (2 * (p * t).sum((0, 2, 3)) + 1) / ((p + t).sum((0, 2, 3)) + 1)
    expected = bce_of(logits[:, :, 2:], mask[:, :, 2:]) + (1 - dice).mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    found.backward()
    assert not logits.grad[:, :, :2].any()


def test_a_batch_without_masks_gives_zero_and_no_gradient(sample):
    logits, _ = sample
    mask = torch.full(logits.shape, 255, dtype=torch.uint8)
    found = weighted_mask_loss(
        create_loss("bce_dice", kind="multilabel"), logits, mask, torch.zeros(BATCH)
    )
    found.backward()
    assert found.item() == 0
    assert not logits.grad.any()


def test_the_share_of_object_leaves_the_background_out():
    logits = torch.full((1, 2, 2, 5), -3.0)
    logits[:, 0] = 3.0
    logits[:, 1, 0, :3] = 3.0
    assert object_share(logits, 1).tolist() == pytest.approx([0.3])
    assert object_share(logits, 0).tolist() == [1.0]


def test_the_probability_of_the_truth():
    logits = torch.tensor([[2.0, 0.0]])
    exclusive = truth_probability(logits, torch.tensor([1]), LabelKind.MULTICLASS)
    assert exclusive.item() == pytest.approx(1 / (1 + math.exp(2)))
    several = truth_probability(logits, torch.tensor([[1.0, 0.0]]), LabelKind.MULTILABEL)
    assert several.item() == pytest.approx((1 / (1 + math.exp(-2)) + 0.5) / 2)


def test_hard_pictures_and_large_objects_weigh_more():
    right, share = torch.tensor([1.0, 0.5, 0.0]), torch.tensor([1.0, 0.2, 0.0])
    assert picture_weights(right, None, 2.0, 0.0).tolist() == [1.0, 2.0, 3.0]
    found = picture_weights(right, share, 2.0, 0.5)
    assert found.tolist() == pytest.approx([1.0, 2.0 * 0.6, 3.0 * 0.5])
    assert picture_weights(right, share, 0.0, 1.0).tolist() == pytest.approx([1.0, 0.2, 0.0])

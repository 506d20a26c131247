"""Agreement with torch and with segmentation_models_pytorch."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from segmentation_models_pytorch import losses as smp
from torch import Tensor

from faultline.losses import create_loss

KINDS = ["binary", "multilabel", "multiclass"]


def batch(kind: str, ignore: bool = True) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, 1 if kind == "binary" else 4, 12, 10, generator=generator) * 2
    shape = (3, 4, 12, 10) if kind == "multilabel" else (3, 12, 10)
    high = 4 if kind == "multiclass" else 2
    target = torch.randint(0, high, shape, generator=generator)
    if ignore:
        target[torch.rand(shape, generator=generator) < 0.2] = 255
    return logits, target


def agree(ours: torch.nn.Module, theirs: Any, logits: Tensor, target: Tensor) -> None:
    """Same value and same gradient."""
    leaf, twin = (logits.clone().requires_grad_() for _ in range(2))
    a, b = ours(leaf, target), theirs(twin, target)
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    a.backward()
    b.backward()
    torch.testing.assert_close(leaf.grad, twin.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_dice(kind: str, smooth: float) -> None:
    # Their smooth is added to TP, ours to 2 TP.
    theirs = smp.DiceLoss(kind, smooth=smooth / 2, ignore_index=255)
    agree(create_loss("dice", kind=kind, smooth=smooth), theirs, *batch(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_tversky(kind: str) -> None:
    # Their alpha weighs the false positives.
    theirs = smp.TverskyLoss(kind, alpha=0.2, beta=0.9, smooth=1.0, ignore_index=255)
    agree(create_loss("tversky", kind=kind, alpha=0.9, beta=0.2), theirs, *batch(kind))


def test_focal_tversky() -> None:
    theirs = smp.TverskyLoss(
        "binary", alpha=0.3, beta=0.7, gamma=0.75, smooth=1.0, ignore_index=255
    )
    agree(create_loss("focal_tversky"), theirs, *batch("binary"))


@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_binary_focal(alpha: float | None, gamma: float) -> None:
    theirs = smp.FocalLoss("binary", alpha=alpha, gamma=gamma, ignore_index=255)
    agree(create_loss("focal", alpha=alpha, gamma=gamma), theirs, *batch("binary"))


def test_multilabel_focal() -> None:
    # Theirs cannot ignore pixels of single classes.
    theirs = smp.FocalLoss("multilabel", alpha=0.25)
    agree(
        create_loss("focal", kind="multilabel", alpha=0.25),
        theirs,
        *batch("multilabel", ignore=False),
    )


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize("per_image", [False, True])
def test_lovasz(kind: str, per_image: bool) -> None:
    theirs = smp.LovaszLoss(kind, per_image=per_image, ignore_index=255)
    agree(create_loss("lovasz", kind=kind, per_image=per_image), theirs, *batch(kind))


def test_bce() -> None:
    logits, target = batch("multilabel")

    def theirs(x: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(x[y != 255], y[y != 255].float())

    agree(create_loss("bce", kind="multilabel"), theirs, logits, target)


def test_weighted_bce() -> None:
    def theirs(x: Tensor, y: Tensor) -> Tensor:
        kept = y != 255
        weight = torch.tensor(7.5)
        return F.binary_cross_entropy_with_logits(x[:, 0][kept], y[kept].float(), pos_weight=weight)

    ours = create_loss("weighted_bce_dice", pos_weight=7.5, dice_weight=0)
    agree(ours, theirs, *batch("binary"))


@pytest.mark.parametrize("weights", [None, [0.1, 1.0, 2.0, 0.5]])
def test_cross_entropy(weights: list[float] | None) -> None:
    def theirs(x: Tensor, y: Tensor) -> Tensor:
        by_class = None if weights is None else torch.tensor(weights)
        return F.cross_entropy(x, y, weight=by_class, ignore_index=255)

    agree(create_loss("cross_entropy", class_weights=weights), theirs, *batch("multiclass"))


def test_multiclass_bce_dice_takes_the_softmax_cross_entropy() -> None:
    dice = smp.DiceLoss("multiclass", smooth=0.5, ignore_index=255)

    def theirs(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(x, y, ignore_index=255) + dice(x, y)

    agree(create_loss("bce_dice", kind="multiclass"), theirs, *batch("multiclass"))

"""Predictors fuse the branches of a network for inference; their answers stay what they were."""

import numpy as np
import pytest
import torch
from torch import nn

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import InputSpec, Normalisation, Threshold
from faultline.models import create_model
from faultline.models.backbones import for_inference
from faultline.predict.class_predictor import ClassPredictor
from faultline.types import LabelKind, LabelSpace

SPACE = LabelSpace(LabelKind.MULTILABEL, ("scratch", "patch"))


def trained(name: str) -> nn.Module:
    """A model whose batch normalisations have statistics of their own."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=2).train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(4, 3, 64, 64) * 2 + 0.3)
    return model.eval()


def bundle_of(name: str, model: nn.Module) -> Bundle:
    return Bundle(
        model_name=name, model_settings={"num_classes": 2}, state=model.state_dict(),
        task="classification", label_space=SPACE, normalisation=Normalisation(),
        input=InputSpec(height=64, width=64), threshold=Threshold(),
    )  # fmt: skip


def test_mobile_one_answers_the_same_with_fewer_layers() -> None:
    pytest.importorskip("timm")
    model = trained("mobile_one")
    bundle = bundle_of("mobile_one", model)
    predictor = ClassPredictor(bundle, "cpu", "fp32")
    convolutions = [
        sum(isinstance(part, nn.Conv2d) for part in network.modules())
        for network in (predictor.model, model)
    ]
    assert convolutions[0] < convolutions[1] / 2
    assert not any(isinstance(part, nn.BatchNorm2d) for part in predictor.model.modules())
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = model(bundle.normalisation.apply(pixels)).sigmoid().numpy()
    assert expected.std() > 1e-3
    np.testing.assert_allclose(predictor.probabilities(pixels), expected, atol=1e-5)
    # The bundle keeps the branches: it can be trained further, and its hash does not change.
    assert set(bundle.state) == set(model.state_dict())


class Fusing(nn.Module):
    """Somebody else's network, whose `fuse` means something else."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 2, 1))

    def fuse(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return first + second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fuse(self.inner(x), x[:, :2])


def test_other_networks_are_left_alone() -> None:
    network = nn.Sequential(Fusing(), nn.BatchNorm2d(2)).train()
    names = [name for name, _ in network.named_modules()]
    fused = for_inference(network)
    assert fused is network
    assert not fused.training
    assert [name for name, _ in fused.named_modules()] == names

from __future__ import annotations

import pytest
import torch
from torch import nn

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import InputSpec, Normalisation, Threshold
from faultline.models import MODELS
from faultline.types import LabelKind, LabelSpace


class Tiny(nn.Module):
    def __init__(self, width: int = 4, num_classes: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.first(x)).relu())


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch: pytest.MonkeyPatch) -> None:
    # Copies, so that the name is gone after the test.
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    monkeypatch.setattr(MODELS, "_aliases", dict(MODELS._aliases))
    MODELS.register("tiny")(Tiny)


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = Tiny(width=5)
        network(torch.rand(2, 3, 8, 8))  # moves the running statistics off their start
    return network.eval()


@pytest.fixture
def bundle(model: nn.Module) -> Bundle:
    return Bundle(
        model_name="tiny",
        model_settings={"width": 5},
        label_space=LabelSpace(LabelKind.BINARY, ("crack",)),
        state=model.state_dict(),
        normalisation=Normalisation((0.4, 0.5, 0.6), (0.2, 0.25, 0.3)),
        input=InputSpec(size=128, multiple=8),
        threshold=Threshold(0.37, "tuned", "validation", "iou", 0.61),
        metrics={"iou": 0.61, "nan": float("nan"), "nested": {"counts": [1, 2]}},
        provenance={"seed": 7, "versions": {"torch": "x"}},
        seen={"weights": ["a" * 64], "threshold": ["b" * 64]},
        groups={"weights": ["wall-1"]},
    )

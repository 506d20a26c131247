from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import InputSpec, Normalisation, Threshold
from faultline.models import MODELS
from faultline.predict.predictor import Predictor
from faultline.types import LabelKind, LabelSpace

BundleMaker = Callable[..., Bundle]


class Pointwise(nn.Module):
    """A 1x1 convolution: a pixel's answer depends on that pixel alone."""

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Local(nn.Module):
    """Two lopsided 3x3 convolutions: an answer depends on 5x5 pixels, and not on mirrored ones."""

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, num_classes, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).tanh())


class Demanding(Pointwise):
    """Refuses sides that are no multiple of 8, or below 16."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert all(side % 8 == 0 and side >= 16 for side in x.shape[2:]), x.shape
        return super().forward(x)


class Darkness(nn.Module):
    """Logit 20 * (0.25 - mean of the channels): black is a crack, whatever the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * (0.25 - x.mean(dim=1, keepdim=True))


class Shrinking(nn.Module):
    """Breaks the contract: its logits are half as high and wide as the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


@pytest.fixture(autouse=True)
def _test_models(monkeypatch: pytest.MonkeyPatch) -> None:
    # Copies, so that the names are gone after the test.
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    monkeypatch.setattr(MODELS, "_aliases", dict(MODELS._aliases))
    for model in (Pointwise, Local, Demanding, Darkness, Shrinking):
        MODELS.register(model.__name__.lower())(model)


@pytest.fixture
def make_bundle(_test_models: None) -> BundleMaker:
    def make(
        name: str = "local",
        kind: LabelKind = LabelKind.BINARY,
        threshold: float = 0.5,
        **spec: int,
    ) -> Bundle:
        names = ("crack",) if kind is LabelKind.BINARY else ("sound", "crack", "stain")
        space = LabelSpace(kind, names)
        settings = {"num_classes": 3} if len(names) > 1 else {}
        plain = name == "darkness"
        with torch.random.fork_rng():
            torch.manual_seed(1)
            state = MODELS.build(name, **settings).state_dict()
        return Bundle(
            name,
            settings,
            space,
            state,
            normalisation=Normalisation((0, 0, 0), (1, 1, 1)) if plain else Normalisation(),
            input=InputSpec(**spec),
            threshold=Threshold(threshold, "tuned", "validation", "iou", 0.7),
        )

    return make


@pytest.fixture
def predictor(make_bundle: BundleMaker) -> Predictor:
    """Finds black in pictures."""
    return Predictor(make_bundle("darkness"), device="cpu", precision="fp32")


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def cracked(height: int = 40, width: int = 60, rows: slice = slice(10, 13)) -> np.ndarray:
    """A light grey picture with a black bar across, 20 columns long."""
    image = np.full((height, width, 3), 200, np.uint8)
    image[rows, 20:40] = 0
    return image


def save_image(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture(name="picture")
def _picture() -> Callable[..., np.ndarray]:
    return picture


@pytest.fixture(name="cracked")
def _cracked() -> Callable[..., np.ndarray]:
    return cracked


@pytest.fixture(name="save_image")
def _save_image() -> Callable[[Path, np.ndarray], Path]:
    return save_image

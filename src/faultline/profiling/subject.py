"""What is profiled, in words from which any process can build it, and one training step of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from faultline.artifacts.precision import Resolved
from faultline.losses import create_loss
from faultline.models import MODELS, count_parameters, create_model
from faultline.training.single_value import explained
from faultline.types import LabelKind

MODEL = "model"
BACKBONE = "backbone"
_CLASSES = 13
"""Outputs of the linear layer behind a backbone, as in the document's measurements."""


@dataclass(frozen=True)
class Subject:
    """A model or a backbone.

    Attributes:
        kind: `model`, or `backbone`: its embedding and a linear layer behind it.
        name: In the registry.
        settings: Of its builder.
        loss: Name and settings; used where a model gives a map of logits.
    """

    kind: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=lambda: {"name": "bce_dice"})

    @property
    def channels(self) -> int:
        """Channels of the picture that it takes."""
        return int(self.settings.get("in_channels", 3))

    @property
    def title(self) -> str:
        """Its name with the settings that were given."""
        given = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        return f"{self.name} ({given})" if given else self.name

    def shape(self, batch: int, size: Sequence[int]) -> tuple[int, int, int, int]:
        """(B, C, H, W) of a batch of pictures of `size` (H, W)."""
        return batch, self.channels, size[0], size[1]

    def build(self) -> nn.Module:
        """The network, channels_last, with random weights.

        Raises:
            UnknownNameError: There is no such model or backbone.
            ConfigError: It has no such setting.
        """
        network: nn.Module
        if self.kind == BACKBONE:
            network = _Classifier(self.name, self.settings)
        else:
            network = create_model(self.name, **self.settings)
        return network.to(memory_format=torch.channels_last)

    def parameters(self) -> int:
        """Number of trainable scalars, that of a backbone without the layer behind it."""
        network = self.build()
        return count_parameters(network.backbone if isinstance(network, _Classifier) else network)

    def check(self) -> None:
        """Make sure that it exists.

        Raises:
            UnknownNameError: It does not; the message names the nearest one.
        """
        if self.kind == MODEL:
            MODELS.get(self.name)


class _Classifier(nn.Module):
    """(B, C, H, W) -> logits (B, 13): the embedding of a backbone and a linear layer."""

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        super().__init__()
        from faultline.models.backbones import create_backbone

        self.backbone = create_backbone(name, **settings)
        self.head = nn.Linear(self.backbone.embedding_dim, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone.embed(x))  # type: ignore[no-any-return]


def loss_of(network: nn.Module, subject: Subject) -> Callable[[Tensor], Tensor]:
    """From a batch of pictures (B, C, H, W) to a loss like that of a training.

    Maps of logits are given to the subject's loss with a random truth; anything else is summed
    up in its squares, which costs next to nothing.
    """

    def run(pictures: Tensor) -> Tensor:
        logits = network(pictures)
        if not isinstance(logits, Tensor) or logits.ndim != 4 or subject.kind == BACKBONE:
            return sum_of_squares(logits)
        classes = logits.shape[1]
        kind = LabelKind.BINARY if classes == 1 else LabelKind.MULTICLASS
        settings = dict(subject.loss)
        criterion = create_loss(settings.pop("name"), kind=kind.value, **settings)
        batch, _, height, width = logits.shape
        truth = torch.randint(max(2, classes), (batch, height, width), device=logits.device)
        value: Tensor = criterion(logits.float(), truth.to(torch.uint8))
        return value

    return run


def sum_of_squares(outputs: Any) -> Tensor:
    """Sum over all tensors in nested outputs of the mean of their squares."""
    if isinstance(outputs, Tensor):
        return outputs.float().square().mean()
    values = outputs.values() if isinstance(outputs, dict) else outputs
    return torch.stack([sum_of_squares(value) for value in values]).sum()


class TrainingStep:
    """Forward, backward and AdamW on one batch of random pictures, as training does it.

    Args:
        subject: What to train.
        batch: B.
        size: (H, W) of the pictures.
        device: Where.
        precision: Number format.
    """

    def __init__(
        self,
        subject: Subject,
        batch: int,
        size: Sequence[int],
        device: torch.device,
        precision: Resolved,
    ) -> None:
        self.network = subject.build().to(device).train()
        pictures = torch.randn(subject.shape(batch, size), device=device)
        self.pictures = pictures.contiguous(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4)
        self.device, self.precision = device, precision
        self._loss = loss_of(self.network, subject)

    def forward(self) -> Tensor:
        """The loss."""
        try:
            with self.precision.autocast(self.device):
                return self._loss(self.pictures)
        except ValueError as error:
            raise explained(error, "give a larger --size or --batch") from error

    def __call__(self) -> None:
        """One step; done when it returns."""
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.forward())
        self.optimizer.step()
        synchronise(self.device)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""What is profiled, in words from which any process can build it, and one training step of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

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


class Profiled(ABC):
    """What can be profiled: a network, what it is given, and its loss.

    Subclasses are frozen dataclasses of plain values: another process gets them as they are.

    Attributes:
        kind: What it is.
        name: In the registry.
        settings: Those that were given.
        unit: What it is given one of: "picture" or "clip".
    """

    kind: str
    name: str
    settings: dict[str, Any]
    unit: ClassVar[str]

    @abstractmethod
    def build(self) -> nn.Module:
        """The network with drawn weights.

        Raises:
            FaultlineError: There is none, or it does not take the settings.
        """

    @abstractmethod
    def inputs(self, batch: int, size: Sequence[int], device: torch.device) -> tuple[Any, ...]:
        """What a forward pass is given: `batch` random pictures or clips of `size`."""

    @abstractmethod
    def loss(self, network: nn.Module, *inputs: Any) -> Tensor:
        """A loss like that of a training, of one forward pass."""

    @abstractmethod
    def described(self, size: Sequence[int]) -> str:
        """What it is measured on, as it reads behind its name."""

    def method(self, network: nn.Module) -> Callable[..., Any]:
        """What of `network` a forward pass calls."""
        return network


@dataclass(frozen=True)
class Subject(Profiled):
    """A model or a backbone, which take pictures.

    Attributes:
        kind: `model`, or `backbone`: its embedding and a linear layer behind it.
        name: In the registry.
        settings: Of its builder.
        criterion: Name and settings of the loss; used where a model gives a map of logits.
    """

    kind: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    criterion: dict[str, Any] = field(default_factory=lambda: {"name": "bce_dice"})
    unit: ClassVar[str] = "picture"

    @property
    def channels(self) -> int:
        """Channels of the picture that it takes."""
        return int(self.settings.get("in_channels", 3))

    @property
    def title(self) -> str:
        """Its name with the settings that were given."""
        given = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        return f"{self.name} ({given})" if given else self.name

    def inputs(self, batch: int, size: Sequence[int], device: torch.device) -> tuple[Tensor]:
        """Pictures (B, C, H, W) of `size` (H, W), channels_last."""
        pictures = torch.randn(batch, self.channels, *size, device=device)
        return (pictures.contiguous(memory_format=torch.channels_last),)

    def described(self, size: Sequence[int]) -> str:
        """The size of the pictures."""
        return f"at {size[0]} x {size[1]}"

    def loss(self, network: nn.Module, *inputs: Tensor) -> Tensor:
        """Of pictures (B, C, H, W).

        Maps of logits are given to the subject's criterion with a random truth; anything else is
        summed up in its squares, which costs next to nothing.
        """
        logits = network(*inputs)
        if not isinstance(logits, Tensor) or logits.ndim != 4 or self.kind == BACKBONE:
            return sum_of_squares(logits)
        classes = logits.shape[1]
        kind = LabelKind.BINARY if classes == 1 else LabelKind.MULTICLASS
        settings = dict(self.criterion)
        criterion = create_loss(settings.pop("name"), kind=kind.value, **settings)
        batch, _, height, width = logits.shape
        truth = torch.randint(max(2, classes), (batch, height, width), device=logits.device)
        value: Tensor = criterion(logits.float(), truth.to(torch.uint8))
        return value

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


def sum_of_squares(outputs: Any) -> Tensor:
    """Sum over all tensors in nested outputs of the mean of their squares."""
    if isinstance(outputs, Tensor):
        return outputs.float().square().mean()
    values = outputs.values() if isinstance(outputs, dict) else outputs
    return torch.stack([sum_of_squares(value) for value in values]).sum()


class TrainingStep:
    """Forward, backward and AdamW on one random batch, as training does it.

    Args:
        subject: What to train.
        batch: B.
        size: (H, W) of the pictures, (T, M) of clips.
        device: Where.
        precision: Number format.
    """

    def __init__(
        self,
        subject: Profiled,
        batch: int,
        size: Sequence[int],
        device: torch.device,
        precision: Resolved,
    ) -> None:
        self.network = subject.build().to(device).train()
        self.inputs = subject.inputs(batch, size, device)
        self.method = subject.method(self.network)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4)
        self.device, self.precision = device, precision
        self._subject = subject

    def forward(self) -> Tensor:
        """The loss."""
        try:
            with self.precision.autocast(self.device):
                return self._subject.loss(self.network, *self.inputs)
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

"""The Lightning module that every kind of training shares: one optimizer and its schedule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from faultline.config.schema import OptimizerConfig, SchedulerConfig
from faultline.errors import ConfigError
from faultline.models import create_model
from faultline.training.schedule import build_scheduler
from faultline.types import LabelKind


class TrainingTask(pl.LightningModule, ABC):
    """A network on its way to a bundle. Subclasses are final; the network knows no Lightning.

    A subclass sets `network`, `model_name` and `model_settings` (what `create_model` rebuilds it
    with), and writes the steps. `training_step` returns the loss and logs `train/loss`;
    `validation_step` returns what the kind's `ValidationScorer` counts and logs `val/loss`. A
    batch has `ids`, and `to(device, non_blocking)`.

    Args:
        optimizer: See OptimizerConfig.
        scheduler: See SchedulerConfig.
    """

    network: nn.Module
    model_name: str
    model_settings: dict[str, Any]

    def __init__(self, optimizer: OptimizerConfig, scheduler: SchedulerConfig) -> None:
        super().__init__()
        self.optimizer_config = optimizer
        self.scheduler_config = scheduler

    @abstractmethod
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Loss of one batch."""

    @abstractmethod
    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        """What the scorer counts of one batch."""

    @abstractmethod
    def loss_in_force(self) -> dict[str, Any]:
        """Name and every parameter of the loss, as plain values."""

    def network_pass(self, batch: Any) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
        """How a training step runs the network on `batch`: the method, and what it is given.

        None where the step calls the network itself, which then can be listened to. It is asked
        for when a step has to be run again, layer by layer.
        """
        return None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the loss as it is in force, alpha of each class included, in the checkpoint."""
        checkpoint["loss_in_force"] = self.loss_in_force()

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move a batch; Lightning does not know the type."""
        return batch.to(device, non_blocking=True)

    def configure_optimizers(self) -> Any:
        """The optimizer, and the schedule of its learning rate."""
        settings = self.optimizer_config
        parameters = self.parameter_groups()
        optimizer: torch.optim.Optimizer
        if settings.name == "sgd":
            optimizer = torch.optim.SGD(
                parameters, settings.lr, settings.momentum, weight_decay=settings.weight_decay
            )
        else:
            optimizer = torch.optim.AdamW(
                parameters, settings.lr, weight_decay=settings.weight_decay
            )
        scheduler = build_scheduler(self.scheduler_config, optimizer, self.progress)
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def parameter_groups(self) -> list[Any]:
        """What the optimizer moves: parameters, or groups of them with settings of their own."""
        return [p for p in self.parameters() if p.requires_grad]

    def progress(self) -> float:
        """Share of the training that is done, 0 to 1: by steps or by time, the larger."""
        steps = self.trainer.estimated_stepping_batches
        by_steps = self.trainer.global_step / steps if 0 < steps < float("inf") else 0.0
        # All processes follow the first one's clock, or their weights would drift apart.
        elapsed = float(self.trainer.strategy.broadcast(self._elapsed_share()))
        return min(1.0, max(by_steps, elapsed))

    def _elapsed_share(self) -> float:
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, pl.callbacks.Timer) and callback._duration:
                return float(callback.time_elapsed() / callback._duration)
        return 0.0


def build_network(model: dict[str, Any], outputs: int) -> tuple[str, dict[str, Any], nn.Module]:
    """Name, complete settings and network of a model section, for `outputs` logits.

    Raises:
        UnknownNameError: No such model.
        ConfigError: It has no such setting, or one is of another type.
    """
    settings = {"num_classes": outputs, **model}
    name = str(settings.pop("name"))
    try:
        network = create_model(name, **settings)
    except TypeError as error:
        raise ConfigError(
            f"a setting of model {name!r} is of the wrong type: {error}",
            where="model",
            remedy="`faultline list models --json` shows the type of each",
        ) from error
    return name, settings, network.to(memory_format=torch.channels_last)


def to_logits(probability: Tensor, kind: LabelKind) -> Tensor:
    """Logits that give these probabilities, for the losses, which take logits only."""
    if kind is LabelKind.MULTICLASS:
        return probability.clamp_min(1e-7).log()
    return probability.logit(eps=1e-6)

"""The Lightning task of segmentation: one training step, one validation step, one optimizer."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from faultline.artifacts.contents import Normalisation
from faultline.config.schema import OptimizerConfig, SchedulerConfig
from faultline.data.collate import Batch
from faultline.losses import create_loss
from faultline.models import create_model
from faultline.predict.predictor import Predictor
from faultline.training.schedule import build_scheduler
from faultline.types import LabelKind, LabelSpace


class SegmentationTask(pl.LightningModule):
    """Fits a network to masks. The network itself knows nothing of Lightning.

    Args:
        model: Name and settings, as in `create_model`.
        loss: Name and settings, as in `create_loss`.
        label_space: What masks mean; gives the number of logit channels.
        optimizer: See OptimizerConfig.
        scheduler: See SchedulerConfig.
        normalisation: How pixels are scaled.
    """

    def __init__(
        self,
        model: dict[str, Any],
        loss: dict[str, Any],
        label_space: LabelSpace,
        optimizer: OptimizerConfig,
        scheduler: SchedulerConfig,
        normalisation: Normalisation | None = None,
    ) -> None:
        super().__init__()
        settings = {"num_classes": label_space.num_outputs, **model}
        self.model_name: str = settings.pop("name")
        self.model_settings = settings
        self.network: nn.Module = create_model(self.model_name, **settings)
        self.network.to(memory_format=torch.channels_last)
        loss_settings = dict(loss)
        self.loss_name: str = loss_settings.pop("name")
        self.criterion = create_loss(self.loss_name, kind=label_space.kind.value, **loss_settings)
        self.label_space = label_space
        self.optimizer_config = optimizer
        self.scheduler_config = scheduler
        self.normalisation = normalisation or Normalisation()
        self.predictor: Predictor | None = None

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) uint8 -> logits (B, K, H, W)."""
        x = self.normalisation.apply(pixels).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.network(x)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch of crops."""
        logits = self(batch.image)
        loss: Tensor = self.criterion(logits.float(), batch.mask)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.ids),
                 prog_bar=True)  # fmt: skip
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Probabilities (B, K, H, W) of whole pictures, and their loss.

        They come from the predictor that users of the bundle will have, so that what is
        selected on is what is served: padding, tiling, precision and all.
        """
        assert self.predictor is not None, "SelectBest gives the predictor"
        pictures = batch.image.permute(0, 2, 3, 1).cpu().numpy()
        predictions = self.predictor.predict_batch(list(pictures))
        probability = torch.from_numpy(np.stack([p.probability for p in predictions]))
        loss = self.criterion(_to_logits(probability, self.label_space.kind), batch.mask.cpu())
        self.log("val/loss", loss, batch_size=len(batch.ids), sync_dist=True)
        return probability

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move a batch; Lightning does not know the type."""
        return batch.to(device, non_blocking=True)

    def configure_optimizers(self) -> Any:
        """The optimizer, and the schedule of its learning rate."""
        settings = self.optimizer_config
        parameters = [p for p in self.parameters() if p.requires_grad]
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


def _to_logits(probability: Tensor, kind: LabelKind) -> Tensor:
    """Logits that give these probabilities, for the losses, which take logits only."""
    if kind is LabelKind.MULTICLASS:
        return probability.clamp_min(1e-7).log()
    return probability.logit(eps=1e-6)

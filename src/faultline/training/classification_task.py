"""The Lightning module of classification: whole pictures in, one logit per class out."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultline.artifacts.contents import Normalisation
from faultline.config.schema import OptimizerConfig, SchedulerConfig
from faultline.data.classification import ClassBatch
from faultline.losses import check_for_pictures, create_loss, settings_from_targets
from faultline.predict.class_predictor import ClassPredictor
from faultline.training.soft_labels import SoftLabels
from faultline.training.task import TrainingTask, build_network, to_logits
from faultline.types import LabelSpace


@final
class ClassificationTask(TrainingTask):
    """Fits a network to the classes of pictures.

    Args:
        model: Name and settings, as in `create_model`.
        loss: Name and settings, as in `create_loss`; "dynamic" and "balanced" are counted here.
        label_space: The classes; gives the number of logits.
        targets: (N, K) of 0 and 1 of the training pictures, to count classes in.
        optimizer: See OptimizerConfig.
        scheduler: See SchedulerConfig.
        normalisation: How pixels are scaled.
        soft: What a teacher says of the training pictures, as (temperature and share, (N, K));
            None learns from the labels alone.

    Raises:
        UnknownNameError: No such model or loss.
        ConfigError: A setting is wrong, or the loss is not defined for whole pictures.
    """

    def __init__(
        self,
        model: dict[str, Any],
        loss: dict[str, Any],
        label_space: LabelSpace,
        targets: NDArray[np.uint8],
        optimizer: OptimizerConfig,
        scheduler: SchedulerConfig,
        normalisation: Normalisation | None = None,
        soft: tuple[SoftLabels, Tensor] | None = None,
    ) -> None:
        super().__init__(optimizer, scheduler)
        settings = dict(loss)
        name = str(settings.pop("name"))
        check_for_pictures(name, label_space.kind)
        settings = settings_from_targets(name, settings, targets)
        self.criterion = create_loss(name, kind=label_space.kind.value, **settings)
        self.model_name, self.model_settings, self.network = build_network(
            model, label_space.num_outputs
        )
        self.label_space = label_space
        self.normalisation = normalisation or Normalisation()
        self.predictor: ClassPredictor | None = None
        self.soft = soft

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) uint8 -> logits (B, K)."""
        x = self.normalisation.apply(pixels).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.network(x)
        return logits

    def training_step(self, batch: ClassBatch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        logits = self(batch.image).float()
        loss: Tensor = self.criterion(logits, batch.target)
        if self.soft is not None:
            soft, table = self.soft
            taught = soft.loss(logits, table[batch.index.cpu()].to(logits.device))
            loss = (1 - soft.share) * loss + soft.share * taught
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.ids),
                 prog_bar=True)  # fmt: skip
        return loss

    def validation_step(self, batch: ClassBatch, batch_idx: int) -> Tensor:
        """Probabilities (B, K), from the predictor that users of the bundle will have."""
        assert self.predictor is not None, "SelectBest gives the predictor"
        probability = torch.from_numpy(self.predictor.probabilities(batch.image))
        logits = to_logits(probability, self.label_space.kind)
        loss = self.criterion(logits, batch.target.cpu())
        self.log("val/loss", loss, batch_size=len(batch.ids), sync_dist=True)
        return probability

    def loss_in_force(self) -> dict[str, Any]:
        """Every parameter of the loss, alpha and weights of each class included."""
        return self.criterion.parameters_in_force()

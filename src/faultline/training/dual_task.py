"""The Lightning module of the dual-head network: one network, the parts that a phase moves."""

from __future__ import annotations

from typing import Any, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from faultline.artifacts.contents import Normalisation
from faultline.config.schema import OptimizerConfig, PhaseConfig, SchedulerConfig
from faultline.data.dual_dataset import DualBatch
from faultline.losses import check_for_pictures, create_loss, settings_from_targets
from faultline.models import DualHead
from faultline.models.dual_head import DualLogits
from faultline.predict.class_predictor import ClassPredictor
from faultline.predict.predictor import Predictor
from faultline.training.dual_loss import (
    object_share,
    picture_weights,
    truth_probability,
    weighted_mask_loss,
)
from faultline.training.task import TrainingTask, build_network, to_logits
from faultline.types import LabelSpace

PHASE = "phase"
"""Entry of a resume point: the phase that it is in."""


@final
class DualHeadTask(TrainingTask):
    """Fits both heads, or one, as the phase says.

    Args:
        model: Name and settings, as in `create_model`.
        loss: Name and settings of the loss of masks, as in `create_loss`.
        class_loss: Name of the loss of classes.
        mask_space: Channels of masks.
        label_space: Classes of whole pictures.
        targets: (N, K) of 0 and 1 of the training pictures, to count classes in.
        optimizer: See OptimizerConfig; learning rates are those of the phase.
        scheduler: See SchedulerConfig.
        normalisation: How pixels are scaled.

    Attributes:
        frozen: Names of the parts that do not move: `backbone`, `masks`, `classes`.

    Raises:
        UnknownNameError: No such model or loss.
        ConfigError: A setting is wrong, or a loss is not defined for these labels.
    """

    def __init__(
        self,
        model: dict[str, Any],
        loss: dict[str, Any],
        class_loss: str,
        mask_space: LabelSpace,
        label_space: LabelSpace,
        targets: NDArray[np.uint8],
        optimizer: OptimizerConfig,
        scheduler: SchedulerConfig,
        normalisation: Normalisation | None = None,
    ) -> None:
        super().__init__(optimizer, scheduler)
        settings = dict(loss)
        name = str(settings.pop("name"))
        self.mask_criterion = create_loss(name, kind=mask_space.kind.value, **settings)
        check_for_pictures(class_loss, label_space.kind)
        counted = settings_from_targets(class_loss, {}, targets)
        self.class_criterion = create_loss(class_loss, kind=label_space.kind.value, **counted)
        self.model_name, self.model_settings, network = build_network(
            {**model, "num_masks": mask_space.num_outputs}, label_space.num_outputs
        )
        self.network = network
        self.mask_space, self.label_space = mask_space, label_space
        self.normalisation = normalisation or Normalisation()
        self.mask_predictor: Predictor | None = None
        self.class_predictor: ClassPredictor | None = None
        self.phase_name = ""
        self.phase: PhaseConfig | None = None
        self.frozen: tuple[str, ...] = ()

    @property
    def dual(self) -> DualHead:
        """The network, as what it is."""
        return cast(DualHead, self.network)

    def parts(self) -> dict[str, tuple[nn.Module, float]]:
        """Part -> module and its learning rate in the running phase."""
        assert self.phase is not None, "enter a phase first"
        phase, network = self.phase, self.dual
        return {
            "backbone": (network.backbone, phase.lr_backbone),
            "masks": (network.decoder, phase.lr_masks),
            "classes": (network.head, phase.lr_classes),
        }

    def enter(self, name: str, phase: PhaseConfig, scheduler: SchedulerConfig) -> None:
        """Begin a phase: parts without a learning rate are frozen, their running averages too."""
        self.phase_name, self.phase, self.scheduler_config = name, phase, scheduler
        self.frozen = tuple(part for part, (_, lr) in self.parts().items() if lr == 0)
        for module, lr in self.parts().values():
            module.requires_grad_(lr > 0)
        needs_masks = phase.loss_masks > 0 or phase.object_weight > 0
        self.dual.answer = "both" if needs_masks else "classes"
        self.train()

    def train(self, mode: bool = True) -> DualHeadTask:
        """Training mode, of the parts that move."""
        super().train(mode)
        if mode and self.phase is not None:
            for part, (module, _) in self.parts().items():
                if part in self.frozen:
                    module.eval()
        return self

    def parameter_groups(self) -> list[Any]:
        """One group for each part that moves, at its own learning rate."""
        return [
            {"params": list(module.parameters()), "lr": lr, "name": part}
            for part, (module, lr) in self.parts().items()
            if lr > 0
        ]

    def forward(self, pixels: Tensor) -> DualLogits | Tensor:
        """Pixels (B, 3, H, W) uint8 -> logits of both heads, or (B, K) where masks do not count."""
        x = self.normalisation.apply(pixels).contiguous(memory_format=torch.channels_last)
        answer: DualLogits | Tensor = self.network(x)
        return answer

    def training_step(self, batch: DualBatch, batch_idx: int) -> Tensor:
        """Loss of one batch, in the proportions of the phase."""
        assert self.phase is not None
        answer, size = self(batch.image), len(batch.ids)
        masks = answer.masks.float() if isinstance(answer, DualLogits) else None
        classes = (answer.classes if isinstance(answer, DualLogits) else answer).float()
        loss = classes.new_zeros(())
        if self.phase.loss_masks > 0 and masks is not None:
            own = weighted_mask_loss(self.mask_criterion, masks, batch.mask, batch.weight)
            loss = loss + self.phase.loss_masks * own
            self.log("train/loss_masks", own, on_step=False, on_epoch=True, batch_size=size)
        if self.phase.loss_classes > 0:
            weight = self._picture_weights(classes, masks, batch)
            own = self.class_criterion(classes, batch.target, weight)
            loss = loss + self.phase.loss_classes * own
            self.log("train/loss_classes", own, on_step=False, on_epoch=True, batch_size=size)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=size, prog_bar=True)
        return loss

    def _picture_weights(
        self, classes: Tensor, masks: Tensor | None, batch: DualBatch
    ) -> Tensor | None:
        assert self.phase is not None
        hard, by_object = self.phase.hard_examples, self.phase.object_weight
        if not hard and not by_object:
            return None
        right = truth_probability(classes, batch.target, self.label_space.kind)
        share = None
        if by_object and masks is not None:
            share = object_share(masks, self.mask_space.first)
        return picture_weights(right, share, hard, by_object)

    def validation_step(self, batch: DualBatch, batch_idx: int) -> dict[str, Tensor]:
        """Probabilities of masks (B, M, H, W) and classes (B, K), from the users' predictors."""
        assert self.phase is not None
        assert self.mask_predictor is not None, "SelectBest gives the predictors"
        assert self.class_predictor is not None
        pictures = batch.image.permute(0, 2, 3, 1).cpu().numpy()
        found = self.mask_predictor.predict_batch(list(pictures))
        masks = torch.from_numpy(np.stack([one.probability for one in found]))
        classes = torch.from_numpy(self.class_predictor.probabilities(batch.image))
        of_masks = self._mask_loss(masks, batch)
        of_classes = self.class_criterion(
            to_logits(classes, self.label_space.kind), batch.target.cpu()
        )
        loss = self.phase.loss_masks * of_masks + self.phase.loss_classes * of_classes
        self.log("val/loss", loss, batch_size=len(batch.ids), sync_dist=True)
        return {"masks": masks, "classes": classes}

    def _mask_loss(self, masks: Tensor, batch: DualBatch) -> Tensor:
        logits = to_logits(masks, self.mask_space.kind)
        return weighted_mask_loss(self.mask_criterion, logits, batch.mask.cpu(), batch.weight.cpu())

    def loss_in_force(self) -> dict[str, Any]:
        """Every parameter of both losses."""
        return {
            "masks": self.mask_criterion.parameters_in_force(),
            "classes": self.class_criterion.parameters_in_force(),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the phase, so that a run goes on in it."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[PHASE] = self.phase_name

"""The Lightning module of prompted segmentation: pictures, prompts, and a mask for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from faultline.artifacts.contents import Normalisation
from faultline.config.schema import Config
from faultline.data.prompt_dataset import PromptBatch
from faultline.data.wordings import Wordings
from faultline.errors import ConfigError
from faultline.losses import create_loss
from faultline.models import MODELS, PromptedNetwork
from faultline.models.prompt_tokens import PromptTokenizer
from faultline.predict.prompted import PromptPredictor
from faultline.training.prompted_loss import false_answer_loss
from faultline.training.schedule import build_scheduler
from faultline.training.task import TrainingTask, build_network

_TEXTS = 48
"""Wordings that the text side is drilled with in a step, foreign ones included."""
_FOREIGN = 16


class PromptedTask(TrainingTask):
    """Fits a promptable network to masks and wordings.

    The loss is that of the masks with what false answers cost, plus, where the network has a text
    side of its own, a loss that brings the wordings of a class together and keeps foreign prompts
    away from all of them.

    Args:
        config: Settings of the run.
        wordings: Makes prompts of the classes that are trained.
    """

    def __init__(self, config: Config, wordings: Wordings) -> None:
        super().__init__(config.optimizer, config.scheduler)
        self.wordings = wordings
        self.classes = tuple(wordings.table.classes)
        section = {**config.model, **_learned_settings(str(config.model["name"]), wordings)}
        self.model_name, self.model_settings, network = build_network(section, 1)
        if not isinstance(network, PromptedNetwork):
            raise ConfigError(
                f"model {self.model_name!r} answers no prompts", remedy="use prompt_ed or clipseg"
            )
        self.network: PromptedNetwork = network
        self.model_settings |= network.identity()
        loss = dict(config.loss)
        self.loss_name = str(loss.pop("name"))
        self.criterion = create_loss(self.loss_name, kind="binary", **loss)
        self.text_weight = config.prompts.text_weight
        self.absence_weight = config.prompts.absence_weight
        self.seed = config.seed
        self.normalisation = Normalisation()
        self.predictor: PromptPredictor | None = None
        _remember(network, config)

    def training_step(self, batch: PromptBatch, batch_idx: int) -> Tensor:
        """Loss of one batch of crops with Q prompts each."""
        pixels = self.normalisation.apply(batch.image)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        logits = self.network(pixels, batch.prompts)
        loss = self._mask_loss(logits.float(), batch.mask)
        text = self._text_loss()
        size = len(batch.ids)
        if text is not None:
            self.log("train/text_loss", text, on_step=False, on_epoch=True, batch_size=size)
            loss = loss + self.text_weight * text
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=size, prog_bar=True)
        return loss

    def validation_step(self, batch: PromptBatch, batch_idx: int) -> Any:
        """Answers to the questions about one whole picture, and the loss of their masks.

        A list of PromptAnswer. They come from the predictor that users of the bundle will have.
        """
        assert self.predictor is not None, "SelectBest gives the predictor"
        picture = np.ascontiguousarray(batch.image[0].permute(1, 2, 0).cpu().numpy())
        answers = self.predictor.answer(picture, batch.prompts[0], clean=False)
        probability = torch.from_numpy(np.stack([answer.probability for answer in answers]))
        loss = self._mask_loss(probability[None].logit(eps=1e-6), batch.mask.cpu())
        self.log("val/loss", loss, batch_size=1, sync_dist=True)
        return answers

    def loss_in_force(self) -> dict[str, Any]:
        """Every parameter of the loss, as plain values."""
        return {
            **self.criterion.parameters_in_force(),
            "absence_weight": self.absence_weight,
            "text_weight": self.text_weight,
        }

    def configure_optimizers(self) -> Any:
        """The optimizer, with a learning rate for each part of the network."""
        settings = self.optimizer_config
        groups = self.network.parameter_groups(settings.lr)
        optimizer: torch.optim.Optimizer
        if settings.name == "sgd":
            optimizer = torch.optim.SGD(
                groups, settings.lr, settings.momentum, weight_decay=settings.weight_decay
            )
        else:
            optimizer = torch.optim.AdamW(groups, settings.lr, weight_decay=settings.weight_decay)
        scheduler = build_scheduler(self.scheduler_config, optimizer, self.progress)
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def _mask_loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Mean over the questions of (B, Q, H, W) logits and masks, each with a loss of its own.

        Pooled over a batch, the few pixels of a crack would drown in those of a seam, and so would
        the weight of its positives.
        """
        logits, masks = logits.flatten(0, 1), masks.flatten(0, 1)
        pairs = zip(logits, masks, strict=True)
        each = torch.stack([self.criterion(own[None, None], mask[None]) for own, mask in pairs])
        if self.absence_weight:
            each = each + self.absence_weight * false_answer_loss(logits, masks)
        return each.mean()

    def _text_loss(self) -> Tensor | None:
        if not self.text_weight:
            return None
        prompts, labels = drill(self.wordings, self.seed, self.global_step)
        return self.network.text_loss(prompts, torch.tensor(labels))


def drill(wordings: Wordings, seed: int, step: int) -> tuple[list[str], list[int]]:
    """Wordings and the number of their class; M, the number of classes, for foreign prompts.

    They follow from seed and step alone, so that a resumed training sees the same ones.
    """
    rng = np.random.default_rng([seed, step, 7919])
    classes = list(wordings.table.classes)
    chosen = rng.integers(len(classes), size=_TEXTS - _FOREIGN).tolist()
    prompts = [wordings.draw(classes[number], rng) for number in chosen]
    prompts += [wordings.draw_foreign(rng) for _ in range(_FOREIGN)]
    return prompts, [*chosen, *[len(classes)] * _FOREIGN]


def _learned_settings(name: str, wordings: Wordings) -> dict[str, Any]:
    """Settings that follow from what is trained: word parts and the number of classes."""
    accepted = MODELS.get(name).settings()
    found: dict[str, Any] = {}
    if "parts" in accepted:
        found["parts"] = PromptTokenizer.fit(wordings.words()).parts
    if "meanings" in accepted:
        found["meanings"] = len(wordings.table.classes)
    return found


def _remember(network: PromptedNetwork, config: Config) -> None:
    """Let a frozen backbone keep what it saw, where pictures come again unchanged."""
    unchanged = config.data.crop == 0 and not any(v is not None for v in config.augment.values())
    remember = getattr(network, "remember", None)
    if remember is not None and config.prompts.cache_features and unchanged:
        remember(int(config.data.cache_gib * 2**30))

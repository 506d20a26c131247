"""The Lightning task of a recogniser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from faultline.speech.config import SpeechConfig, SpeechLossConfig
from faultline.speech.data.prepare import TOY, PreparedSpeech
from faultline.speech.data.samples import SpeechBatch
from faultline.speech.losses import speech_losses, token_accuracy
from faultline.speech.network_settings import network_settings
from faultline.speech.paraformer import (
    Recognised,
    RecogniserNetwork,
    TrainingOutputs,
    create_recogniser,
)
from faultline.training.task import TrainingTask


@dataclass(frozen=True)
class Validated:
    """What a validation step saw of one batch.

    Attributes:
        recognised: The answers.
        right: Right tokens of the first pass with the true number of tokens.
        tokens: All tokens.
        wanted: (B,) number of tokens that CIF should find; None without CIF.
    """

    recognised: Recognised
    right: int
    tokens: int
    wanted: Tensor | None


@final
class SpeechTask(TrainingTask):
    """Fits a recogniser to transcripts; every part of the loss is logged by itself.

    Args:
        config: Network, loss, optimizer and schedule.
        prepared: Gives vocabulary, channels and their statistics.
    """

    network: RecogniserNetwork

    def __init__(self, config: SpeechConfig, prepared: PreparedSpeech) -> None:
        super().__init__(config.optimizer, config.scheduler)
        self.model_name = str(config.model["name"])
        self.model_settings = network_settings(
            config,
            vocabulary=len(prepared.tokenizer),
            mels=prepared.frontend.mels,
            tokens_per_frame=round(prepared.tokens_per_frame, 4),
            # The channels of the toy task are places, not frequencies.
            sample_rate=0 if config.data.manifest == TOY else prepared.frontend.sample_rate,
        )
        self.network = create_recogniser(self.model_name, **self.model_settings)
        self.network.encoder.frames.set_statistics(prepared.mean, prepared.std)
        self.loss_config: SpeechLossConfig = config.loss

    def training_step(self, batch: SpeechBatch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        losses = self._losses(batch)[1]
        self._log(losses, "train", len(batch.ids))
        return losses["loss"]

    def validation_step(self, batch: SpeechBatch, batch_idx: int) -> Any:
        """Answers to one batch, a `Validated`, and their loss."""
        outputs, losses = self._losses(batch)
        self._log(losses, "val", len(batch.ids))
        right, tokens = token_accuracy(outputs)
        return Validated(
            recognised=self.network.recognise(batch.features, batch.lengths),
            right=right,
            tokens=tokens,
            wanted=outputs.counted,
        )

    def loss_in_force(self) -> dict[str, Any]:
        """Weights of the loss."""
        config = self.loss_config
        weights = {"ctc": config.ctc, "quantity": config.quantity, "smoothing": config.smoothing}
        return {"name": self.model_name, **weights}

    def network_pass(
        self, batch: SpeechBatch
    ) -> tuple[Callable[..., TrainingOutputs], tuple[Tensor, ...]]:
        """What losses need comes from `outputs`, and not from a call of the network."""
        given = (batch.features, batch.lengths, batch.tokens, batch.token_lengths)
        return self.network.outputs, given

    def _losses(self, batch: SpeechBatch) -> tuple[TrainingOutputs, dict[str, Tensor]]:
        run, given = self.network_pass(batch)
        outputs = run(*given)
        return outputs, speech_losses(outputs, batch.tokens, batch.token_lengths, self.loss_config)

    def _log(self, losses: dict[str, Tensor], part: str, size: int) -> None:
        values = {f"{part}/{name}": value.detach() for name, value in losses.items()}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=size)


@torch.no_grad()
def validate(task: SpeechTask, batches: Any, count: Any) -> None:
    """Answer all `batches` with the network as it is, and give each answer to `count`.

    Used where no trainer runs: after the last epoch, on averaged weights.
    """
    network = task.network.eval()
    device = next(network.parameters()).device
    for batch in batches:
        moved = batch.to(device)
        outputs = network.outputs(moved.features, moved.lengths, moved.tokens, moved.token_lengths)
        right, tokens = token_accuracy(outputs)
        recognised = network.recognise(moved.features, moved.lengths)
        count(task, Validated(recognised, right, tokens, outputs.counted), moved)

"""Chooses threshold and epoch on validation data, and keeps the best weights as a bundle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from faultline.artifacts.bundle import Bundle, save_bundle
from faultline.artifacts.contents import Threshold
from faultline.artifacts.run import RunFolder
from faultline.metrics import ProbabilityHistogram
from faultline.predict.predictor import Predictor
from faultline.training.segmentation_task import SegmentationTask
from faultline.types import IGNORE_INDEX, LabelKind


class SelectBest(pl.Callback):
    """Scores each validation at its own best threshold and saves the bundle when it improves.

    It must come before a weight-averaging callback, which swaps the averaged weights back in at
    the same hook: what is saved has to be what was scored.

    Args:
        run: Where the bundle goes.
        threshold: `auto`, or a number set by hand.
        precision: Number format of the predictor, as resolved for training.
        describe: Gives everything of the bundle but state, threshold and metrics.
    """

    def __init__(
        self,
        run: RunFolder,
        threshold: str | float,
        precision: str,
        describe: Callable[[SegmentationTask], dict[str, Any]],
    ) -> None:
        self.run = run
        self.threshold = threshold
        self.precision = precision
        self.describe = describe
        self.histogram = ProbabilityHistogram()
        self.best: dict[str, Any] = {}
        self.latest: dict[str, Any] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start counting anew."""
        self.histogram = ProbabilityHistogram()

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Give the task a predictor of the weights to be scored.

        Not earlier: a weight-averaging callback swaps its weights in when the epoch starts.
        """
        assert isinstance(pl_module, SegmentationTask)
        if batch_idx == 0:
            bundle = self.bundle(pl_module, Threshold())
            pl_module.predictor = Predictor(bundle, pl_module.device, self.precision)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the pixels of one batch."""
        assert isinstance(pl_module, SegmentationTask)
        count_batch(self.histogram, outputs, batch.mask, pl_module.label_space.kind)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log scores, and save if they are the best so far."""
        assert isinstance(pl_module, SegmentationTask)
        pl_module.predictor = None
        choice = self.choose()
        scores = {**self.scores(choice.value), "threshold": choice.value}
        pl_module.log_dict({f"val/{name}": value for name, value in scores.items()
                            if value == value}, prog_bar=False)  # fmt: skip
        self.latest = {**scores, "epoch": trainer.current_epoch, "step": trainer.global_step}
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        # Where nothing can be scored (no positives) the latest weights are the ones to keep.
        previous = self.best.get("iou", float("-inf"))
        if not self.best or not scores["iou"] < previous:
            self.best = dict(self.latest)
            save_bundle(self.run.best, self.bundle(pl_module, choice))

    def choose(self) -> Threshold:
        """Threshold of this validation: tuned on it, unless set by hand."""
        if self.threshold != "auto":
            return Threshold.by_hand(float(self.threshold), "threshold setting")
        return Threshold.from_dict(self.histogram.choose_threshold("iou").to_dict())

    def scores(self, threshold: float) -> dict[str, float]:
        """Foreground scores at `threshold`, and IoU at 0.5."""
        counts = self.histogram.counts_at(threshold, nearest=True)
        return {
            "iou": counts.iou,
            "dice": counts.dice,
            "precision": counts.precision,
            "recall": counts.recall,
            "iou_at_0.5": self.histogram.counts_at(0.5).iou,
        }

    def bundle(self, task: SegmentationTask, threshold: Threshold) -> Bundle:
        """The bundle of the weights that `task` holds now."""
        return Bundle(
            state={name: tensor.detach().cpu().clone()
                   for name, tensor in task.network.state_dict().items()},
            threshold=threshold,
            metrics={"validation": dict(self.latest)},
            **self.describe(task),
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """The best scores so far, for resuming."""
        return {"best": self.best, "latest": self.latest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on comparing with the best scores from before."""
        self.best, self.latest = dict(state_dict["best"]), dict(state_dict["latest"])


def count_batch(
    histogram: ProbabilityHistogram, probability: Tensor, truth: Tensor, kind: LabelKind
) -> None:
    """Add probabilities (B, K, H, W) and their truth (B, H, W) or (B, K, H, W).

    Where classes exclude each other, foreground is anything but class 0.
    """
    if kind is LabelKind.MULTICLASS:
        probability = 1 - probability[:, :1]
        truth = torch.where(truth == IGNORE_INDEX, truth, (truth > 0).to(truth.dtype))
    if truth.ndim == 3:
        truth = truth[:, None]
    histogram.update(probability.clamp(0, 1).cpu(), truth.cpu())

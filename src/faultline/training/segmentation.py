"""Training of segmentation: masks in, the threshold and epoch of the best IoU out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import InputSpec, Threshold
from faultline.artifacts.run import RunFolder
from faultline.config.schema import Config
from faultline.data.collate import Batch
from faultline.data.prepare import Prepared, prepare
from faultline.metrics import ProbabilityHistogram
from faultline.models.prior import start_at_shares
from faultline.predict.predictor import Predictor
from faultline.tasks import SEGMENTATION
from faultline.training.guard import ForegroundGuard
from faultline.training.kinds import TrainingKind, shown
from faultline.training.labels import class_shares, sample
from faultline.training.loaders import training_loader, validation_loader
from faultline.training.multiclass import MeanIoUScorer
from faultline.training.resume import ResumableLoader
from faultline.training.segmentation_task import SegmentationTask
from faultline.training.selection import SelectBest, ValidationScorer
from faultline.training.task import TrainingTask
from faultline.types import IGNORE_INDEX, LabelKind


@final
class SegmentationKind(TrainingKind[Prepared]):
    """From pictures and masks to a network that outlines."""

    name = SEGMENTATION

    def prepare(self, config: Config) -> Prepared:
        """Import and split the data."""
        return prepare(config.data, config.seed)

    def task(self, config: Config, prepared: Prepared) -> SegmentationTask:
        """The module to train."""
        space = prepared.label_space
        task = SegmentationTask(
            config.model, config.loss, space, config.optimizer, config.scheduler
        )
        start_at_shares(task.network, class_shares(sample(prepared.train), space), space.kind)
        return task

    def training_loader(self, config: Config, prepared: Prepared) -> ResumableLoader:
        """Augmented crops."""
        return training_loader(config, prepared)

    def validation_loader(self, config: Config, prepared: Prepared) -> DataLoader[Any]:
        """Whole pictures."""
        return validation_loader(config, prepared)

    def scorer(self, config: Config, prepared: Prepared, precision: str) -> ValidationScorer:
        """Counts pixels by probability, or by class where classes exclude each other."""
        if prepared.label_space.kind is LabelKind.MULTICLASS:
            return MeanIoUScorer(prepared.label_space, precision)
        return IoUScorer(config.threshold, precision)

    def guards(
        self, config: Config, prepared: Prepared, selection: SelectBest, say: Callable[[str], None]
    ) -> list[pl.Callback]:
        """Says when no foreground is found."""
        guard = ForegroundGuard(selection, config, prepared.train, prepared.label_space, say)
        return [guard] if config.trainer.guard_epochs else []

    def keep(self, run: RunFolder, prepared: Prepared) -> None:
        """The split."""
        if prepared.split is not None:
            prepared.split.save(run.path / "split.json")

    def describe(self, config: Config, prepared: Prepared, task: Any) -> dict[str, Any]:
        """Classes, scaling and sizes."""
        return {
            "label_space": prepared.label_space,
            "normalisation": task.normalisation,
            "input": InputSpec(size=config.data.crop or 256, resize=config.data.resize),
        }

    def line(self, row: dict[str, Any]) -> str:
        """IoU at the tuned threshold and at 0.5, or mean IoU and pixel accuracy."""
        if "val/pixel_accuracy" in row:
            accuracy = shown(row, "val/pixel_accuracy")
            return f"mean IoU {shown(row, 'val/iou')}  pixel accuracy {accuracy}"
        return (
            f"IoU {shown(row, 'val/iou')} at {shown(row, 'val/threshold')} "
            f"(at 0.5: {shown(row, 'val/iou_at_0.5')})"
        )

    def verdict(self, best: dict[str, Any]) -> str:
        """Best IoU."""
        iou = best["iou"]
        value = "not defined" if iou is None or iou != iou else f"{iou:.3f}"
        if "pixel_accuracy" in best:
            return f"best validation mean IoU {value}, epoch {best['epoch']}"
        return (
            f"best validation IoU {value} at threshold {best['threshold']:.3f}, "
            f"epoch {best['epoch']}"
        )


@final
class IoUScorer(ValidationScorer):
    """Foreground scores from one histogram of probabilities a validation.

    Args:
        threshold: `auto`, or a number set by hand.
        precision: Number format of the predictor, as resolved for training.
    """

    metric = "iou"

    def __init__(self, threshold: str | float, precision: str) -> None:
        self.threshold = threshold
        self.precision = precision
        self.histogram = ProbabilityHistogram()

    def start(self) -> None:
        """Start counting anew."""
        self.histogram = ProbabilityHistogram()

    def equip(self, task: TrainingTask, bundle: Bundle) -> None:
        """A predictor of the weights to be scored."""
        assert isinstance(task, SegmentationTask)
        task.predictor = Predictor(bundle, task.device, self.precision)

    def count(self, task: TrainingTask, outputs: Any, batch: Batch) -> None:
        """Count the pixels of one batch."""
        assert isinstance(task, SegmentationTask)
        count_batch(self.histogram, outputs, batch.mask, task.label_space.kind)

    def release(self, task: TrainingTask) -> None:
        """Drop the predictor."""
        assert isinstance(task, SegmentationTask)
        task.predictor = None

    def choose(self) -> Threshold:
        """Threshold of this validation: tuned on it, unless set by hand."""
        if self.threshold != "auto":
            return Threshold.by_hand(float(self.threshold), "threshold setting")
        return Threshold.from_dict(self.histogram.choose_threshold("iou").to_dict())

    def scores(self, threshold: Threshold) -> dict[str, float]:
        """Foreground scores at `threshold`, and IoU at 0.5."""
        counts = self.histogram.counts_at(threshold.value, nearest=True)
        return {
            "iou": counts.iou,
            "dice": counts.dice,
            "precision": counts.precision,
            "recall": counts.recall,
            "iou_at_0.5": self.histogram.counts_at(0.5).iou,
        }


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

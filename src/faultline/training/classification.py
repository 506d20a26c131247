"""Training of classification: the epoch of the best macro-F1, and one threshold per class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import lightning.pytorch as pl
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import InputSpec, Threshold
from faultline.artifacts.run import RunFolder
from faultline.config.data_rules import picture_size
from faultline.config.schema import Config
from faultline.data.classification import ClassBatch, ClassPictures, collate_classes
from faultline.data.prepare import Prepared, prepare
from faultline.data.split import table_lines
from faultline.data.targets import image_targets
from faultline.metrics import ClassificationScorer, choose_class_thresholds
from faultline.predict.class_predictor import ClassPredictor
from faultline.tasks import CLASSIFICATION
from faultline.training.class_loaders import class_training_loader
from faultline.training.classification_task import ClassificationTask
from faultline.training.kinds import TrainingKind, shown
from faultline.training.loaders import own_generator, picture_cache
from faultline.training.missed import MissedClasses
from faultline.training.resume import ResumableLoader
from faultline.training.selection import SelectBest, ValidationScorer
from faultline.training.soft_labels import SoftLabels
from faultline.training.task import TrainingTask
from faultline.types import LabelKind, LabelSpace

VALIDATION_BATCH = 16


@final
class ClassificationKind(TrainingKind[Prepared]):
    """From pictures and the classes that they show to a network that names them.

    Args:
        soft: What a teacher says of the training pictures; None learns from the labels alone.
    """

    name = CLASSIFICATION

    def __init__(self, soft: SoftLabels | None = None) -> None:
        self.soft = soft

    def prepare(self, config: Config) -> Prepared:
        """Import and split the data, labels being of whole pictures."""
        return prepare(config.data, config.seed, CLASSIFICATION)

    def task(self, config: Config, prepared: Prepared) -> ClassificationTask:
        """The module to train."""
        ids = [item.id for item in prepared.train]
        return ClassificationTask(
            config.model, config.loss, prepared.label_space, training_targets(prepared),
            config.optimizer, config.scheduler,
            soft=None if self.soft is None else (self.soft, self.soft.table(ids)),
        )  # fmt: skip

    def training_loader(self, config: Config, prepared: Prepared) -> ResumableLoader:
        """Augmented pictures, drawn by `data.sampler`."""
        return class_training_loader(config, prepared, training_targets(prepared))

    def validation_loader(self, config: Config, prepared: Prepared) -> DataLoader[Any]:
        """Pictures at the model's size, in order."""
        dataset = ClassPictures(
            prepared.valid, prepared.label_space, picture_cache(config),
            size=picture_size(config.data.image_size), keep_aspect=config.data.keep_aspect,
        )  # fmt: skip
        return DataLoader(
            dataset,
            batch_size=min(VALIDATION_BATCH, len(dataset)),
            collate_fn=collate_classes,
            generator=own_generator(config.seed),
        )

    def scorer(self, config: Config, prepared: Prepared, precision: str) -> ValidationScorer:
        """Scores macro-F1 at thresholds of each class."""
        return MacroF1Scorer(
            prepared.label_space, config.threshold, precision, config.evaluation.min_positives
        )

    def guards(
        self, config: Config, prepared: Prepared, selection: SelectBest, say: Callable[[str], None]
    ) -> list[pl.Callback]:
        """Says when a class is never found."""
        if not config.trainer.guard_epochs:
            return []
        shown_by = training_targets(prepared).sum(axis=0).tolist()
        counts = dict(zip(prepared.label_space.names, shown_by, strict=True))
        return [MissedClasses(selection, counts, config.trainer.guard_epochs, say)]

    def remarks(self, config: Config, prepared: Prepared, task: Any) -> list[str]:
        """Classes in each part, where the first weights come from, and the loss in force."""
        lines = [] if prepared.split is None else table_lines(prepared.split.table())
        weights = _first_weights(task)
        if weights:
            lines.append(f"weights: {weights}")
        return [
            *lines,
            loss_line(config.loss["name"], task.loss_in_force(), task.label_space.names),
        ]

    def keep(self, run: RunFolder, prepared: Prepared) -> None:
        """The split."""
        if prepared.split is not None:
            prepared.split.save(run.path / "split.json")

    def describe(self, config: Config, prepared: Prepared, task: Any) -> dict[str, Any]:
        """Classes, scaling and the size of the pictures."""
        height, width = picture_size(config.data.image_size)
        keep = int(config.data.keep_aspect)
        return {
            "label_space": prepared.label_space,
            "normalisation": task.normalisation,
            "input": InputSpec(height=height, width=width, keep_aspect=keep),
        }

    def results(self, config: Config, prepared: Prepared, task: Any) -> dict[str, Any]:
        """Shares of the classes in each part, and where the first weights came from."""
        split, weights = prepared.split, _first_weights(task)
        shares = [] if split is None else [row.to_dict() for row in split.table()]
        taught = {} if self.soft is None else {"distillation": self.soft.to_dict()}
        return {"class_shares": shares, **({"weights": weights} if weights else {}), **taught}

    def line(self, row: dict[str, Any]) -> str:
        """Macro-F1, micro-F1 and mean average precision."""
        return (
            f"macro-F1 {shown(row, 'val/macro_f1')}  micro-F1 {shown(row, 'val/micro_f1')}  "
            f"mAP {shown(row, 'val/macro_average_precision')}"
        )

    def verdict(self, best: dict[str, Any]) -> str:
        """Best macro-F1."""
        score = best["macro_f1"]
        value = "not defined" if score != score else f"{score:.3f}"
        return f"best validation macro-F1 {value}, epoch {best['epoch']}"


@final
class MacroF1Scorer(ValidationScorer):
    """Scores of whole pictures, and one threshold per class.

    Args:
        label_space: The classes.
        threshold: `auto`, or a number set by hand for all of them.
        precision: Number format of the predictor, as resolved for training.
        min_positives: Positives from which a class has a threshold of its own.
    """

    metric = "macro_f1"

    def __init__(
        self,
        label_space: LabelSpace,
        threshold: str | float,
        precision: str,
        min_positives: int,
    ) -> None:
        self.label_space = label_space
        self.threshold = threshold
        self.precision = precision
        self.min_positives = min_positives
        self.start()

    def start(self) -> None:
        """Start counting anew."""
        self.collected = ClassificationScorer(self.label_space.names, self.label_space.kind)

    def equip(self, task: TrainingTask, bundle: Bundle) -> None:
        """A predictor of the weights to be scored."""
        assert isinstance(task, ClassificationTask)
        task.predictor = ClassPredictor(bundle, task.device, self.precision)

    def count(self, task: TrainingTask, outputs: Any, batch: ClassBatch) -> None:
        """Keep the answers of one batch."""
        self.collected.update(outputs, batch.target.cpu().numpy())

    def release(self, task: TrainingTask) -> None:
        """Drop the predictor."""
        assert isinstance(task, ClassificationTask)
        task.predictor = None

    def choose(self) -> Threshold:
        """Thresholds of this validation: tuned on it, unless set by hand."""
        if self.label_space.kind is LabelKind.MULTICLASS:
            return Threshold(status="most_probable", source="validation")
        if self.threshold != "auto":
            return Threshold.by_hand(float(self.threshold), "threshold setting")
        choices = choose_class_thresholds(
            self.collected.probability, self.collected.truth, self.label_space.names,
            min_positives=self.min_positives,
        )  # fmt: skip
        return Threshold.from_dict(choices.to_dict())

    def scores(self, threshold: Threshold) -> dict[str, float]:
        """All scores together, and the F1 of each class."""
        scores = self.collected.scores([threshold.of(name) for name in self.label_space.names])
        by_class = {f"f1/{one.name}": one.f1 for one in scores.classes()}
        return {**scores.summary(), "ece": scores.reliability().ece, **by_class}

    def other_name(self, latest: dict[str, Any]) -> str | None:
        """The document's name of the best weights, with epoch and macro-F1."""
        return f"best_model_epoch{latest['epoch']}_f1_{latest['macro_f1']:.2f}.safetensors"


def loss_line(name: str, settings: dict[str, Any], names: Sequence[str]) -> str:
    """The loss with every parameter in force, those of single classes by their names."""
    parts = []
    for key, value in settings.items():
        if isinstance(value, list) and len(value) == len(names):
            listed = ", ".join(
                f"{one} {number:.3g}" for one, number in zip(names, value, strict=True)
            )
            parts.append(f"{key} ({listed})")
        elif value is not None and key != "kind":
            parts.append(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}")
    return f"loss {name}: {'; '.join(parts)}" if parts else f"loss {name}"


def _first_weights(task: Any) -> str | None:
    """Where the backbone's weights came from, in one line, if it says so."""
    weights = getattr(getattr(task.network, "backbone", None), "weights", None)
    return None if weights is None else str(weights)


def training_targets(prepared: Prepared) -> NDArray[np.uint8]:
    """(N, K) of 0 and 1: what the training pictures show."""
    return image_targets(prepared.train, prepared.label_space)

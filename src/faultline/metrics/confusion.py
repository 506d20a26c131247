"""Exact streaming pixel counts: binary (TP, FP, FN, TN) and K x K multiclass.

Conventions: a ratio with a zero denominator is NaN, "not defined". So an image with empty truth
and empty prediction has no IoU, Dice, precision or recall; means over images leave it out and
count it apart. Empty truth with a painted pixel has IoU and Dice 0, and precision 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faultline.errors import ConfigError, ContractError, MaskError
from faultline.metrics import ratios
from faultline.metrics.inputs import (
    ArrayLike,
    Floats,
    Ints,
    as_labels,
    as_mask,
    as_numpy,
    check_same_shape,
    split_truth,
    value_summary,
)
from faultline.types import IGNORE_INDEX


@dataclass(frozen=True, slots=True)
class BinaryCounts:
    """Pixels by truth and prediction; adds up over images, in any order, exactly."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: BinaryCounts) -> BinaryCounts:
        return BinaryCounts(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )

    def __radd__(self, other: int) -> BinaryCounts:
        # sum() starts from 0.
        return self if other == 0 else NotImplemented

    @property
    def total(self) -> int:
        """Pixels counted, that is, not ignored."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def truth_positive(self) -> int:
        """Foreground pixels in the truth."""
        return self.tp + self.fn

    @property
    def predicted_positive(self) -> int:
        """Foreground pixels in the prediction."""
        return self.tp + self.fp

    @property
    def is_empty(self) -> bool:
        """Whether truth and prediction are both empty, so that IoU and Dice are not defined."""
        return self.tp + self.fp + self.fn == 0

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN)."""
        return float(ratios.iou(self.tp, self.fp, self.fn))

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return float(ratios.dice(self.tp, self.fp, self.fn))

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return float(ratios.ratio(self.tp, self.tp + self.fp))

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return float(ratios.ratio(self.tp, self.tp + self.fn))

    @property
    def pixel_accuracy(self) -> float:
        """(TP + TN) / all."""
        return float(ratios.ratio(self.tp + self.tn, self.total))


def count_binary(
    prediction: ArrayLike, truth: ArrayLike, ignore: int = IGNORE_INDEX
) -> BinaryCounts:
    """Count pixels of one image or batch.

    Args:
        prediction: Booleans or 0/1, any shape; NumPy, or torch on the CPU.
        truth: 0, 1 and `ignore`, of the same shape.
        ignore: Truth value of pixels that are not counted.

    Raises:
        ContractError: Shapes differ, or `prediction` holds other values.
        MaskError: `truth` holds other values.
    """
    painted = as_mask(prediction)
    foreground, ignored = split_truth(truth, ignore)
    check_same_shape(painted, foreground, "prediction and truth")
    total = foreground.size
    if ignored is not None:
        painted = painted & ~ignored
        total -= int(np.count_nonzero(ignored))
    tp = int(np.count_nonzero(painted & foreground))
    fp = int(np.count_nonzero(painted)) - tp
    fn = int(np.count_nonzero(foreground)) - tp
    return BinaryCounts(tp, fp, fn, total - tp - fp - fn)


class MulticlassConfusion:
    """Streaming confusion matrix of K classes.

    Attributes:
        matrix: (K, K) int64 pixel counts, truth by row, prediction by column.
        ignored: Number of ignored pixels seen.
    """

    def __init__(self, num_classes: int, ignore: int = IGNORE_INDEX) -> None:
        if not 2 <= num_classes <= 255:
            raise ConfigError(f"num_classes={num_classes} is not in 2..255")
        self.num_classes = num_classes
        self.ignore = ignore
        self.ignored = 0
        self.matrix: Ints = np.zeros((num_classes, num_classes), dtype=np.int64)

    def update(self, prediction: ArrayLike, truth: ArrayLike) -> None:
        """Add one image or batch of class indices, of any common shape.

        Raises:
            ContractError: Shapes differ, or a prediction is not a class index.
            MaskError: A truth value is neither a class index nor `ignore`.
        """
        labels, found = as_labels(truth), as_numpy(prediction, "prediction")
        check_same_shape(found, labels, "prediction and truth")
        valid = labels != self.ignore
        labels, found = labels[valid], found[valid]
        if labels.size and labels.max() >= self.num_classes:
            raise MaskError(
                f"values {value_summary(labels)}, classes are 0..{self.num_classes - 1}",
                where="truth",
            )
        if found.dtype.kind not in "iub" or (
            found.size and (found.min() < 0 or found.max() >= self.num_classes)
        ):
            raise ContractError(
                f"has type {found.dtype} and values {value_summary(found)}, "
                f"not class indices 0..{self.num_classes - 1}",
                where="prediction",
                remedy="pass logits.argmax(dim=1)",
            )
        code = labels.astype(np.intp) * self.num_classes + found.astype(np.intp)
        counts = np.bincount(code, minlength=self.num_classes**2)
        self.matrix += counts.reshape(self.matrix.shape)
        self.ignored += valid.size - labels.size

    def __add__(self, other: MulticlassConfusion) -> MulticlassConfusion:
        if (self.num_classes, self.ignore) != (other.num_classes, other.ignore):
            raise ContractError(
                f"{self.num_classes} classes cannot be added to {other.num_classes}"
                if self.num_classes != other.num_classes
                else f"ignore values {self.ignore} and {other.ignore} differ"
            )
        merged = MulticlassConfusion(self.num_classes, self.ignore)
        merged.matrix = self.matrix + other.matrix
        merged.ignored = self.ignored + other.ignored
        return merged

    def counts(self, class_index: int) -> BinaryCounts:
        """One class against the rest."""
        tp = int(self.matrix[class_index, class_index])
        fn = int(self.matrix[class_index].sum()) - tp
        fp = int(self.matrix[:, class_index].sum()) - tp
        return BinaryCounts(tp, fp, fn, int(self.matrix.sum()) - tp - fn - fp)

    def iou(self) -> Floats:
        """(K,) IoU a class; NaN for a class in neither truth nor prediction."""
        return ratios.iou(*self._one_against_rest())

    def dice(self) -> Floats:
        """(K,) Dice a class; NaN for a class in neither truth nor prediction."""
        return ratios.dice(*self._one_against_rest())

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes present in truth or prediction; NaN if none is."""
        return _mean_of_defined(self.iou())

    @property
    def mean_dice(self) -> float:
        """Mean Dice over the classes present in truth or prediction; NaN if none is."""
        return _mean_of_defined(self.dice())

    @property
    def pixel_accuracy(self) -> float:
        """Share of pixels whose class is right."""
        return float(ratios.ratio(np.trace(self.matrix), self.matrix.sum()))

    def _one_against_rest(self) -> tuple[Ints, Ints, Ints]:
        tp = np.diagonal(self.matrix)
        return tp, self.matrix.sum(axis=0) - tp, self.matrix.sum(axis=1) - tp


def _mean_of_defined(values: Floats) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")

"""Metrics on NumPy arrays or CPU tensors: exact streaming counts, thresholds, diagnosis.

Decision rule everywhere: a pixel is foreground when `probability >= threshold`. Ratios with a
zero denominator are NaN ("not defined"). 255 in a truth mask is not counted.
"""

from faultline.metrics.bootstrap import (
    Interval,
    Resampler,
    bootstrap_interval,
    paired_difference_interval,
)
from faultline.metrics.boundary import MatchCounts, tolerance_counts
from faultline.metrics.centreline import (
    centreline_counts,
    cldice_counts,
    cliou_counts,
    skeleton,
)
from faultline.metrics.class_thresholds import ClassChoices, choose_class_thresholds
from faultline.metrics.classification import (
    ClassificationScorer,
    ClassificationScores,
    decide_classes,
    macro_f1_of_counts,
)
from faultline.metrics.confusion import BinaryCounts, MulticlassConfusion, count_binary
from faultline.metrics.curves import Curve, Reliability
from faultline.metrics.diagnosis import Diagnosis, diagnose, foreground_is_dead
from faultline.metrics.histogram import ProbabilityHistogram
from faultline.metrics.inputs import decide
from faultline.metrics.ods import OdsOis, OdsOisResult, sweep_counts
from faultline.metrics.segmentation import SegmentationScorer
from faultline.metrics.thresholds import (
    DEFAULT_THRESHOLD,
    ThresholdChoice,
    ThresholdStatus,
)
from faultline.metrics.verdicts import Verdict

__all__ = [
    "DEFAULT_THRESHOLD",
    "BinaryCounts",
    "ClassChoices",
    "ClassificationScorer",
    "ClassificationScores",
    "Curve",
    "Diagnosis",
    "Interval",
    "MatchCounts",
    "MulticlassConfusion",
    "OdsOis",
    "OdsOisResult",
    "ProbabilityHistogram",
    "Reliability",
    "Resampler",
    "SegmentationScorer",
    "ThresholdChoice",
    "ThresholdStatus",
    "Verdict",
    "bootstrap_interval",
    "centreline_counts",
    "choose_class_thresholds",
    "cldice_counts",
    "cliou_counts",
    "count_binary",
    "decide",
    "decide_classes",
    "diagnose",
    "foreground_is_dead",
    "macro_f1_of_counts",
    "paired_difference_interval",
    "skeleton",
    "sweep_counts",
    "tolerance_counts",
]

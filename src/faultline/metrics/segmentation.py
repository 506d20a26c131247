"""The score of a binary segmenter on a test set: every metric, pooled and per image."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from faultline.errors import ContractError
from faultline.metrics import ratios
from faultline.metrics.bootstrap import Interval, Resampler
from faultline.metrics.boundary import MatchCounts, disk, tolerance_counts
from faultline.metrics.centreline import centreline_counts
from faultline.metrics.confusion import BinaryCounts, count_binary
from faultline.metrics.formulas import (
    FORMULAS,
    PER_IMAGE_NAMES,
    dice_by_threshold,
    tolerance_by_threshold,
)
from faultline.metrics.histogram import ProbabilityHistogram, reliability_starts
from faultline.metrics.inputs import ArrayLike, Floats, decide
from faultline.metrics.ods import sweep_counts
from faultline.types import IGNORE_INDEX, check_threshold

_SWEEP = 99
_BINS = 15


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    group: Hashable
    counts: BinaryCounts
    blocks: dict[str, npt.NDArray[Any]]


class SegmentationScorer:
    """Streaming scorer; keeps counts of each image (about 10 KB), never its pixels.

    Args:
        threshold: Decision rule, probability >= threshold; fixed before the test set is seen.
        radius: Pixel tolerance of precision, recall, F1, ODS and OIS.
        tau: Pixel tolerance of the centre-line IoU.
        ignore: Truth value of pixels that are not counted.

    Raises:
        ConfigError: Threshold outside (0, 1), negative radius or tau.
    """

    def __init__(
        self,
        threshold: float,
        radius: float = 2.0,
        tau: float = 4.0,
        *,
        ignore: int = IGNORE_INDEX,
    ) -> None:
        check_threshold(threshold)
        for distance in (radius, tau):
            disk(distance)
        self.threshold = threshold
        self.radius = radius
        self.tau = tau
        self.ignore = ignore
        self.histogram = ProbabilityHistogram(ignore=ignore)
        self._rows: dict[str, _Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def update(
        self,
        id: str,
        probability: ArrayLike,
        truth: ArrayLike,
        group: Hashable = None,
        *,
        prediction: ArrayLike | None = None,
    ) -> None:
        """Add one image.

        Args:
            id: Name of the image.
            probability: (H, W) floats in [0, 1]; NumPy, or torch on the CPU.
            truth: (H, W) 0, 1 and the ignore value.
            group: Images of one group are resampled together; None: the image is its own group.
            prediction: (H, W) decided mask, where it is more than probability >= threshold
                (post-processing).

        Raises:
            ContractError: The id was scored before, shapes differ, or values outside [0, 1].
            MaskError: `truth` holds other values.
        """
        if id in self._rows:
            raise ContractError("scored twice", where=id, remedy="give every image once")
        mask = decide(probability, self.threshold) if prediction is None else prediction
        histogram = ProbabilityHistogram(self.histogram.bins, self.ignore)
        histogram.update(probability, truth)
        tolerance = tolerance_counts(mask, truth, self.radius, self.ignore)
        lines, topology = centreline_counts(mask, truth, self.tau, self.ignore)
        counts = count_binary(mask, truth, self.ignore)
        sweep = sweep_counts(probability, truth, _SWEEP, self.radius, self.ignore)
        blocks: dict[str, npt.NDArray[Any]] = {
            "binary": np.array([counts.tp, counts.fp, counts.fn, counts.tn]),
            "tolerance": _vector(tolerance),
            "lines": _vector(lines),
            "topology": _vector(topology),
            "sweep": sweep.astype(np.int32).ravel(),
            "histogram": np.column_stack([histogram.counts, histogram.nan])
            .astype(np.int32)
            .ravel(),
            "confidence": _confidence(histogram),
        }
        self._rows[id] = _Row(id, group, counts, blocks)
        self.histogram = self.histogram + histogram

    def results(
        self, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
    ) -> dict[str, Any]:
        """Every metric with its bootstrap interval.

        Returns:
            Plain values, NaN where not defined (`write_json` makes them null):

            - `pooled`: metric -> {value, low, high}, from the summed counts of all images; with
              `ods` (tolerance F1) and `ods_pixel` (Dice) at one best threshold for all images.
            - `per_image`: metric -> {value, low, high, images}, mean over the `images` on which
              the metric is defined; there `ois` and `ois_pixel` stand for ODS: each image at
              its own best threshold.
            - `clean`: painted share of images with empty truth.
            - `images`, `groups`, `pixels`, `ignored_pixels`, `nan_pixels`, `images_empty` (empty
              truth and prediction: left out of image means), `threshold`, `radius`, `tau`,
              `ods_threshold`, `ods_pixel_threshold`, `level`, `resamples`, `seed`.
        """
        rows = list(self._rows.values())
        groups = [(row.group is None, row.id if row.group is None else row.group) for row in rows]
        draw = Resampler(len(rows), groups, resamples=resamples, level=level, seed=seed)
        blocks = self._blocks()
        return {
            "images": len(rows),
            "groups": draw.groups,
            "pixels": self.histogram.pixels,
            "ignored_pixels": self.histogram.ignored,
            "nan_pixels": int(self.histogram.nan.sum()),
            "images_empty": sum(row.counts.is_empty for row in rows),
            "threshold": self.threshold,
            "radius": self.radius,
            "tau": self.tau,
            "level": level,
            "resamples": resamples,
            "seed": seed,
            **_best_thresholds(blocks),
            "pooled": _pooled(blocks, draw),
            "per_image": _per_image(blocks, draw),
            "clean": self._clean(draw),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One flat dict an image, in the order of arrival: ids, counts and every metric."""
        blocks = self._blocks()
        columns = {
            PER_IMAGE_NAMES.get(name, name): formula(blocks[block]).tolist()
            for name, (block, formula) in FORMULAS.items()
        }
        table = []
        for index, row in enumerate(self._rows.values()):
            c = row.counts
            table.append(
                {
                    "id": row.id,
                    "group": row.group,
                    "tp": c.tp,
                    "fp": c.fp,
                    "fn": c.fn,
                    "tn": c.tn,
                    "truth_share": float(ratios.ratio(c.truth_positive, c.total)),
                    "predicted_share": float(ratios.ratio(c.predicted_positive, c.total)),
                    "clean": _is_clean(c),
                    **{name: values[index] for name, values in columns.items()},
                }
            )
        return table

    def ranked(self, metric: str = "iou") -> list[dict[str, Any]]:
        """`rows()` from best to worst, without images on which `metric` is not defined.

        The best is [0], the median [len // 2], the worst [-1]; equal scores go by id.

        Raises:
            ContractError: Unknown metric.
        """
        table = self.rows()
        if table and metric not in table[0]:
            raise ContractError(f"unknown metric {metric!r}", remedy=", ".join(table[0]))
        defined = [row for row in table if row[metric] == row[metric]]
        sign = 1 if metric == "ece" else -1
        return sorted(defined, key=lambda row: (sign * row[metric], row["id"]))

    def _blocks(self) -> dict[str, Floats]:
        """Block name -> (N, D) counts, one row an image; see `faultline.metrics.formulas`."""
        rows = list(self._rows.values())
        bins = self.histogram.bins
        widths = {"sweep": 4 * _SWEEP, "histogram": 2 * (bins + 2), "confidence": 3 * _BINS}
        blocks = {}
        for name in {block for block, _ in FORMULAS.values()}:
            table = np.empty((len(rows), widths.get(name, 4)))
            for index, row in enumerate(rows):
                table[index] = row.blocks[name]
            blocks[name] = table
        return blocks

    def _clean(self, draw: Resampler) -> dict[str, Any]:
        """False positives where there is nothing to find."""
        rows = list(self._rows.values())
        clean = [row for row in rows if _is_clean(row.counts)]
        worst = max(clean, key=lambda row: row.counts.fp / row.counts.total, default=None)
        table = [(c.fp, c.total) if _is_clean(c) else (0, 0) for c in (row.counts for row in rows)]
        share = draw.interval(
            np.array(table).reshape(len(rows), 2), lambda s: ratios.ratio(s[:, 0], s[:, 1])
        )
        return {
            "images": len(clean),
            "painted_images": sum(row.counts.fp > 0 for row in clean),
            "painted_share": share.to_dict(),
            "worst_id": worst.id if worst else None,
            "worst_share": worst.counts.fp / worst.counts.total if worst else float("nan"),
        }


def _pooled(blocks: dict[str, Floats], draw: Resampler) -> dict[str, dict[str, float]]:
    totals = {name: block.sum(axis=0, keepdims=True) for name, block in blocks.items()}
    sums = {name: draw.sums(block) for name, block in blocks.items()}
    found: dict[str, Interval] = {
        name: draw.summarise(float(formula(totals[block])[0]), formula(sums[block]))
        for name, (block, formula) in FORMULAS.items()
    }
    return {name: interval.to_dict() for name, interval in found.items()}


def _per_image(blocks: dict[str, Floats], draw: Resampler) -> dict[str, dict[str, float]]:
    found = {}
    for name, (block, formula) in FORMULAS.items():
        values = formula(blocks[block])
        defined = ~np.isnan(values)
        table = np.column_stack([np.where(defined, values, 0.0), defined])
        mean = draw.interval(table, lambda sums: ratios.ratio(sums[:, 0], sums[:, 1]))
        found[PER_IMAGE_NAMES.get(name, name)] = {**mean.to_dict(), "images": int(defined.sum())}
    return found


def _best_thresholds(blocks: dict[str, Floats]) -> dict[str, float]:
    sweeps = {
        "ods_threshold": tolerance_by_threshold(blocks["sweep"].sum(axis=0, keepdims=True))[0],
        "ods_pixel_threshold": dice_by_threshold(blocks["histogram"].sum(axis=0, keepdims=True))[0],
    }
    return {
        name: (int(np.nanargmax(scores)) + 1) / (len(scores) + 1)
        if np.nanmax(np.nan_to_num(scores), initial=0.0) > 0
        else float("nan")
        for name, scores in sweeps.items()
    }


def _confidence(histogram: ProbabilityHistogram) -> Floats:
    """(3 C,) pixels, positives and sums of probability in the reliability bins."""
    starts = reliability_starts(histogram.bins, _BINS)
    table = np.stack([histogram.counts.sum(axis=0), histogram.counts[1], histogram.sums * 2.0**-24])
    return np.add.reduceat(table, starts, axis=1).ravel()


def _vector(counts: MatchCounts) -> npt.NDArray[np.int64]:
    return np.array([counts.predicted, counts.predicted_hit, counts.truth, counts.truth_hit])


def _is_clean(counts: BinaryCounts) -> bool:
    return counts.truth_positive == 0 and counts.total > 0

"""Streams labelled images through a predictor into one scorer per class."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultline.data.images import read_image
from faultline.data.manifest import Item, Problem
from faultline.data.masks import load_mask
from faultline.errors import DataError, FaultlineError
from faultline.evaluation.layers import class_names, layers
from faultline.metrics.multiclass import MulticlassScorer
from faultline.metrics.segmentation import SegmentationScorer
from faultline.predict.predictor import Predictor
from faultline.predict.stream import mapped
from faultline.progress import Progress
from faultline.types import LabelKind, LabelSpace

Pixels = NDArray[np.uint8]
"""Called with (done, total) after every image."""

_AHEAD = 8


@dataclass
class Scores:
    """What came out of scoring.

    Attributes:
        scorers: One per class, by name, in the order of the label space.
        items: Images that were scored, by id.
        problems: Images that could not be, and why.
        classes: Scores of all classes together, where they exclude each other.
        seconds: Time of the predictor alone, over all images.
    """

    scorers: dict[str, SegmentationScorer]
    items: dict[str, Item] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    classes: MulticlassScorer | None = None
    seconds: float = 0.0
    _tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict, repr=False)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """One row an image of class `name`, as `SegmentationScorer.rows` gives them, made once."""
        if len(self._tables.get(name, ())) != len(self.scorers[name]):
            self._tables[name] = self.scorers[name].rows()
        return self._tables[name]

    @property
    def radius(self) -> float:
        """Pixel tolerance that all classes were scored with."""
        return next(iter(self.scorers.values())).radius

    def ranked(self, metric: str) -> list[tuple[str, float]]:
        """(id, score) from best to worst, the score being the mean over classes that define it."""
        found: dict[str, list[float]] = {}
        for scored in self.scorers:
            for row in self.rows(scored):
                if np.isfinite(row[metric]):
                    found.setdefault(row["id"], []).append(float(row[metric]))
        means = [(name, float(np.mean(values))) for name, values in found.items()]
        return sorted(means, key=lambda pair: (-pair[1], pair[0]))


def score_items(
    predictor: Predictor,
    items: Sequence[Item],
    space: LabelSpace,
    *,
    radius: float = 2.0,
    tau: float = 4.0,
    workers: int = 2,
    progress: Progress | None = None,
) -> Scores:
    """Score `predictor` on `items`; images that cannot be read are listed and left out.

    Memory does not grow with the number of images beyond some 10 KB of counts each.

    Raises:
        DataError: No image could be scored.
        ConfigError: The threshold is not between 0 and 1, or a tolerance is negative.
    """
    threshold = predictor.threshold.value
    names = class_names(space)
    scores = Scores({name: SegmentationScorer(threshold, radius, tau) for name in names})
    if space.kind is LabelKind.MULTICLASS:
        scores.classes = MulticlassScorer(space.names)
    with ThreadPoolExecutor(max_workers=max(1, workers)) as executor:
        read = mapped(executor, lambda item: _read(item, space), items, _AHEAD)
        for done, (item, loaded) in enumerate(zip(items, read, strict=True), 1):
            if isinstance(loaded, Problem):
                scores.problems.append(loaded)
            else:
                _score(scores, predictor, item, *loaded, space)
            if progress is not None:
                progress(done, len(items))
    if not scores.items:
        raise _nothing_scored(scores.problems)
    return scores


def load_pair(item: Item, space: LabelSpace) -> tuple[Pixels, Pixels]:
    """Image (H, W, 3) and truth of an item.

    Raises:
        ImageError: The picture or mask file cannot be decoded.
        MaskError: There is no label, or it does not fit.
    """
    image = read_image(item.path)
    truth = load_mask(item, space)
    if truth.shape[-2:] != image.shape[:2]:
        raise DataError(
            f"the picture is {image.shape[1]}x{image.shape[0]} pixels, "
            f"its label {truth.shape[-1]}x{truth.shape[-2]}",
            where=item.path,
            remedy="the file was changed after the import: import the data set again",
        )
    return image, truth


def _read(item: Item, space: LabelSpace) -> tuple[Pixels, Pixels] | Problem:
    try:
        return load_pair(item, space)
    except FaultlineError as error:
        return Problem(item.id, error.what)


def _score(
    scores: Scores,
    predictor: Predictor,
    item: Item,
    image: Pixels,
    truth: Pixels,
    space: LabelSpace,
) -> None:
    prediction = predictor.predict(image)
    for layer in layers(prediction, truth, space):
        scores.scorers[layer.name].update(
            item.id, layer.probability, layer.truth, item.group, prediction=layer.prediction
        )
    if scores.classes is not None:
        scores.classes.update(item.id, prediction.mask, truth, item.group)
    scores.items[item.id] = item
    scores.seconds += prediction.seconds


def _nothing_scored(problems: Sequence[Problem]) -> DataError:
    if not problems:
        return DataError("there are no images to score", remedy="give a test split with images")
    shown = "; ".join(str(problem) for problem in problems[:3])
    return DataError(
        f"none of {len(problems)} images could be scored: {shown}",
        remedy="run `faultline doctor` on the data set",
    )

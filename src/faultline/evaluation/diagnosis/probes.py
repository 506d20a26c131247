"""Predictions gathered for a diagnosis: one probe for each thing that the weights outline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from faultline.data.images import read_image
from faultline.data.manifest import Item, Problem
from faultline.data.masks import scan_mask
from faultline.data.prompt_items import PromptItem
from faultline.errors import DataError, FaultlineError
from faultline.evaluation.layers import layers
from faultline.evaluation.scoring import load_pair
from faultline.metrics import ProbabilityHistogram, count_binary
from faultline.metrics.shift import ShiftSearch
from faultline.predict.predictor import Pixels, Predictor
from faultline.predict.prompted import PromptPredictor
from faultline.progress import Progress
from faultline.types import LabelSpace

_SHIFT_CUT = 0.5
"""Share of the highest probability of a picture from which it counts as painted when a shift is
looked for: a model whose threshold is wrong can still be right about where things are."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer.

    Attributes:
        id: Of the picture.
        iou: At the threshold in use; NaN where nothing is labelled and nothing painted.
        shown: Whether the label holds foreground.
        painted: Share of the picture that is painted.
        high: Highest probability.
    """

    id: str
    iou: float
    shown: bool
    painted: float
    high: float


@dataclass
class Probe:
    """Everything seen of one class or prompt.

    Attributes:
        name: Of the class or prompt.
        threshold: In use for it.
        histogram: Probabilities by truth.
        shift: Looks for shifted labels.
        seen: One entry per picture.
    """

    name: str
    threshold: float
    histogram: ProbabilityHistogram = field(default_factory=ProbabilityHistogram)
    shift: ShiftSearch = field(default_factory=ShiftSearch)
    seen: list[Seen] = field(default_factory=list)

    def update(
        self, id: str, probability: NDArray[np.float32], mask: Pixels, truth: Pixels
    ) -> None:
        """Add the answer (H, W) about one picture, with its label."""
        probability = np.clip(probability, 0, 1)
        self.histogram.update(probability, truth)
        counts = count_binary(mask, truth)
        high = float(probability.max())
        if counts.truth_positive:
            self.shift.update(probability >= max(1e-6, _SHIFT_CUT * high), truth)
        shown = counts.truth_positive > 0
        self.seen.append(Seen(id, counts.iou, shown, float(mask.mean()), high))

    def worst(self, count: int) -> list[Seen]:
        """Pictures that show it with the lowest IoU, worst first."""
        shown = [one for one in self.seen if one.shown]
        return sorted(shown, key=lambda one: (np.nan_to_num(one.iou), one.id))[:count]


def probe_masks(
    predictor: Predictor,
    items: Sequence[Item],
    space: LabelSpace,
    problems: list[Problem],
    progress: Progress,
) -> dict[str, Probe]:
    """One probe per class of weights that outline fixed classes.

    Raises:
        DataError: No picture can be read.
    """
    probes: dict[str, Probe] = {}
    inside = _inside(predictor.threshold.value)
    for done, item in enumerate(items, 1):
        try:
            image, truth = load_pair(item, space)
        except FaultlineError as error:
            problems.append(Problem(item.id, error.what))
            continue
        for layer in layers(predictor.predict(image), truth, space):
            probe = probes.setdefault(layer.name, Probe(layer.name, inside))
            probe.update(item.id, layer.probability, layer.prediction, layer.truth)
        progress(done, len(items))
    return _some(probes, problems)


def probe_prompts(
    predictor: PromptPredictor,
    items: Sequence[PromptItem],
    problems: list[Problem],
    progress: Progress,
) -> dict[str, Probe]:
    """One probe per class, asked by its first prompt where it is shown and where it is absent.

    Raises:
        DataError: No picture can be read.
    """
    classes = predictor.table.classes
    probes: dict[str, Probe] = {}
    for done, item in enumerate(items, 1):
        names = [name for name in classes if name in item.parts or name in item.absent]
        try:
            image = read_image(item.path)
            truths = {name: item.mask_of(name) for name in names}
        except FaultlineError as error:
            problems.append(Problem(item.id, error.what))
            continue
        if names:
            answers = predictor.answer(image, [classes[name].prompts[0] for name in names])
            for name, answer in zip(names, answers, strict=True):
                prompt = answer.meaning.prompt
                threshold = _inside(answer.threshold)
                probe = probes.setdefault(name, Probe(prompt, threshold))
                probe.update(item.id, answer.probability, answer.mask, truths[name])
        progress(done, len(items))
    return _some(probes, problems)


def mask_files(items: Sequence[Item | PromptItem]) -> Iterator[tuple[str, list[int] | None]]:
    """(rule, grey values on disk) of each mask file; values are None for files in colour."""
    for item in items:
        own = [item] if isinstance(item, Item) else [part.item for part in item.parts.values()]
        for one in own:
            if one.mask_file is not None:
                grey = scan_mask(one.mask_file.path).grey
                rule = one.mask_file.rule.partition(":")[0]
                yield rule, None if grey is None else sorted(grey)


def _inside(threshold: float) -> float:
    return min(max(threshold, 1e-3), 1 - 1e-3)


def _some(probes: dict[str, Probe], problems: list[Problem]) -> dict[str, Probe]:
    if not probes:
        reasons = "; ".join(str(problem) for problem in problems[:3]) or "there are none"
        raise DataError(f"no picture could be read: {reasons}")
    return probes

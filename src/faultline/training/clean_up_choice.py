"""Which clean-up of masks helps on validation, class by class; usually none does."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from faultline.data.prompt_dataset import PromptPictures
from faultline.metrics import BinaryCounts, count_binary
from faultline.metrics.prompted import FALSE_SHARE
from faultline.predict.clean_up import STEPS, cleaned
from faultline.predict.crf import PictureField
from faultline.predict.prompted import PromptPredictor

_GAIN = 0.002
"""Least gain of IoU for which a step is kept: less is chance."""


@dataclass(frozen=True, slots=True)
class CleanUpChoice:
    """What was tried and what is kept.

    Attributes:
        steps: Class -> step that is kept; classes without a gain are not listed.
        iou: Class -> step -> IoU on validation.
    """

    steps: dict[str, str]
    iou: dict[str, dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"kept": self.steps, "validation_iou": self.iou}


def choose_clean_up(predictor: PromptPredictor, pictures: PromptPictures) -> CleanUpChoice:
    """Try every step on the questions of `pictures`.

    A step is kept where it raises the IoU of the class and adds no false answer.
    """
    counts: dict[tuple[str, str], BinaryCounts] = defaultdict(BinaryCounts)
    false: dict[tuple[str, str], int] = defaultdict(int)
    for index in range(len(pictures)):
        sample = pictures[index]
        image = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy())
        prompts = [question.prompt for question in sample.questions]
        answers = predictor.answer(image, prompts, clean=False)
        field = PictureField(image)
        for question, answer, truth in zip(sample.questions, answers, sample.mask, strict=True):
            name = str(question.name)
            refine = partial(field.refine, answer.probability, answer.threshold)
            for step in STEPS:
                mask = cleaned(answer.mask, step, refine)
                if question.shown:
                    counts[name, step] += count_binary(mask, truth.numpy())
                else:
                    false[name, step] += bool(mask.mean() > FALSE_SHARE)
    names = sorted({name for name, _ in counts})
    iou = {name: {step: counts[name, step].iou for step in STEPS} for name in names}
    kept = {}
    for name in names:
        best = max(STEPS, key=lambda step: (np.nan_to_num(iou[name][step]), step == "none"))
        gains = iou[name][best] - iou[name]["none"] > _GAIN
        if gains and false[name, best] <= false[name, "none"]:
            kept[name] = best
    return CleanUpChoice(kept, iou)

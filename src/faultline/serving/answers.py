"""Predictions as plain values: what each endpoint answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faultline.artifacts.contents import Threshold
from faultline.predict.answering import class_masks, mask_picture, measured
from faultline.predict.class_predictor import ClassPrediction, ClassPredictor
from faultline.predict.measure import MIN_SIZE, keep_components, measured_classes
from faultline.predict.options import InferOptions
from faultline.predict.probability import Prediction
from faultline.predict.prompt_command import prompt_space
from faultline.predict.prompted import PromptAnswer
from faultline.predict.table import Row, class_columns
from faultline.serving.pictures import Pixels, as_base64
from faultline.types import LabelKind, LabelSpace

Values = dict[str, Any]
_NO_MEASURES = frozenset({"file", "mask", "threshold", "time_ms", "error"})


def mask_answer(
    answer: Prediction, space: LabelSpace, threshold: Threshold, mm_per_px: float | None
) -> Values:
    """What an outline says: measures of the picture, and each class with its mask."""
    row = measured("", answer, space, InferOptions(mm_per_px=mm_per_px))
    return {
        "kind": space.kind.value,
        "threshold": threshold.to_dict(),
        "measurements": _measurements(row, space),
        "classes": [
            {"name": name, "colour": list(colour), **_found(mask, probability)}
            for name, colour, mask, probability in _classes(answer, space)
        ],
        "mask": as_base64(mask_picture(answer, space)),
    }


def class_answer(answer: ClassPrediction, predictor: ClassPredictor) -> Values:
    """What is said of a whole picture: probability, threshold and decision for each class."""
    excluding = predictor.bundle.label_space.kind is LabelKind.MULTICLASS
    rows = zip(predictor.names, answer.probability, predictor.thresholds, answer.decided,
               strict=True)  # fmt: skip
    return {
        "kind": predictor.bundle.label_space.kind.value,
        "decided": answer.names(predictor.names),
        "rule": "the most probable class" if excluding else "each class from its threshold on",
        "classes": [
            {
                "name": name,
                "probability": round(float(probability), 6),
                "threshold": None if excluding else threshold,
                "decided": bool(decided),
            }
            for name, probability, threshold, decided in rows
        ],
    }


def prompt_answer(answers: Sequence[PromptAnswer]) -> Values:
    """What each prompt was understood as, and what it found."""
    colours = prompt_space([one.meaning.prompt for one in answers]).colours
    return {
        "prompts": [
            {
                **one.meaning.to_dict(),
                "warning": one.meaning.warning(),
                "threshold": one.threshold,
                "colour": list(colour),
                **_found(one.mask, one.probability),
            }
            for one, colour in zip(answers, colours, strict=True)
        ]
    }


def _classes(
    answer: Prediction, space: LabelSpace
) -> Iterator[tuple[str, tuple[int, int, int], Pixels, NDArray[np.float32]]]:
    """(name, colour, mask of 0 and 1 or 255, probability) of each class but the background."""
    layers = class_masks(answer, space)
    for index in range(space.first, len(space.names)):
        name = space.names[index]
        if space.kind is LabelKind.BINARY:
            mask = answer.mask
        else:
            mask = layers[name] if layers else (answer.mask == index).view(np.uint8)
        yield name, space.colours[index], mask, answer.probability[index]


def _found(mask: Pixels, probability: NDArray[np.float32]) -> Values:
    """Pixels, components and confidence of one class, and its mask.

    Confidence is the mean probability of the pixels that were taken; nothing taken has none.
    """
    binary = (mask > 0).view(np.uint8)
    pixels = int(cv2.countNonZero(binary))
    mean = float(probability[binary > 0].mean(dtype=np.float64)) if pixels else None
    return {
        "pixels": pixels,
        "share": round(pixels / binary.size, 6),
        "components": keep_components(binary, MIN_SIZE)[1],
        "confidence": None if mean is None else round(mean, 6),
        "highest_probability": round(float(probability.max()), 6),
        "mask": as_base64(binary * np.uint8(255)),
    }


def _measurements(row: Row, space: LabelSpace) -> Values:
    """The columns of `measurements.csv`, as numbers; classes have entries of their own."""
    own = {column for name in measured_classes(space) for column in class_columns(name)}
    return {
        column: _number(text)
        for column, text in row.cells().items()
        if column not in _NO_MEASURES | own
    }


def _number(text: str) -> float | int | None:
    if not text:
        return None
    return float(text) if "." in text else int(text)

"""Every class as a binary question of its own, so that one scorer serves all label kinds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.errors import DataError
from faultline.predict.probability import Prediction
from faultline.types import IGNORE_INDEX, LabelKind, LabelSpace

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Layer:
    """One class of one image.

    Attributes:
        name: Of the class.
        probability: (H, W) float32.
        prediction: (H, W) of 0 and 1, as the predictor decided.
        truth: (H, W) of 0, 1 and 255 (ignored).
    """

    name: str
    probability: NDArray[np.float32]
    prediction: Pixels
    truth: Pixels


def class_names(space: LabelSpace) -> tuple[str, ...]:
    """The classes that are scored: all but the background of a multiclass space."""
    return space.names[1:] if space.kind is LabelKind.MULTICLASS else space.names


def layers(prediction: Prediction, truth: Pixels, space: LabelSpace) -> Iterator[Layer]:
    """The classes of `class_names`, each against the rest.

    Args:
        prediction: The answer for one image.
        truth: As `load_mask` gives it.
        space: That both refer to.
    """
    if space.kind is LabelKind.BINARY:
        yield Layer(space.names[0], prediction.probability[0], prediction.mask, truth)
        return
    for index, name in enumerate(space.names):
        if space.kind is LabelKind.MULTILABEL:
            yield Layer(name, prediction.probability[index], prediction.mask[index], truth[index])
        elif index > 0:
            own = (truth == index).astype(np.uint8)
            own[truth == IGNORE_INDEX] = IGNORE_INDEX
            found = (prediction.mask == index).astype(np.uint8)
            yield Layer(name, prediction.probability[index], found, own)


def check_same_classes(model: LabelSpace, data: LabelSpace) -> None:
    """Refuse data whose labels mean something else than the model's outputs.

    Two binary spaces always fit: their single class may have another name in another data set.

    Raises:
        DataError: Kinds or, beyond binary, names differ.
    """
    if model.kind is data.kind and (model.kind is LabelKind.BINARY or model.names == data.names):
        return
    raise DataError(
        f"the labels are {data.kind} ({', '.join(data.names)}), "
        f"the model gives {model.kind} ({', '.join(model.names)})",
        remedy="evaluate on data labelled with the classes that the model was trained for",
    )

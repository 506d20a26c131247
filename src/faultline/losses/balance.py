"""Settings of losses that are counted from the training labels: alpha and class weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultline.errors import ConfigError
from faultline.losses.loss import LOSSES, SegmentationLoss
from faultline.registry import Entry
from faultline.types import LabelKind

DYNAMIC = "dynamic"
BALANCED = "balanced"
_DEFAULTS: dict[str, dict[str, Any]] = {"focal": {"alpha": DYNAMIC}}
"""Loss -> settings that classification uses where none are given."""


def dynamic_alpha(targets: NDArray[np.uint8]) -> list[float]:
    """alpha_c = 1 - frequency_c, the share of pictures that do not show class c; (N, K) targets.

    As the steel document has it: the rarer a class, the more its positives weigh.
    """
    return [float(value) for value in 1.0 - targets.mean(axis=0, dtype=np.float64)]


def balanced_pos_weight(targets: NDArray[np.uint8]) -> list[float]:
    """Negatives over positives of each class; 1 for a class without positives."""
    positives = targets.sum(axis=0, dtype=np.int64)
    negatives = len(targets) - positives
    return [float(n / p) if p else 1.0 for n, p in zip(negatives, positives, strict=True)]


def balanced_class_weights(targets: NDArray[np.uint8]) -> list[float]:
    """N / (K n_c), so that classes weigh the same in all; 1 for a class without positives."""
    count, classes = targets.shape
    return [float(count / (classes * p)) if p else 1.0 for p in targets.sum(axis=0, dtype=int)]


_RULES = {
    ("alpha", DYNAMIC): dynamic_alpha,
    ("pos_weight", BALANCED): balanced_pos_weight,
    ("class_weights", BALANCED): balanced_class_weights,
}


def settings_from_targets(
    name: str, settings: Mapping[str, Any], targets: NDArray[np.uint8]
) -> dict[str, Any]:
    """`settings` of the loss `name` with words replaced by what the training labels say.

    Args:
        name: Loss or alias.
        settings: As given by the user: "dynamic" for alpha, "balanced" for weights.
        targets: (N, K) of 0 and 1, of the training pictures.

    Raises:
        UnknownNameError: There is no such loss.
        ConfigError: There are no training pictures, or not one number per class.
    """
    if not len(targets):
        raise ConfigError("there are no training pictures to count classes in")
    complete = {**_DEFAULTS.get(LOSSES.get(name).name, {}), **settings}
    for key in {key for key, _ in _RULES} & complete.keys():
        _check_length(key, complete[key], targets.shape[1])
    return {
        key: rule(targets) if isinstance(value, str) and (rule := _RULES.get((key, value)))
        else value
        for key, value in complete.items()
    }  # fmt: skip


def _check_length(key: str, values: Any, classes: int) -> None:
    if isinstance(values, list | tuple) and len(values) != classes:
        raise ConfigError(
            f"{len(values)} values for {classes} classes",
            where=f"loss.{key}",
            remedy=f"give {classes} values, in the order of the classes",
        )


def check_for_pictures(name: str, kind: LabelKind = LabelKind.MULTILABEL) -> None:
    """Make sure that the loss `name` is defined for whole pictures with classes of this `kind`.

    Raises:
        UnknownNameError: There is no such loss.
        ConfigError: It needs masks, or takes classes one by one where they exclude each other.
    """
    entry = LOSSES.get(name)
    fitting = [one for one in LOSSES if "classification" in one.tags and kind in _kinds(one)]
    known = ", ".join(one.name for one in fitting)
    words = " or ".join(f"loss={one.name}" for one in fitting)
    if "classification" not in entry.tags:
        raise ConfigError(
            f"loss {name!r} is a segmentation loss; classification has no masks",
            where="loss.name",
            remedy=f"use one of: {known}",
        )
    if kind is LabelKind.MULTICLASS and kind not in _kinds(entry):
        raise ConfigError(
            f"loss {name!r} treats each class by itself, but here each picture shows exactly one",
            where="loss.name",
            remedy=f"use {words}",
        )


def _kinds(entry: Entry[SegmentationLoss]) -> tuple[LabelKind, ...]:
    """Relations between classes that a loss is defined for; all where it does not say."""
    return tuple(getattr(entry.builder, "kinds", tuple(LabelKind)))

"""The judges behind a diagnosis: facts about predictions and labels in, verdicts out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Facts: TypeAlias = dict[str, Any]

_CONSTANT_RANGE = 0.002
_MANY = 0.5
_EVERYTHING = 0.95
_WEAK_IOU = 0.1
_FEW = 0.1
"""Painted pixels, as a share of the labelled ones, below which next to nothing is painted."""
_SLOW = 2e-4
"""Learning rate up to which too little is the likelier fault."""
_SHIFT = 3
"""Pixels: predictions of thin lines are off by one or two anyway."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One finding: a code for programs, a sentence and an advice for people."""

    code: str
    sentence: str
    advice: str


def judge(facts: Facts) -> list[Verdict]:
    """Everything that is wrong, most fundamental first; else one verdict `weak` or `healthy`."""
    found = [verdict for ask in _JUDGES if (verdict := ask(facts)) is not None]
    return found or [_weak(facts) or _healthy(facts)]


def number(value: float) -> str:
    """Four decimals, or a dash where the value is not defined."""
    return "-" if np.isnan(value) else f"{value:.4f}"


def percent(share: float) -> str:
    """Share as a percentage with two decimals, or a dash where it is not defined."""
    return "-" if np.isnan(share) else f"{100 * share:.2f} %"


def _no_pixels(facts: Facts) -> Verdict | None:
    if facts["pixels"] > 0:
        return None
    ignored = facts["ignored_pixels"]
    sentence = (
        f"All {ignored:,} pixels are ignored (255)" if ignored else "No pixel was seen"
    ) + ", so there is nothing to judge."
    return Verdict("no_pixels", sentence, "check that validation has images and labels.")


def _nan_predictions(facts: Facts) -> Verdict | None:
    if not facts["nan_pixels"]:
        return None
    share = facts["nan_pixels"] / facts["pixels"]
    advice = "lower the learning rate, clip gradients, or train in fp32: the weights blew up."
    return Verdict("nan_predictions", f"{percent(share)} of the predictions are NaN.", advice)


def _masks_empty(facts: Facts) -> Verdict | None:
    if not facts["pixels"] or facts["label_share"] > 0:
        return None
    if facts["ignored_pixels"]:
        sentence = (
            f"The labels hold no positive pixel, but {facts['ignored_pixels']:,} ignored ones "
            "(255): probably a 0/255 mask read as 0 and ignore."
        )
        return Verdict("masks_empty", sentence, "load the masks with the rule binary0255.")
    advice = (
        "check the mask files and their value rule, the positive category names, and that the "
        "split has labelled foreground; no threshold can be tuned without positives."
    )
    return Verdict("masks_empty", "The labels hold no positive pixel.", advice)


def _labels_suspicious(facts: Facts) -> Verdict | None:
    share = max(np.nan_to_num(facts["label_share"]), facts.get("training_label_share", 0.0))
    if share > _MANY:
        sentence = f"{percent(share)} of the labelled pixels are positive: are the masks inverted?"
        advice = "look at overlays of the labels; swap the classes or name the right category."
        return Verdict("labels_suspicious", sentence, advice)
    odd = [value for value in facts.get("mask_values", []) if value not in (0, 1, 255)]
    if odd:
        shown = ", ".join(map(str, odd[:8])) + (", ..." if len(odd) > 8 else "")
        sentence = f"The mask files hold values beside 0, 1 and 255: {shown}."
        advice = "name their value rule (0/255, index, palette, RGB); JPEG masks need a threshold."
        return Verdict("labels_suspicious", sentence, advice)
    return None


def _constant_output(facts: Facts) -> Verdict | None:
    if not _has_range(facts) or facts["high"] - facts["low"] >= _CONSTANT_RANGE:
        return None
    sentence = f"The output is the same everywhere: {facts['low']:.4f} to {facts['high']:.4f}."
    advice = (
        "the network does not see its input: check that gradients reach it (dead activations, "
        "frozen layers, a second sigmoid), that images are normalised, and the learning rate"
        + _rate(facts)
        + "."
    )
    return Verdict("constant_output", sentence, advice)


def _inverted(facts: Facts) -> Verdict | None:
    if not _is_inverted(facts):
        return None
    best, opposite = np.nan_to_num(facts["best_iou"]), facts["inverted_iou"]
    sentence = (
        f"The predictions are upside down: 1 - p reaches IoU {opposite:.3f}, p only {best:.3f}."
    )
    advice = "foreground and background are swapped: check the mask rule and the output channel."
    return Verdict("inverted", sentence, advice)


def _labels_shifted(facts: Facts) -> Verdict | None:
    shift = facts.get("shift")
    if shift is None or shift["iou"] < max(_WEAK_IOU, 1.25 * shift["iou_here"]):
        return None
    if max(abs(shift["rows"]), abs(shift["columns"])) < _SHIFT:
        return None
    sentence = (
        f"The labels lie {shift['rows']:+d} rows and {shift['columns']:+d} columns away from "
        f"what is predicted: moved back, IoU is {shift['iou']:.3f} instead of "
        f"{shift['iou_here']:.3f}."
    )
    advice = "check that masks belong to these pictures, and how both were cropped and turned."
    return Verdict("labels_shifted", sentence, advice)


def _threshold_off(facts: Facts) -> Verdict | None:
    best, here = np.nan_to_num(facts["best_iou"]), np.nan_to_num(facts["iou"])
    if not _has_learned(facts) or best - here <= max(0.05, 0.25 * best):
        return None
    wanted = facts["best_threshold"]
    code = "threshold_too_high" if wanted < facts["threshold"] else "threshold_too_low"
    sentence = (
        f"Only the threshold is wrong: IoU is {here:.3f} at {facts['threshold']:g} and "
        f"{best:.3f} at {wanted:g}."
    )
    advice = (
        f"tune the threshold on validation data (threshold: auto) instead of {facts['threshold']:g}"
    )
    return Verdict(code, sentence, advice + _rarer(facts, code == "threshold_too_high") + ".")


def _predicts_background(facts: Facts) -> Verdict | None:
    few = facts["predicted_share"] < _FEW * facts["label_share"]
    if not _has_labels(facts) or not few or not _varies(facts):
        return None
    if _has_learned(facts) or _is_inverted(facts):
        return None
    sentence = (
        "Next to nothing but background is predicted: the highest probability is "
        f"{facts['high']:.3f}, "
        f"{percent(facts['predicted_share'])} of the pixels reach {facts['threshold']:g}, and "
        "no threshold separates the classes; pixel accuracy "
        f"{percent(facts['pixel_accuracy'])} says nothing here."
    )
    advice = (
        _other_loss(facts)
        + ", crop around foreground, train longer, and check that images and masks belong together"
        + _rate(facts)
        + "."
    )
    return Verdict("predicts_background", sentence, advice)


def _predicts_everything(facts: Facts) -> Verdict | None:
    if not _varies(facts) or _has_learned(facts) or _is_inverted(facts):
        return None
    if facts["predicted_share"] < _EVERYTHING or facts["label_share"] > _MANY:
        return None
    sentence = (
        f"Nearly everything is painted: {percent(facts['predicted_share'])} of the pixels, "
        f"against {percent(facts['label_share'])} in the labels."
    )
    advice = "lower the positive weight of the loss, raise the threshold, check the mask rule."
    return Verdict("predicts_everything", sentence, advice)


def _weak(facts: Facts) -> Verdict | None:
    best = np.nan_to_num(facts["best_iou"])
    if _has_learned(facts) and best >= _WEAK_IOU:
        return None
    sentence = (
        f"The best IoU at any threshold is only {best:.3f} "
        f"(painting everything gives {facts['label_share']:.3f})."
    )
    advice = (
        f"{_other_loss(facts)}, train longer, add augmentation, and compare overlays of labels "
        "and predictions" + _rate(facts) + "."
    )
    return Verdict("weak", sentence, advice)


def _healthy(facts: Facts) -> Verdict:
    sentence = (
        f"Predictions look healthy: IoU {facts['iou']:.3f} at {facts['threshold']:g}, "
        f"best {facts['best_iou']:.3f} at {facts['best_threshold']:g}."
    )
    return Verdict("healthy", sentence, "nothing to change.")


_JUDGES: tuple[Callable[[Facts], Verdict | None], ...] = (
    _no_pixels,
    _nan_predictions,
    _masks_empty,
    _labels_suspicious,
    _constant_output,
    _inverted,
    _labels_shifted,
    _threshold_off,
    _predicts_background,
    _predicts_everything,
)


def _has_labels(facts: Facts) -> bool:
    return bool(facts["pixels"]) and facts["label_share"] > 0


def _is_inverted(facts: Facts) -> bool:
    best = np.nan_to_num(facts["best_iou"])
    return _has_labels(facts) and bool(facts["inverted_iou"] >= max(1.5 * best, best + 0.05))


def _has_range(facts: Facts) -> bool:
    return not np.isnan(facts["low"])


def _varies(facts: Facts) -> bool:
    return _has_range(facts) and facts["high"] - facts["low"] >= _CONSTANT_RANGE


def _has_learned(facts: Facts) -> bool:
    """Whether ranking by probability clearly beats chance, whose AP and IoU are the label share."""
    share = facts["label_share"]
    best = np.nan_to_num(facts["best_iou"])
    return bool(best > 1.5 * share + 0.02) or bool(share > 0.5 and best > share + 0.05)


def _other_loss(facts: Facts) -> str:
    better = [name for name in ("weighted_bce_dice", "focal_tversky") if name != facts.get("loss")]
    now = f" instead of {facts['loss']}" if facts.get("loss") else ""
    return f"weigh the rare foreground in the loss ({' or '.join(better)}{now})"


def _rate(facts: Facts) -> str:
    rate = facts.get("learning_rate")
    if rate is None:
        return "; lower the learning rate"
    # Nothing learned at such a rate is rather too little than too much of it.
    way = "raise" if rate <= _SLOW else "lower"
    return f"; {way} the learning rate (now {rate:g})"


def _rarer(facts: Facts, too_high: bool) -> str:
    return f"; {_other_loss(facts)} moves the probabilities up" if too_high else ""

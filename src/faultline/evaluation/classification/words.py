"""What the numbers of a classification say, in sentences."""

from __future__ import annotations

import math
from typing import Any

from faultline.evaluation.words import FEW_IMAGES, Verdict, counted, interval, number, percent

Results = dict[str, Any]

FEW_POSITIVES = 10
BY_FOLD = "by_fold"
"""Status of the threshold of pooled answers, which each fold decided at its own."""
_GRADES = (
    (0.90, "good", "Strong"),
    (0.75, "good", "Good, with review"),
    (0.50, "fair", "Weak"),
    (-math.inf, "poor", "Not usable"),
)
GRADE_RULE = (
    "The grade follows macro-F1: from 0.90 strong, from 0.75 good with review, from 0.50 weak, "
    "below that not usable. Every class counts the same in it, however rare."
)


def verdict(results: Results) -> Verdict:
    """The headline and its conditions."""
    summary = results["summary"]
    score = summary["macro_f1"]["value"]
    images = counted(results["images"], "picture")
    unseen = f"{images} that it had not seen" if results["leakage"]["checked"] else images
    if math.isnan(score):
        nothing = f"None of the {images} shows any class: this test says nothing of what is found."
        return Verdict("fair", "Nothing to find", nothing, tuple(_caveats(results)))
    tone, grade = next((t, g) for least, t, g in _GRADES if score >= least)
    right = percent(summary["subset_accuracy"]["value"])
    headline = (
        f"On {unseen}, the model is wholly right about {right}; its mean F1 over the classes "
        f"is {number(score)}."
    )
    return Verdict(tone, grade, headline, (*_spread(results), *_caveats(results)))


def _spread(results: Results) -> list[str]:
    found = results["summary"]["macro_f1"]
    lines = []
    if interval(found):
        lines.append(f"95 % interval of the mean F1: {interval(found)}.")
    scored = [row for row in results["classes"] if not math.isnan(row["f1"])]
    if len(scored) > 1:
        best = max(scored, key=lambda row: float(row["f1"]))
        worst = min(scored, key=lambda row: float(row["f1"]))
        lines.append(
            f"Best is {best['name']} (F1 {number(best['f1'])}), worst {worst['name']} "
            f"({number(worst['f1'])}, {counted(worst['support'], 'picture')})."
        )
    return lines


def _caveats(results: Results) -> list[str]:
    sentences = []
    absent = [row["name"] for row in results["classes"] if row["support"] == 0]
    if absent:
        sentences.append(
            f"No picture shows {', '.join(absent)}: scores of {_these(absent)} are not defined "
            "and count nowhere."
        )
    few = [row["name"] for row in results["classes"] if 0 < row["support"] < FEW_POSITIVES]
    if few:
        sentences.append(
            f"Fewer than {FEW_POSITIVES} pictures show {', '.join(few)}: one picture more or "
            "less moves the score a great deal."
        )
    if results["images"] < FEW_IMAGES:
        sentences.append(
            f"With {counted(results['images'], 'picture')} this is an indication rather than proof."
        )
    if not results["leakage"]["checked"]:
        sentences.append(
            "The weights do not record what they were trained on, so it could not be checked "
            "that these pictures are new to them."
        )
    if results["problems"]:
        sentences.append(f"{counted(len(results['problems']), 'file')} had to be left out.")
    return sentences


def _these(names: list[str]) -> str:
    return "this class" if len(names) == 1 else "these classes"


def threshold_notes(results: Results) -> list[str]:
    """Where the thresholds come from, and which classes share one."""
    threshold = results["threshold"]
    if threshold["status"] == "most_probable":
        return ["Classes exclude each other: the most probable one is the answer."]
    if threshold["status"] == BY_FOLD:
        return ["Thresholds: each fold's own, chosen on its validation part."]
    if threshold["status"] != "tuned":
        return [f"Threshold {threshold['value']:.3f} for every class: {threshold['origin']}."]
    lines = [f"Thresholds: {threshold['origin']}, the value of best F1 for each class."]
    shared = [row for row in results["classes"] if row["threshold_status"] == "shared"]
    if shared:
        named = ", ".join(f"{row['name']} ({row['threshold_positives']})" for row in shared)
        lines.append(
            f"Too few positives on validation for a threshold of their own: {named}. They take "
            f"the shared one, {threshold['value']:.3f}."
        )
    return lines


def class_notes(results: Results) -> list[str]:
    """What stands under the table of classes."""
    return [
        f"Intervals: 95 %, {results['resamples']:,} bootstrap draws of "
        f"{counted(results['groups'], 'group')} of pictures. A dash: not defined.",
        *threshold_notes(results),
    ]


def calibration_sentence(results: Results) -> str:
    """How far probabilities can be taken at their word."""
    error = results["calibration"]["ece"]
    return (
        f"On the dotted line, a probability of 0.8 is right 8 times in 10. The mean gap is "
        f"{number(error)}."
    )


def limits(results: Results) -> list[str]:
    """What the numbers do not say."""
    return [
        f"The numbers hold for pictures like these ({results['data']['name']}). Another camera, "
        "distance, light or surface can change them a great deal.",
        "Intervals come from drawing groups of pictures again; they cover chance in the choice of "
        "pictures, not mistakes in the labels, and not another seed of the training.",
        "Grad-CAM shows where evidence for a class came from, coarsely; it does not outline the "
        "defect and proves no cause.",
        GRADE_RULE,
    ]

"""Numbers as sentences: the verdict, what each metric says, and the limits of both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Results = dict[str, Any]

FEW_IMAGES = 30
_FAR = 2.0
_GRADES = (
    (0.90, "good", "Strong"),
    (0.75, "good", "Good, with review"),
    (0.50, "fair", "Weak"),
    (-math.inf, "poor", "Not usable"),
)
GRADE_RULE = (
    "The grade follows F1 within the pixel tolerance: from 0.90 strong, from 0.75 good with "
    "review, from 0.50 weak, below that not usable."
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first thing that a reader sees.

    Attributes:
        tone: "good", "fair" or "poor"; decides the colour.
        grade: In two words.
        headline: In one sentence.
        sentences: What else must be said before anybody trusts the headline.
    """

    tone: str
    grade: str
    headline: str
    sentences: tuple[str, ...]


def metric_rows(results: Results) -> list[tuple[str, str, str, str]]:
    """(pooled key, per-image key, name, explanation) of the table, in reading order."""
    radius, tau = _px(results["radius"]), _px(results["tau"])
    return [
        ("f1_tolerance", "f1_tolerance", f"F1 at {radius}",
         f"Balance of the next two; lines count as met within {radius}, the precision with "
         "which people label."),
        ("precision_tolerance", "precision_tolerance", f"Precision at {radius}",
         f"Share of the marked pixels that lie within {radius} of a labelled one."),
        ("recall_tolerance", "recall_tolerance", f"Recall at {radius}",
         f"Share of the labelled pixels that lie within {radius} of a marked one."),
        ("iou", "iou", "IoU",
         "Overlap of areas: common pixels over all pixels of both. Strict on thin lines: one "
         "pixel of shift halves it."),
        ("dice", "dice", "Dice",
         "Overlap of areas as F1 over pixels; never below IoU."),
        ("precision", "precision", "Precision", "Share of the marked pixels that are right."),
        ("recall", "recall", "Recall", "Share of the labelled pixels that are found."),
        ("cliou", "cliou", "clIoU",
         f"IoU of the centre lines, where lines within {tau} of each other count as the same: "
         "whether the course is right, whatever the width."),
        ("cldice", "cldice", "clDice",
         "Whether the lines stay connected: centre lines of each inside the area of the other."),
        ("ods", "ois", "ODS / OIS",
         f"F1 at {radius} with the best threshold for all images (left) and for each image "
         "(right), chosen on this test set in steps "
         "of 0.01: for comparison with papers, not a result."),
        ("average_precision", "average_precision", "Average precision",
         "Area under precision over recall, all thresholds together."),
        ("pixel_accuracy", "pixel_accuracy", "Pixel accuracy",
         "Share of all pixels that are right; high for any model where defects are rare."),
        ("ece", "ece", "Calibration error",
         "Mean gap between predicted probability and observed share; 0 is perfect."),
    ]  # fmt: skip


def number(value: float, digits: int = 3) -> str:
    """`value` with a fixed number of digits; a dash where it is not defined."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def interval(found: dict[str, float]) -> str:
    """The interval in brackets, or an empty text where there is none."""
    low, high = found["low"], found["high"]
    return "" if math.isnan(low) or math.isnan(high) else f"{low:.3f} to {high:.3f}"


def percent(value: float, digits: int = 0) -> str:
    """A share as percent; shares that would round to 0 or 100 without being so keep digits."""
    if math.isnan(value):
        return "–"
    text = f"{100 * value:.{digits}f}"
    if digits < 3 and 0 < value < 1 and float(text) in (0.0, 100.0):
        return percent(value, digits + 1)
    return f"{text} %"


def counted(count: int, noun: str) -> str:
    """ "1 image", "2 images", "1,200 images"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def verdict(results: Results) -> Verdict:
    """The headline and its conditions, from what `summarise` returned."""
    pooled = results["pooled"]
    score = pooled["f1_tolerance"]["value"]
    names = " or ".join(results["classes"])
    images = counted(results["images"], "image")
    # Only what was checked is claimed.
    unseen = f"{images} that it had not seen" if results["leakage"]["checked"] else images
    if math.isnan(pooled["recall_tolerance"]["value"]):
        return Verdict(
            "fair",
            "False alarms only",
            f"The {images} show no {names}, so this test tells about false alarms and nothing "
            "about what is found.",
            tuple(_caveats(results)),
        )
    tone, grade = _grade(score)
    radius = _px(results["radius"])
    recall = percent(pooled["recall_tolerance"]["value"])
    precision = percent(pooled["precision_tolerance"]["value"])
    if score == 0:
        headline = f"On {unseen}, the model finds no {names} at all."
    else:
        headline = (
            f"On {unseen}, the model finds {recall} of the {names}, and "
            f"{precision} of what it marks is {names}, within {radius}."
        )
    return Verdict(tone, grade, headline, (_interval_sentence(results), *_caveats(results)))


def _interval_sentence(results: Results) -> str:
    found = results["pooled"]["f1_tolerance"]
    iou = results["pooled"]["iou"]
    radius = _px(results["radius"])
    text = f"F1 at {radius} is {number(found['value'])}"
    if not math.isnan(found["low"]):
        text += f" (95 % interval {interval(found)})"
        low_grade = _grade(found["low"])[1]
        if low_grade != _grade(found["value"])[1]:
            text += f"; the lower end of the interval would grade as “{low_grade.lower()}”"
    text += f". Overlap of areas (IoU) is {number(iou['value'])}"
    return text + (f" ({interval(iou)})." if interval(iou) else ".")


def _amount(results: Results) -> list[str]:
    """Whether far more or far fewer pixels are marked than labelled: recall over precision."""
    recall = results["pooled"]["recall"]["value"]
    precision = results["pooled"]["precision"]["value"]
    if math.isnan(recall) or math.isnan(precision) or not precision or not recall:
        return []
    ratio = recall / precision
    if ratio >= _FAR:
        return [
            f"It marks {ratio:.1f} times as many pixels as are labelled: lines come out too wide, "
            "or much is marked that is none."
        ]
    if ratio <= 1 / _FAR:
        return [
            f"It marks {percent(ratio)} as many pixels as are labelled: lines come out thin, or "
            "are missed."
        ]
    return []


def _caveats(results: Results) -> list[str]:
    sentences = _amount(results) if len(results["classes"]) == 1 else []
    if results["images"] < FEW_IMAGES:
        sentences.append(
            f"With {counted(results['images'], 'image')} this is an indication rather than "
            "proof: a different handful could move every number by as much as its interval."
        )
    if not results["leakage"]["checked"]:
        sentences.append(
            "The weights do not record what they were trained on, so it could not be checked "
            "that these images are new to them."
        )
    if results["threshold"]["status"] not in ("tuned", "by_hand", "most_probable"):
        sentences.append(
            "The threshold is a default that nobody tuned; tune it on validation images first."
        )
    broken = sum(found["nan_pixels"] for found in results["classes"].values())
    if broken:
        sentences.append(f"The model gave no number (NaN) on {broken:,} pixels: it is broken.")
    if results["problems"]:
        sentences.append(f"{counted(len(results['problems']), 'file')} had to be left out.")
    return sentences


def clean_sentences(clean: dict[str, Any] | None) -> list[str]:
    """What happened on images with nothing to find."""
    if clean is None:
        return ["Counted for each class in the table of its metrics."]
    if clean["images"] == 0:
        return [
            "Every image of this test set shows a defect, so how often the model marks something "
            "on a sound surface is not known. Add images of sound surfaces to find out."
        ]
    images = counted(clean["images"], "image")
    verb = "shows" if clean["images"] == 1 else "show"
    if clean["painted_images"] == 0:
        return [f"{images} {verb} nothing to find, and the model marks nothing there."]
    share = clean["painted_share"]
    spread = interval(share)
    return [
        f"{images} {verb} nothing to find. Something is marked on {clean['painted_images']} of "
        f"them, {percent(share['value'], 2)} of their pixels"
        + (f" (95 % interval {percent(share['low'], 2)} to {percent(share['high'], 2)})" if spread
           else "")
        + f". The worst is {clean['worst_id']} with {percent(clean['worst_share'], 2)}."
    ]  # fmt: skip


def limits(results: Results) -> list[str]:
    """What the numbers do not say."""
    lines = [
        f"The numbers hold for images like these ({results['data']['name']}). Another camera, "
        "distance, light or surface can change them a great deal; test on images of your own "
        "before relying on them.",
        "Intervals come from drawing images (or groups of images that show the same thing) again; "
        "they cover chance in the choice of images, not mistakes in the labels.",
        _threshold_sentence(results["threshold"]),
        "Labels are taken as the truth. Lines that were labelled too wide or too narrow lower IoU "
        "and Dice of a correct answer.",
        GRADE_RULE,
    ]
    if results["images"] < FEW_IMAGES:
        lines.insert(1, f"{counted(results['images'], 'image')} are few; see the intervals.")
    return lines


def _threshold_sentence(threshold: dict[str, Any]) -> str:
    if threshold["status"] == "most_probable":
        return (
            "Every pixel gets its most probable class. ODS and OIS look at the test images, at the "
            "thresholds that would be best for each class alone; they are bounds, not results."
        )
    return (
        f"The threshold ({threshold['value']:.3f}, {threshold['origin']}) was fixed before the "
        "test images were seen. ODS, OIS and the threshold curve look at the test images and are "
        "shown for comparison with published work only."
    )


def _grade(score: float) -> tuple[str, str]:
    value = -1.0 if math.isnan(score) else score
    return next((tone, name) for bound, tone, name in _GRADES if value >= bound)


def _px(value: float) -> str:
    return f"{value:g} px"

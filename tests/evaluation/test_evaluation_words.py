from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from faultline.artifacts.contents import Threshold
from faultline.evaluation.curves import draw_curves
from faultline.evaluation.results import threshold_origin
from faultline.evaluation.scoring import Scores
from faultline.evaluation.words import clean_sentences, limits, number, percent, verdict
from faultline.metrics.segmentation import SegmentationScorer


def results(predicted: int, truth: int, hit: int, images: int = 40) -> dict[str, Any]:
    """Results of `images` equal images of 100 pixels a row each, in one row."""
    scorer = SegmentationScorer(0.5)
    for index in range(images):
        probability = np.zeros((1, 100), np.float32)
        probability[0, truth - hit : truth - hit + predicted] = 0.9
        label = np.zeros((1, 100), np.uint8)
        label[0, :truth] = 1
        scorer.update(str(index), probability, label)
    found = scorer.results(resamples=10)
    return {
        **found,
        "classes": {"crack": found},
        "threshold": {"value": 0.5, "status": "tuned", "origin": "tuned on validation"},
        "leakage": {"checked": True},
        "problems": [],
        "data": {"name": "here"},
    }


@pytest.mark.parametrize(
    ("case", "tone", "grade"),
    [
        ((20, 20, 20), "good", "Strong"),
        ((20, 20, 14), "good", "Good, with review"),
        ((20, 20, 10), "fair", "Weak"),
        ((20, 20, 2), "poor", "Not usable"),
    ],
)
def test_grades(case: tuple[int, int, int], tone: str, grade: str) -> None:
    found = verdict(results(*case))
    assert (found.tone, found.grade) == (tone, grade)


def test_headline_says_both_sides() -> None:
    found = verdict(results(20, 40, 20))
    assert found.headline == (
        "On 40 images that it had not seen, the model finds 55 % of the crack, and 100 % of what "
        "it marks is crack, within 2 px."
    )


def test_headline_of_nothing_found() -> None:
    found = verdict(results(0, 20, 0))
    assert found.headline.endswith("the model finds no crack at all.")
    assert found.tone == "poor"


@pytest.mark.parametrize(
    ("case", "text"),
    [((40, 10, 10), "4.0 times as many"), ((10, 40, 10), "25 % as many"), ((10, 12, 10), None)],
)
def test_far_too_much_or_too_little_is_said(case: tuple[int, int, int], text: str | None) -> None:
    said = [sentence for sentence in verdict(results(*case)).sentences if "as many" in sentence]
    assert len(said) == (text is not None)
    assert text is None or text in said[0]


def test_few_images_are_said() -> None:
    few, many = results(20, 20, 20, images=5), results(20, 20, 20, images=40)
    assert any("indication" in sentence for sentence in verdict(few).sentences)
    assert not any("indication" in sentence for sentence in verdict(many).sentences)
    assert len(limits(few)) == len(limits(many)) + 1


def test_clean_sentences() -> None:
    def clean(images: int, painted: int) -> dict[str, Any]:
        return {
            "images": images, "painted_images": painted, "worst_id": "x.png", "worst_share": 0.02,
            "painted_share": {"value": 0.01, "low": 0.0, "high": 0.03},
        }  # fmt: skip

    assert "not known" in clean_sentences(clean(0, 0))[0]
    assert clean_sentences(clean(1, 0)) == [
        "1 image shows nothing to find, and the model marks nothing there."
    ]
    assert "Something is marked on 2 of them" in clean_sentences(clean(3, 2))[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "50 %"), (0.999, "99.9 %"), (0.0004, "0.04 %"), (1.0, "100 %"), (0.0, "0 %"),
     (float("nan"), "–")],
)  # fmt: skip
def test_percent_never_rounds_to_all_or_nothing(value: float, text: str) -> None:
    assert percent(value) == text


def test_number() -> None:
    assert number(0.12345) == "0.123"
    assert number(float("nan")) == "–"


@pytest.mark.parametrize(
    ("threshold", "text"),
    [
        (Threshold(0.4, "tuned", "validation"), "tuned on validation"),
        (Threshold(0.4, "tuned"), "tuned on validation"),
        (Threshold.by_hand(0.3), "set by hand"),
        (Threshold(), "default, not tuned"),
        (
            Threshold(0.5, "no_positives", "validation"),
            "default, as validation offered nothing to tune on (no_positives)",
        ),
    ],
)
def test_threshold_origin(threshold: Threshold, text: str) -> None:
    assert threshold_origin(threshold) == text


def test_curves_of_a_model_that_paints_nothing() -> None:
    scorer = SegmentationScorer(0.5)
    scorer.update("a", np.full((4, 4), 0.1, np.float32), np.zeros((4, 4), np.uint8))
    curves = draw_curves(
        Scores({"crack": scorer}), {"threshold": {"origin": "tuned on validation"}}
    )
    assert [curve.stem for curve in curves] == ["pr", "threshold", "reliability", "scores"]
    for curve in curves:
        curve.figure.canvas.draw()

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.errors import ConfigError
from faultline.metrics import (
    ProbabilityHistogram,
    ThresholdChoice,
    ThresholdStatus,
    count_binary,
    decide,
)


def build(values, truth):
    histogram = ProbabilityHistogram()
    histogram.update(np.asarray(values, dtype=np.float64), np.asarray(truth, dtype=np.uint8))
    return histogram


def test_middle_of_the_plateau():
    choice = build([0.1, 0.2, 0.6, 0.8], [0, 0, 1, 1]).choose_threshold()
    # Every threshold of 0.201..0.600 separates perfectly; the middle of them is 0.400.
    assert choice == ThresholdChoice(0.4, "iou", 1.0, ThresholdStatus.TUNED, "validation")


def test_longest_of_two_plateaus():
    # IoU 1/2 on 0.301..0.500 (only the sure one) and on 0.101..0.300 (two painted, one right).
    values, truth = [0.1, 0.3, 0.3, 0.9], [0, 0, 0, 1]
    assert build(values, truth).choose_threshold().value == 0.6
    values, truth = [0.2, 0.25, 0.25, 0.9], [1, 0, 0, 1]
    # 0.001..0.200: 2/4; 0.201..0.250: 1/4; 0.251..0.900: 1/2, longer.
    choice = build(values, truth).choose_threshold()
    assert choice.score == 0.5
    assert choice.value == pytest.approx(0.575)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["iou", "dice"]))
def test_best_of_all_thresholds_by_brute_force(seed, criterion):
    generator = np.random.default_rng(seed)
    values = generator.random(30)
    truth = (generator.random(30) < 0.4).astype(np.uint8)
    truth[0] = 1
    values[0] = 0.5
    choice = build(values, truth).choose_threshold(criterion)
    scores = [
        getattr(count_binary(decide(values, k / 1000), truth), criterion) for k in range(1, 1000)
    ]
    assert choice.score == np.nanmax(scores)
    assert scores[round(choice.value * 1000) - 1] == choice.score
    assert 0 < choice.value < 1


@pytest.mark.parametrize(
    ("values", "truth", "status"),
    [
        ([], [], "no_pixels"),
        ([0.5, 0.7], [255, 255], "no_pixels"),
        ([0.5, 0.7], [0, 0], "no_positives"),
        ([0.0, 0.0005], [1, 0], "no_predictions"),
        ([np.nan, np.nan], [1, 0], "no_predictions"),
        ([0.0, 0.9], [1, 0], "no_overlap"),
    ],
)
def test_nothing_to_choose_from_keeps_the_default(values, truth, status):
    histogram = build(values, truth)
    choice = histogram.choose_threshold()
    assert (choice.value, choice.status) == (0.5, status)
    assert math.isnan(choice.score)
    assert histogram.choose_threshold(default=0.4).value == 0.4


def test_constant_output_takes_the_middle_of_what_it_paints():
    assert build([0.2, 0.2], [1, 0]).choose_threshold().value == pytest.approx(0.1)
    assert build([1.0, 1.0], [1, 0]).choose_threshold().value == 0.5


@pytest.mark.parametrize("percentile", [50.0, 90.0, 95.0, 99.0])
def test_percentile_paints_at_most_its_share(percentile):
    values = np.random.default_rng(0).random(2000)
    histogram = build(values, np.zeros(2000))
    choice = histogram.choose_threshold("percentile", percentile=percentile)
    assert choice.status == "tuned"
    share = (values >= choice.value).mean()
    assert share == choice.score
    assert share <= (100 - percentile) / 100
    assert choice.value == pytest.approx(np.percentile(values, percentile), abs=0.003)


def test_percentile_of_what_cannot_be_cut():
    choice = build([1.0, 1.0, 0.0], [0, 0, 0]).choose_threshold("percentile")
    assert choice.score == pytest.approx(2 / 3)
    assert build([0.0], [0]).choose_threshold("percentile").status == "no_predictions"


def test_round_trip_and_by_hand():
    for choice in (
        ThresholdChoice.by_hand(0.4),
        build([0.1, 0.9], [0, 1]).choose_threshold("dice", source="out of fold"),
        build([0.1], [0]).choose_threshold(),
    ):
        again = ThresholdChoice.from_dict(choice.to_dict())
        np.testing.assert_equal(again.to_dict(), choice.to_dict())
    assert ThresholdChoice.by_hand(0.4).status == "by_hand"


def test_refusals():
    histogram = build([0.5], [1])
    for value in (0.0, 1.0, float("nan"), -1.0):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            ThresholdChoice.by_hand(value)
    with pytest.raises(ConfigError, match="'f2'"):
        histogram.choose_threshold("f2")
    with pytest.raises(ConfigError, match="percentile 100"):
        histogram.choose_threshold("percentile", percentile=100.0)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        histogram.choose_threshold(default=1.0)

"""Counts prompt by prompt, thresholds from them, and shifted labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.metrics import ThresholdStatus, count_binary, diagnose
from faultline.metrics.prompted import (
    FALSE_SHARE,
    PromptCounts,
    choose_shared,
    false_answer_rate,
    mean_iou,
)
from faultline.metrics.shift import ShiftSearch


def square(at=4, side=6, size=20):
    mask = np.zeros((size, size), np.uint8)
    mask[at : at + side, at : at + side] = 1
    return mask


def filled(present, absent):
    """Counts of pictures: (probability inside, outside) of present ones, levels of absent ones."""
    counts = PromptCounts()
    truth = square()
    for inside, outside in present:
        counts.update(np.where(truth > 0, inside, outside).astype(np.float32), truth)
    for level in absent:
        counts.update(np.full((20, 20), level, np.float32), np.zeros((20, 20), np.uint8))
    return counts


class TestCounts:
    def test_absent_pictures_do_not_count_towards_iou(self):
        counts = filled([(0.8, 0.1)], [0.9, 0.9])
        assert counts.counts_at(0.5).iou == 1.0
        assert counts.pictures == 1
        assert counts.false_rate_at(0.5) == 1.0
        assert counts.false_rate_at(0.95) == 0.0

    def test_a_false_answer_paints_more_than_half_a_per_cent(self):
        counts = PromptCounts()
        empty = np.zeros((20, 20), np.uint8)
        few = np.zeros((20, 20), np.float32)
        few.flat[: int(FALSE_SHARE * 400)] = 1.0
        many = np.zeros((20, 20), np.float32)
        many.flat[: int(FALSE_SHARE * 400) + 1] = 1.0
        counts.update(few, empty)
        counts.update(many, empty)
        assert counts.false_rate_at(0.5) == 0.5

    @settings(deadline=None, max_examples=30)
    @given(st.integers(0, 2**32), st.floats(0.05, 0.95))
    def test_agrees_with_direct_counting(self, seed, threshold):
        rng = np.random.default_rng(seed)
        threshold = round(threshold, 3)
        counts, probability = PromptCounts(), rng.random((9, 7)).astype(np.float32)
        truth = (rng.random((9, 7)) < 0.4).astype(np.uint8)
        truth[0, 0] = 1
        counts.update(probability, truth)
        expected = count_binary(probability >= np.float32(threshold), truth)
        assert counts.counts_at(threshold) == expected

    def test_without_pictures_nothing_is_defined(self):
        counts = PromptCounts()
        assert np.isnan(counts.false_rate_at(0.5))
        assert np.isnan(mean_iou({"a": counts}, {"a": 0.5}))
        assert np.isnan(false_answer_rate({"a": counts}, {"a": 0.5}))
        assert counts.choose().status is ThresholdStatus.NO_PIXELS

    def test_only_absent_pictures_give_no_threshold(self):
        choice = filled([], [0.2]).choose()
        assert choice.status is ThresholdStatus.NO_POSITIVES
        assert choice.value == 0.5

    def test_ignored_pixels_are_left_out(self):
        counts = PromptCounts()
        truth = square()
        truth[0] = 255
        counts.update(np.where(truth == 255, 1.0, truth).astype(np.float32), truth)
        assert counts.counts_at(0.5).iou == 1.0


class TestThresholds:
    def test_finds_what_separates(self):
        choice = filled([(0.30, 0.10), (0.28, 0.12)], []).choose()
        assert 0.12 < choice.value <= 0.28
        assert choice.score == 1.0

    def test_gives_up_a_little_iou_for_fewer_false_answers(self):
        # 0.2 to 0.6 all separate, but below 0.5 the absent picture would be painted.
        counts = filled([(0.6, 0.2)], [0.5])
        choice = counts.choose()
        assert 0.5 < choice.value <= 0.6
        assert counts.false_rate_at(choice.value) == 0.0

    def test_iou_wins_where_false_answers_cost_too_much(self):
        counts = filled([(0.3, 0.1)], [0.5])
        choice = counts.choose()
        assert 0.1 < choice.value <= 0.3
        assert counts.false_rate_at(choice.value) == 1.0

    def test_a_twentieth_of_the_iou_buys_as_few_as_it_can(self):
        # 400 pixels, 100 of them shown: 96 at 0.9, 4 at 0.4. Absent pictures reach 0.3, 0.5, 0.95.
        truth = np.zeros((20, 20), np.uint8)
        truth[:5] = 1
        probability = np.full((20, 20), 0.1, np.float32)
        probability.flat[:96], probability.flat[96:100] = 0.9, 0.4
        counts = filled([], [0.3, 0.5, 0.95])
        counts.update(probability, truth)
        choice = counts.choose()
        assert 0.5 < choice.value <= 0.9  # not 0.4 with IoU 1 and two false answers
        assert counts.counts_at(choice.value).iou == pytest.approx(0.96)
        assert counts.false_rate_at(choice.value) == pytest.approx(1 / 3)

    def test_more_false_answers_may_be_allowed(self):
        counts = filled([(0.6, 0.2)], [0.5])
        assert counts.choose(max_false_rate=1.0).value < 0.5

    def test_a_shared_threshold_serves_both(self):
        first, second = filled([(0.9, 0.3)], []), filled([(0.5, 0.1)], [])
        choice = choose_shared([first, second])
        assert 0.3 < choice.value <= 0.5
        assert choice.score == 1.0

    def test_a_percentile_needs_no_labels(self):
        counts = PromptCounts()
        ramp = np.linspace(0, 0.999, 400, dtype=np.float32).reshape(20, 20)
        counts.update(ramp, square())
        choice = counts.choose("percentile", percentile=90)
        assert choice.value == pytest.approx(0.9, abs=0.01)

    def test_dice_is_a_criterion_too(self):
        assert filled([(0.4, 0.1)], []).choose("dice").criterion == "dice"

    def test_means_are_over_classes_that_are_seen(self):
        counts = {"a": filled([(0.8, 0.1)], [0.9]), "b": filled([], [0.1, 0.9])}
        own = {"a": 0.5, "b": 0.5}
        assert mean_iou(counts, own) == 1.0
        assert false_answer_rate(counts, own) == pytest.approx(2 / 3)


class TestShift:
    @pytest.mark.parametrize(("rows", "columns"), [(5, 0), (-7, 3), (0, -9)])
    def test_finds_by_how_much_labels_are_off(self, rows, columns):
        search, truth = ShiftSearch(16), np.zeros((60, 80), np.uint8)
        truth[20:30, 30:45] = 1
        moved = np.roll(truth, (rows, columns), (0, 1))
        search.update(truth > 0, moved)
        found = search.best()
        assert (found.rows, found.columns) == (rows, columns)
        assert found.iou == 1.0
        assert found.iou_here == pytest.approx(count_binary(truth, moved).iou)

    def test_the_diagnosis_says_so(self):
        truth = np.zeros((60, 80), np.uint8)
        truth[20:30, 30:45] = 1
        moved = np.roll(truth, 8, 0)
        search, counts = ShiftSearch(), PromptCounts()
        search.update(truth > 0, moved)
        counts.update(0.9 * truth.astype(np.float32) + 0.05, moved)
        found = diagnose(counts.present, shift=search.best().to_dict())
        assert found.codes[0] == "labels_shifted"
        assert "+8 rows and +0 columns" in found.verdicts[0].sentence

    def test_labels_in_place_are_left_alone(self):
        search, counts = ShiftSearch(), PromptCounts()
        truth = square()
        search.update(truth > 0, truth)
        counts.update(0.9 * truth.astype(np.float32) + 0.05, truth)
        assert diagnose(counts.present, shift=search.best().to_dict()).codes == ["healthy"]

    def test_nothing_painted_has_no_shift(self):
        search = ShiftSearch()
        search.update(np.zeros((9, 9), bool), square(size=9, at=2))
        assert search.best() is None

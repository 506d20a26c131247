"""Thresholds of all prompts together: the best mean IoU under one limit, by exhaustion too."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.metrics.prompt_thresholds import (
    KEPT,
    allowed_answers,
    best_iou,
    choose_together,
    gives_way,
)
from faultline.metrics.prompted import PromptCounts, false_answer_rate, mean_iou

BINS = 20


def counted(shown: list[tuple[float, float]], absent: list[float]) -> PromptCounts:
    """Pictures of 100 pixels: (probability on, off) a half-painted mask; one value all over."""
    counts = PromptCounts(BINS)
    for on, off in shown:
        truth = np.zeros((10, 10), np.uint8)
        truth[:5] = 1
        counts.update(np.where(truth > 0, on, off), truth)
    for value in absent:
        counts.update(np.full((10, 10), value), np.zeros((10, 10), np.uint8))
    return counts


levels = st.integers(1, BINS - 1).map(lambda k: k / BINS)
prompts = st.builds(
    counted,
    st.lists(st.tuples(levels, levels), min_size=1, max_size=3),
    st.lists(levels, max_size=6),
)


def by_exhaustion(counts: dict[str, PromptCounts], budget: int, kept: float) -> float | None:
    """The best mean IoU of any thresholds that keep to the rules; None where none does."""
    steps = [k / BINS for k in range(1, BINS)]
    best = None
    own = {
        name: [t for t in steps if one.counts_at(t).iou >= kept * one.iou()[1:-1].max()]
        for name, one in counts.items()
    }
    for thresholds in itertools.product(*own.values()):
        picked = dict(zip(counts, thresholds, strict=True))
        wrong = sum(
            round(one.false_rate_at(picked[name]) * len(one.absent))
            for name, one in counts.items()
            if one.absent
        )
        if wrong <= budget:
            best = max(best or 0.0, mean_iou(counts, picked))
    return best


@settings(max_examples=60, deadline=None)
@given(st.lists(prompts, min_size=1, max_size=3), st.floats(0, 1))
def test_no_other_thresholds_are_better(made: list[PromptCounts], limit: float) -> None:
    counts = {f"p{number}": one for number, one in enumerate(made)}
    chosen = choose_together(counts, list(counts), 0.5, max_false_rate=limit)
    found = mean_iou(counts, {name: chosen[name].value for name in counts})
    questions = sum(len(one.absent) for one in made)
    budget = allowed_answers(questions, limit)
    wanted = by_exhaustion(counts, budget, KEPT)
    if wanted is None:
        wanted = by_exhaustion(counts, budget, 0.0)
    if wanted is not None:
        assert found == pytest.approx(wanted)


def test_false_answers_are_spent_where_they_gain_the_most() -> None:
    # Both would like a low threshold; only for the second does it find more of the truth.
    idle = counted([(0.9, 0.1)], [0.4] * 20)
    needy = counted([(0.3, 0.1), (0.9, 0.1)], [0.4] * 2 + [0.05] * 18)
    counts = {"idle": idle, "needy": needy}
    chosen = choose_together(counts, list(counts), 0.5, max_false_rate=0.1)
    assert 0.4 < chosen["idle"].value <= 0.9
    assert 0.1 < chosen["needy"].value <= 0.3
    values = {name: one.value for name, one in chosen.items()}
    assert false_answer_rate(counts, values) == 2 / 40
    strict = choose_together(counts, list(counts), 0.5, max_false_rate=0.05)
    assert strict["needy"].value > 0.4


def test_where_the_limit_cannot_be_kept_the_worst_told_prompt_gives_way() -> None:
    # "vague" is as sure of what is absent as of what is there; "clear" is not.
    vague = counted([(0.5, 0.4)], [0.9] * 10)
    clear = counted([(0.8, 0.1)], [0.3] * 10)
    counts = {"vague": vague, "clear": clear}
    chosen = choose_together(counts, list(counts), 0.5, max_false_rate=0.1)
    assert chosen["clear"].score == 1.0
    assert chosen["vague"].value > 0.9
    assert gives_way(vague, chosen["vague"].value)
    assert not gives_way(clear, chosen["clear"].value)
    assert best_iou(vague) == 1.0


def test_what_the_shared_threshold_answers_counts_too() -> None:
    rare = counted([(0.9, 0.1)], [0.6] * 4)
    common = counted([(0.3, 0.1), (0.9, 0.1)], [0.4] * 3 + [0.05] * 93)
    counts = {"rare": rare, "common": common}
    assert choose_together(counts, ["common"], 0.95, max_false_rate=0.05)["common"].value <= 0.3
    assert choose_together(counts, ["common"], 0.55, max_false_rate=0.05)["common"].value > 0.4


def test_prompts_that_nothing_finds_get_no_threshold() -> None:
    blind = counted([(0.0, 0.0)], [0.5])
    unseen = counted([], [0.5])
    assert choose_together({"a": blind, "b": unseen}, ["a", "b"], 0.5) == {}


def test_the_limit_is_kept_by_a_standard_error() -> None:
    assert allowed_answers(1000, 0.05) == 43  # 0.043 + sqrt(0.043 * 0.957 / 1000) = 0.0494
    assert allowed_answers(10, 0.05) == 0
    assert allowed_answers(0, 0.05) == 0
    assert allowed_answers(50, 1.0) == 50
